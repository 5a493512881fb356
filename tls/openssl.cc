#include "tls/openssl.h"

#include <openssl/err.h>

#include <array>

namespace postern::tls {

KeyPtr share(EVP_PKEY* key) {
  EVP_PKEY_up_ref(key);
  return KeyPtr(key);
}

CertPtr share(X509* certificate) {
  X509_up_ref(certificate);
  return CertPtr(certificate);
}

int noPassword(char* /*password*/, int /*size*/, int /*writing*/, void* /*unused*/) {
  return -1;
}

std::string drainErrors() {
  std::string text;
  while (const unsigned long code = ERR_get_error()) {
    const char* reason = ERR_reason_error_string(code);
    std::array<char, 256> numbers{};
    if (reason == nullptr) {
      ERR_error_string_n(code, numbers.data(), numbers.size());
      reason = numbers.data();
    }
    // The same reason comes once from each layer it passed.
    if (text.ends_with(reason)) continue;
    if (!text.empty()) text += "; ";
    text += reason;
  }
  return text.empty() ? "no reason given" : text;
}

void fail(const std::string& doing) {
  throw Error(doing + ": " + drainErrors());
}

}  // namespace postern::tls
