#include "tls/key_decoder.h"

#include <utility>

namespace postern::tls {

KeyDecoder::KeyDecoder(const char* structure, int selection)
    : context_(OSSL_DECODER_CTX_new_for_pkey(&key_, "DER", structure, nullptr, selection, nullptr, nullptr)) {}

KeyPtr KeyDecoder::read(std::string_view der) {
  const auto* bytes = reinterpret_cast<const unsigned char*>(der.data());
  std::size_t size = der.size();
  if (!context_ || OSSL_DECODER_from_data(context_.get(), &bytes, &size) != 1) return nullptr;
  return KeyPtr(std::exchange(key_, nullptr));
}

}  // namespace postern::tls
