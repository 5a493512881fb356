// parseProxyHeader: the PROXY protocol's header, version 1 (text) and 2 (binary), as HAProxy's proxy-protocol.txt has
// it.
//
// A pure function over what has come so far. Only what a peer in `proxy.trusted-networks` sends comes here, but even
// that is bounded: version 1 to 107 bytes as the specification says, version 2 to 4096, whose TLVs are passed over.
#pragma once

#include <cstddef>
#include <optional>
#include <string_view>
#include <variant>

#include "listeners/endpoint.h"

namespace postern::listeners {

inline constexpr std::size_t maxProxyHeader = 4096;

// All bytes so far belong to a header that is not yet whole.
struct ProxyNeedsMore {};
struct ProxyBad {
  std::string_view why;
};
struct ProxyHeader {
  std::size_t consumed = 0;                     // bytes of the header; what follows is the connection's
  std::optional<Endpoint> source, destination;  // nothing for LOCAL and UNKNOWN: the peer speaks for itself
};
using ProxyResult = std::variant<ProxyNeedsMore, ProxyBad, ProxyHeader>;

ProxyResult parseProxyHeader(std::string_view bytes);

}  // namespace postern::listeners
