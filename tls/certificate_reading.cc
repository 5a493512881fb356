#include "tls/certificate_reading.h"

#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/provider.h>

#include <memory>

#include "tls/key_decoder.h"

namespace postern::tls {
namespace {

// For as long as it lives this thread's OpenSSL finds no algorithms, and so no decoder for a public key.
class WithoutAlgorithms {
 public:
  WithoutAlgorithms() : before_(OSSL_LIB_CTX_set0_default(none())) {}
  WithoutAlgorithms(const WithoutAlgorithms&) = delete;
  WithoutAlgorithms& operator=(const WithoutAlgorithms&) = delete;
  ~WithoutAlgorithms() { OSSL_LIB_CTX_set0_default(before_); }

 private:
  // The null provider keeps the default one from coming by itself. Where it cannot be had, the thread's own stays, and
  // all it costs is time.
  static OSSL_LIB_CTX* none() {
    static OSSL_LIB_CTX* const context = []() -> OSSL_LIB_CTX* {
      OSSL_LIB_CTX* made = OSSL_LIB_CTX_new();
      if (made != nullptr && OSSL_PROVIDER_load(made, "null") != nullptr) return made;
      OSSL_LIB_CTX_free(made);
      return nullptr;
    }();
    return context;
  }

  OSSL_LIB_CTX* const before_;
};

}  // namespace

CertPtr certificateFromDer(std::string_view der) {
  const auto* at = reinterpret_cast<const unsigned char*>(der.data());
  return CertPtr(d2i_X509(nullptr, &at, static_cast<long>(der.size())));
}

CertPtr certificateWithoutKey(std::string_view der) {
  const WithoutAlgorithms here;
  return certificateFromDer(der);
}

KeyPtr publicKeyOf(const X509* certificate) {
  unsigned char* der = nullptr;
  const int size = i2d_X509_PUBKEY(X509_get_X509_PUBKEY(certificate), &der);
  if (size <= 0) return nullptr;
  const auto release = [](unsigned char* p) { OPENSSL_free(p); };
  const std::unique_ptr<unsigned char, decltype(release)> own(der, release);
  thread_local std::unique_ptr<KeyDecoder> decoder;
  if (!decoder) decoder = std::make_unique<KeyDecoder>("SubjectPublicKeyInfo", EVP_PKEY_PUBLIC_KEY);
  KeyPtr key = decoder->read({reinterpret_cast<const char*>(der), static_cast<std::size_t>(size)});
  if (!key) {
    decoder.reset();  // whatever state that has left it in
    ERR_clear_error();
    const unsigned char* at = der;
    key.reset(d2i_PUBKEY(nullptr, &at, size));
  }
  return key;
}

}  // namespace postern::tls
