#include "listeners/proxy_header.h"

#include <arpa/inet.h>

#include <algorithm>
#include <charconv>
#include <cstdint>
#include <string>

namespace postern::listeners {

namespace {

constexpr std::string_view v1Start = "PROXY ";
constexpr std::string_view v2Signature("\r\n\r\n\0\r\nQUIT\n", 12);
constexpr std::size_t v1Limit = 107, v2Fixed = 16;

bool isPrefixOf(std::string_view bytes, std::string_view whole) {
  return bytes.substr(0, whole.size()) == whole.substr(0, bytes.size());
}

// Takes the word up to the next blank; words are separated by exactly one.
std::string_view takeWord(std::string_view& line) {
  const auto end = line.find(' ');
  const auto word = line.substr(0, end);
  line = end == std::string_view::npos ? std::string_view() : line.substr(end + 1);
  return word;
}

std::optional<std::uint16_t> portOf(std::string_view word) {
  std::uint16_t port = 0;
  const auto [end, error] = std::from_chars(word.data(), word.data() + word.size(), port);
  if (error != std::errc() || end != word.data() + word.size()) return std::nullopt;
  if (word.size() > 1 && word.front() == '0') return std::nullopt;  // the specification forbids leading zeroes
  return port;
}

std::optional<Endpoint> endpointFrom(int family, std::string_view address, std::string_view port) {
  const auto number = portOf(port);
  if (!number) return std::nullopt;
  const std::string text(address);
  if (family == AF_INET) {
    unsigned char bytes[4];
    if (inet_pton(AF_INET, text.c_str(), bytes) != 1) return std::nullopt;
    return mappedIpv4(bytes, *number);
  }
  Endpoint result;
  result.port = *number;
  if (inet_pton(AF_INET6, text.c_str(), result.address.data()) != 1) return std::nullopt;
  return result;
}

ProxyResult parseV1(std::string_view bytes) {
  const auto window = bytes.substr(0, v1Limit);
  const auto end = window.find('\n');
  if (end == std::string_view::npos) {
    if (bytes.size() >= v1Limit) return ProxyBad{"version 1 header longer than 107 bytes"};
    return ProxyNeedsMore{};
  }
  if (window[end - 1] != '\r') return ProxyBad{"version 1 header does not end in CRLF"};
  std::string_view line = window.substr(v1Start.size(), end - 1 - v1Start.size());
  if (line.find_first_of(std::string_view("\r\0", 2)) != std::string_view::npos) {
    return ProxyBad{"version 1 header with a control character"};
  }
  ProxyHeader header;
  header.consumed = end + 1;
  const auto family = takeWord(line);
  if (family == "UNKNOWN") return header;
  if (family != "TCP4" && family != "TCP6") return ProxyBad{"version 1 header of an unknown family"};
  const auto source = takeWord(line), destination = takeWord(line), sourcePort = takeWord(line);
  const int kind = family == "TCP4" ? AF_INET : AF_INET6;
  header.source = endpointFrom(kind, source, sourcePort);
  header.destination = endpointFrom(kind, destination, line);
  if (!header.source || !header.destination) return ProxyBad{"version 1 header with a broken address or port"};
  return header;
}

unsigned byteAt(std::string_view bytes, std::size_t index) {
  return static_cast<unsigned char>(bytes[index]);
}

std::uint16_t numberAt(std::string_view bytes, std::size_t index) {
  return static_cast<std::uint16_t>(byteAt(bytes, index) << 8 | byteAt(bytes, index + 1));
}

Endpoint endpointAt(std::string_view bytes, std::size_t address, std::size_t length, std::size_t port) {
  unsigned char raw[16];
  std::transform(bytes.begin() + static_cast<std::ptrdiff_t>(address),
                 bytes.begin() + static_cast<std::ptrdiff_t>(address + length), raw,
                 [](char c) { return static_cast<unsigned char>(c); });
  if (length == 4) return mappedIpv4(raw, numberAt(bytes, port));
  Endpoint result;
  std::copy_n(raw, 16, result.address.begin());
  result.port = numberAt(bytes, port);
  return result;
}

ProxyResult parseV2(std::string_view bytes) {
  if (bytes.size() < v2Fixed) return ProxyNeedsMore{};
  if (byteAt(bytes, 12) >> 4 != 2) return ProxyBad{"version 2 header of another version"};
  const unsigned command = byteAt(bytes, 12) & 0xf, family = byteAt(bytes, 13);
  const std::size_t length = numberAt(bytes, 14);
  if (command > 1) return ProxyBad{"version 2 header with an unknown command"};
  if (v2Fixed + length > maxProxyHeader) return ProxyBad{"version 2 header longer than 4096 bytes"};
  if (bytes.size() < v2Fixed + length) return ProxyNeedsMore{};

  ProxyHeader header;
  header.consumed = v2Fixed + length;
  if (command == 0) return header;  // LOCAL, a health check of the proxy's own: addresses are to be ignored
  switch (family) {
    case 0x11:
      if (length < 12) return ProxyBad{"version 2 header too short for TCP over IPv4"};
      header.source = endpointAt(bytes, v2Fixed, 4, v2Fixed + 8);
      header.destination = endpointAt(bytes, v2Fixed + 4, 4, v2Fixed + 10);
      return header;
    case 0x21:
      if (length < 36) return ProxyBad{"version 2 header too short for TCP over IPv6"};
      header.source = endpointAt(bytes, v2Fixed, 16, v2Fixed + 32);
      header.destination = endpointAt(bytes, v2Fixed + 16, 16, v2Fixed + 34);
      return header;
    case 0x00:  // unspecified
    case 0x31:  // a UNIX stream has no address that we could use
      return header;
    default: return ProxyBad{"version 2 header of a family that is not a stream"};
  }
}

}  // namespace

ProxyResult parseProxyHeader(std::string_view bytes) {
  if (isPrefixOf(bytes, v1Start)) return bytes.size() < v1Start.size() ? ProxyNeedsMore{} : parseV1(bytes);
  if (isPrefixOf(bytes, v2Signature)) return bytes.size() < v2Signature.size() ? ProxyNeedsMore{} : parseV2(bytes);
  return ProxyBad{"no PROXY header"};
}

}  // namespace postern::listeners
