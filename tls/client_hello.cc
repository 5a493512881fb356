#include "tls/client_hello.h"

#include <optional>

#include "tls/names.h"

namespace postern::tls {
namespace {

constexpr std::size_t longestName = 255;

// Takes a vector with a length of `lengthBytes` bytes from the front of `bytes`.
std::optional<std::string_view> takeVector(std::string_view& bytes, std::size_t lengthBytes) {
  if (bytes.size() < lengthBytes) return std::nullopt;
  std::size_t length = 0;
  for (std::size_t i = 0; i < lengthBytes; ++i) length = length << 8 | static_cast<unsigned char>(bytes[i]);
  bytes.remove_prefix(lengthBytes);
  if (bytes.size() < length) return std::nullopt;
  const std::string_view taken = bytes.substr(0, length);
  bytes.remove_prefix(length);
  return taken;
}

}  // namespace

std::string hostName(std::string_view extension) {
  auto list = takeVector(extension, 2);
  if (!list || !extension.empty()) return {};
  while (!list->empty()) {
    const char type = list->front();
    list->remove_prefix(1);
    const auto name = takeVector(*list, 2);
    if (!name) return {};
    if (type == 0) return name->size() > longestName ? std::string() : normalisedName(*name);
  }
  return {};
}

std::vector<std::string_view> offeredProtocols(std::string_view extension) {
  auto list = takeVector(extension, 2);
  if (!list || !extension.empty()) return {};
  std::vector<std::string_view> protocols;
  while (!list->empty()) {
    const auto protocol = takeVector(*list, 1);
    if (!protocol || protocol->empty()) return {};
    protocols.push_back(*protocol);
  }
  return protocols;
}

}  // namespace postern::tls
