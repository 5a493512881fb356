#include "tls/client_auth.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509_vfy.h>

#include <array>

namespace postern::tls {
namespace {

// Goes on whatever was found; SSL_get_verify_result() tells.
int letThrough(int, X509_STORE_CTX*) noexcept {
  return 1;
}

std::string oneLine(const X509_NAME* name) {
  const BioPtr output(BIO_new(BIO_s_mem()));
  if (!output || X509_NAME_print_ex(output.get(), name, 0,
                                    XN_FLAG_RFC2253 & ~static_cast<unsigned long>(ASN1_STRFLGS_ESC_MSB)) < 0)
    return {};
  char* data = nullptr;
  const long size = BIO_get_mem_data(output.get(), &data);
  return {data, static_cast<std::size_t>(size)};
}

std::string hexadecimal(const unsigned char* bytes, std::size_t size) {
  static constexpr char digits[] = "0123456789abcdef";
  std::string text;
  for (std::size_t i = 0; i < size; ++i) text.append({digits[bytes[i] >> 4], digits[bytes[i] & 15]});
  return text;
}

std::string fingerprintOf(const X509* certificate) {
  std::array<unsigned char, EVP_MAX_MD_SIZE> digest{};
  unsigned size = 0;
  if (X509_digest(certificate, EVP_sha256(), digest.data(), &size) != 1) return {};
  return hexadecimal(digest.data(), size);
}

}  // namespace

ClientAuthority::ClientAuthority(const std::string& pem) : store_(X509_STORE_new()), names_(sk_X509_NAME_new_null()) {
  if (!store_ || !names_) fail("cannot make a store of certificates");
  if (pem.empty()) return;
  ERR_clear_error();
  const BioPtr input(BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size())));
  if (!input) fail("cannot read client-ca");
  int count = 0;
  while (const CertPtr certificate{PEM_read_bio_X509(input.get(), nullptr, noPassword, nullptr)}) {
    ++count;
    Owned<X509_NAME, X509_NAME_free> name(X509_NAME_dup(X509_get_subject_name(certificate.get())));
    if (X509_STORE_add_cert(store_.get(), certificate.get()) != 1 || !name ||
        sk_X509_NAME_push(names_.get(), name.get()) == 0)
      fail("cannot use certificate " + std::to_string(count) + " of client-ca");
    name.release();
  }
  if (ERR_GET_REASON(ERR_peek_last_error()) != PEM_R_NO_START_LINE)
    fail("certificate " + std::to_string(count + 1) + " of client-ca cannot be read");
  ERR_clear_error();
  if (count == 0) throw Error("there is no certificate in client-ca; expected PEM of one CA or several");
  // An intermediate alone may stand there: whoever it has certified is trusted, and nobody else of its root.
  X509_STORE_set_flags(store_.get(), X509_V_FLAG_PARTIAL_CHAIN);
}

void ClientAuthority::install(SSL_CTX* context, ClientAuth how) const {
  if (how == ClientAuth::None) return;
  // Beside these, OpenSSL's default store of servers' CAs has no say.
  if (SSL_CTX_ctrl(context, SSL_CTRL_SET_VERIFY_CERT_STORE, 1, store_.get()) != 1)
    fail("cannot set the CAs of clients");
  STACK_OF(X509_NAME)* names = SSL_dup_CA_list(names_.get());
  if (names == nullptr) fail("cannot set the CAs of clients");
  SSL_CTX_set_client_CA_list(context, names);
  const bool must = how == ClientAuth::Require;
  SSL_CTX_set_verify(context, SSL_VERIFY_PEER | (must ? SSL_VERIFY_FAIL_IF_NO_PEER_CERT : 0),
                     must ? nullptr : letThrough);
}

std::optional<ClientCertificate> clientCertificate(const SSL* ssl) {
  const X509* const leaf = SSL_get0_peer_certificate(ssl);
  if (leaf == nullptr) return std::nullopt;
  ClientCertificate found;
  found.subject = oneLine(X509_get_subject_name(leaf));
  found.issuer = oneLine(X509_get_issuer_name(leaf));
  const ASN1_INTEGER* const serial = X509_get0_serialNumber(leaf);
  found.serial = hexadecimal(ASN1_STRING_get0_data(serial), static_cast<std::size_t>(ASN1_STRING_length(serial)));
  found.fingerprint = fingerprintOf(leaf);
  const long result = SSL_get_verify_result(ssl);
  // A session that is resumed brings the result of its first handshake, and may have outlived the certificate.
  const bool expired = X509_cmp_current_time(X509_get0_notAfter(leaf)) < 0;
  found.verified = result == X509_V_OK && !expired;
  if (!found.verified) found.whyNot = X509_verify_cert_error_string(expired ? X509_V_ERR_CERT_HAS_EXPIRED : result);
  ERR_clear_error();
  return found;
}

}  // namespace postern::tls
