// What a ClientHello says about names and protocols, read before OpenSSL has looked at either.
//
// Pure functions over an extension's bytes, which come from anybody. What is malformed counts as not said; OpenSSL
// parses the same bytes afterwards and ends the handshake.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace postern::tls {

// The host_name of a server_name extension (RFC 6066 section 3), lower case and without a dot at its end; "" where
// there is none, or none that could be a name (more than 255 bytes).
std::string hostName(std::string_view extension);

// The protocols of an ALPN extension (RFC 7301 section 3.1), in the client's order. Views into `extension`.
std::vector<std::string_view> offeredProtocols(std::string_view extension);

}  // namespace postern::tls
