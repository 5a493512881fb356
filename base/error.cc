#include "base/error.h"

#include <array>
#include <cstring>

namespace postern {
namespace {

// strerror_r comes in two kinds, and which one a C library gives depends on feature macros: take either.
[[maybe_unused]] std::string chosen(const char* text, const char*) {
  return text;
}
[[maybe_unused]] std::string chosen(int failed, const char* buffer) {
  return failed == 0 ? buffer : "Unknown error";
}

}  // namespace

std::string errnoText(int error) {
  std::array<char, 256> buffer{};
  return chosen(strerror_r(error, buffer.data(), buffer.size()), buffer.data());
}

SystemError::SystemError(std::string_view doing, int error)
    : std::runtime_error(std::string(doing) + ": " + errnoText(error)), error_(error) {}

}  // namespace postern
