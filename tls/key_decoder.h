// KeyDecoder: decodes keys of one form from DER, any number of them.
//
// Making a decoder costs fifteen times what it does to use one (475 microseconds against 30), and OpenSSL 3.0's own
// functions make one for each key. Not thread-safe: a thread has its own.
#pragma once

#include <openssl/decoder.h>

#include <string_view>

#include "tls/openssl.h"

namespace postern::tls {

class KeyDecoder {
 public:
  // As of OSSL_DECODER_CTX_new_for_pkey().
  KeyDecoder(const char* structure, int selection);
  KeyDecoder(const KeyDecoder&) = delete;
  KeyDecoder& operator=(const KeyDecoder&) = delete;
  ~KeyDecoder() { EVP_PKEY_free(key_); }

  // Null when it is no key of that form. The decoder is not to be used again then.
  KeyPtr read(std::string_view der);

 private:
  EVP_PKEY* key_ = nullptr;  // where the decoder puts what it reads
  const Owned<OSSL_DECODER_CTX, OSSL_DECODER_CTX_free> context_;
};

}  // namespace postern::tls
