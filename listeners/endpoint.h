// Endpoint: one end of a TCP connection, as the kernel or a PROXY header tells it. A value.
#pragma once

#include <sys/socket.h>

#include <cstdint>
#include <string>

#include "listeners/limits.h"

namespace postern::listeners {

struct Endpoint {
  IpBytes address{};  // IPv4 mapped
  std::uint16_t port = 0;
  bool operator==(const Endpoint&) const = default;

  std::string host() const;  // "192.0.2.1" also for a mapped address, "2001:db8::1"
  std::string text() const;  // "192.0.2.1:25", "[2001:db8::1]:25"
};

Endpoint mappedIpv4(const unsigned char* fourBytes, std::uint16_t port);
// The unspecified address for families other than IPv4 and IPv6.
Endpoint endpointOf(const sockaddr_storage& address);
Endpoint localEndpoint(int descriptor);

}  // namespace postern::listeners
