#include "tls/client_support.h"

#include <openssl/err.h>

namespace postern::tls {
namespace {

// Whether a cipher that both sides have authenticates with keys of this kind. Only of TLS 1.2: those of TLS 1.3 go with
// any key.
bool sharesCipher(SSL* ssl, int keyId) {
  const int auth = keyId == EVP_PKEY_EC ? NID_auth_ecdsa : keyId == EVP_PKEY_RSA ? NID_auth_rsa : NID_undef;
  const bool group = SSL_ctrl(ssl, SSL_CTRL_GET_SHARED_GROUP, 0, nullptr) > 0;
  const STACK_OF(SSL_CIPHER)* theirs = SSL_get_client_ciphers(ssl);
  const STACK_OF(SSL_CIPHER)* ours = SSL_get_ciphers(ssl);
  for (int i = 0; i < sk_SSL_CIPHER_num(theirs); ++i) {
    const SSL_CIPHER* cipher = sk_SSL_CIPHER_value(theirs, i);
    if (SSL_CIPHER_get_auth_nid(cipher) != auth) continue;
    if (SSL_CIPHER_get_kx_nid(cipher) == NID_kx_ecdhe && !group) continue;
    for (int k = 0; k < sk_SSL_CIPHER_num(ours); ++k) {
      if (SSL_CIPHER_get_id(sk_SSL_CIPHER_value(ours, k)) == SSL_CIPHER_get_id(cipher)) return true;
    }
  }
  return false;
}

}  // namespace

bool clientCanUse(SSL* ssl, const CertifiedKey& certificate, STACK_OF(X509) * issuers) noexcept {
  const int fit = SSL_check_chain(ssl, certificate.leaf(), certificate.key(), issuers);
  ERR_clear_error();  // what does not fit leaves its reasons behind
  if ((fit & CERT_PKEY_SIGN) == 0) return false;
  // In TLS 1.3 CERT_PKEY_EE_SIGNATURE says that a shared signature algorithm fits the key, its curve and size included.
  if (SSL_version(ssl) >= TLS1_3_VERSION) return (fit & CERT_PKEY_EE_SIGNATURE) != 0;
  return (fit & CERT_PKEY_EE_PARAM) != 0 && sharesCipher(ssl, EVP_PKEY_get_base_id(certificate.key()));
}

}  // namespace postern::tls
