// Encodings of bytes as text: base64 (RFC 4648 section 4), base64url without padding (section 5), hexadecimal.
//
// Pure functions. Decoding is strict: a character outside the alphabet, wrong padding or bits left over give nothing.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace postern {

std::string base64(std::string_view bytes);
std::optional<std::string> fromBase64(std::string_view text);
std::string base64Url(std::string_view bytes);
std::optional<std::string> fromBase64Url(std::string_view text);  // padding is accepted, as RFC 8555's EAB keys come
std::string hex(std::string_view bytes);                          // lower case

}  // namespace postern
