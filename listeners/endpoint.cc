#include "listeners/endpoint.h"

#include <arpa/inet.h>
#include <netinet/in.h>

#include <algorithm>
#include <cstring>

namespace postern::listeners {

namespace {
constexpr IpBytes mappedPrefix{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 0, 0, 0, 0};

bool isMapped(const IpBytes& address) {
  return std::equal(mappedPrefix.begin(), mappedPrefix.begin() + 12, address.begin());
}
}  // namespace

std::string Endpoint::host() const {
  char text[INET6_ADDRSTRLEN] = "";
  if (isMapped(address)) {
    inet_ntop(AF_INET, address.data() + 12, text, sizeof text);
  } else {
    inet_ntop(AF_INET6, address.data(), text, sizeof text);
  }
  return text;
}

std::string Endpoint::text() const {
  const std::string name = host();
  return (isMapped(address) ? name : "[" + name + "]") + ":" + std::to_string(port);
}

Endpoint mappedIpv4(const unsigned char* fourBytes, std::uint16_t port) {
  Endpoint result{mappedPrefix, port};
  std::copy_n(fourBytes, 4, result.address.begin() + 12);
  return result;
}

Endpoint endpointOf(const sockaddr_storage& address) {
  if (address.ss_family == AF_INET) {
    sockaddr_in v4;
    std::memcpy(&v4, &address, sizeof v4);
    unsigned char bytes[4];
    std::memcpy(bytes, &v4.sin_addr, sizeof bytes);
    return mappedIpv4(bytes, ntohs(v4.sin_port));
  }
  Endpoint result;
  if (address.ss_family == AF_INET6) {
    sockaddr_in6 v6;
    std::memcpy(&v6, &address, sizeof v6);
    std::memcpy(result.address.data(), &v6.sin6_addr, result.address.size());
    result.port = ntohs(v6.sin6_port);
  }
  return result;
}

Endpoint localEndpoint(int descriptor) {
  sockaddr_storage address{};
  socklen_t length = sizeof address;
  if (::getsockname(descriptor, reinterpret_cast<sockaddr*>(&address), &length) != 0) return {};
  return endpointOf(address);
}

}  // namespace postern::listeners
