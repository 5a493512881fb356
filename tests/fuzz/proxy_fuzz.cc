// PROXY headers: whatever comes, the answer is one of the three, takes no more than there is, and does not depend on
// how the bytes were cut.
#include <cstdint>
#include <cstdlib>
#include <string_view>
#include <variant>

#include "listeners/proxy_header.h"

using namespace postern::listeners;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  const auto whole = parseProxyHeader(bytes);
  if (const auto* header = std::get_if<ProxyHeader>(&whole)) {
    if (header->consumed == 0 || header->consumed > size || header->consumed > maxProxyHeader) std::abort();
    if (header->source.has_value() != header->destination.has_value()) std::abort();
    if (header->source && (header->source->text().empty() || header->destination->text().empty())) std::abort();
    for (std::size_t length = 0; length < header->consumed; ++length) {
      if (!std::holds_alternative<ProxyNeedsMore>(parseProxyHeader(bytes.substr(0, length)))) std::abort();
    }
    const auto again = parseProxyHeader(bytes.substr(0, header->consumed));
    const auto* same = std::get_if<ProxyHeader>(&again);
    if (!same || same->consumed != header->consumed || same->source != header->source) std::abort();
  } else if (std::holds_alternative<ProxyNeedsMore>(whole)) {
    if (size >= maxProxyHeader) std::abort();  // a header without end
  }
  return 0;
}
