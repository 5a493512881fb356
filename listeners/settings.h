// ListenerSettings: everything one listener is told by the configuration. Values; nothing of libevent or OpenSSL, so
// that config/ may fill them. The few functions about addresses are inline, so that nobody links this room for them.
#pragma once

#include <arpa/inet.h>
#include <netinet/in.h>

#include <array>
#include <charconv>
#include <chrono>
#include <cstdint>
#include <cstring>
#include <optional>
#include <string>
#include <vector>

namespace postern::listeners {

// An IP address and port. `host` is a literal as inet_pton takes it, without brackets; port 0 takes a free one.
struct Address {
  std::string host;
  std::uint16_t port = 0;
  auto operator<=>(const Address&) const = default;
  std::string text() const;  // "127.0.0.1:25", "[::]:25"
  bool isLoopback() const;
  bool isIpv6() const;
};

// A network of addresses, IPv4 ones kept as ::ffff:0:0/96.
struct Network {
  std::array<std::uint8_t, 16> prefix{};
  int bits = 128;
  bool operator==(const Network&) const = default;
  bool contains(const std::array<std::uint8_t, 16>& address) const;
};
inline std::optional<Network> parseNetwork(const std::string& text);                  // "10.0.0.0/8", "::1"
inline std::optional<std::array<std::uint8_t, 16>> parseIp(const std::string& text);  // IPv4 mapped
inline std::optional<Address> parseAddress(const std::string& text);                  // "1.2.3.4:25", "[::]:25"

struct SocketOptions {
  int backlog = 1024;
  bool reuseAddr = true;
  bool reusePort = false;
  bool nodelay = true;
  std::optional<int> ttl;  // hops; IP_TTL and IPV6_UNICAST_HOPS
  std::optional<std::chrono::seconds> linger;
  std::optional<int> tos;
  std::optional<int> sendBufferSize, recvBufferSize;  // bytes
  bool operator==(const SocketOptions&) const = default;
};

// So many in that time, and no more at once. count 0 = unlimited.
struct Rate {
  std::uint32_t count = 0;
  std::chrono::milliseconds per{0};
  bool operator==(const Rate&) const = default;
};

enum class Protocol { Smtp, Imap, Http, ChallengeOnly };
enum class TlsMode { Off, StartTls, Implicit };
enum class Role { Mx, Submission };

struct ListenerSettings {
  std::string id;
  Protocol protocol = Protocol::Smtp;
  std::vector<Address> bind;
  std::vector<std::string> hostnames;  // the first is primary: greeting, EHLO reply
  SocketOptions socket;
  std::uint32_t maxConnections = 8192;    // of this listener; 0 = unlimited
  std::uint32_t maxConnectionsPerIp = 0;  // of this listener; 0 = unlimited
  std::uint32_t maxHandshakes = 512;      // of this listener at a time; 0 = unlimited
  std::optional<Rate> handshakeRate;      // new ones from one address; unset: what all listeners share decides
  std::vector<Network> trustedNetworks;   // peers in it must send a PROXY header
  TlsMode tls = TlsMode::Off;
  std::chrono::milliseconds tlsTimeout =
      std::chrono::minutes(1);  // from accept or STARTTLS to the end of the handshake
  bool tlsRequired = false;     // no login (submission, imap) or MAIL (mx) without TLS
  bool allowPlainText = false;  // AUTH and LOGIN in the clear
  Role role = Role::Mx;         // smtp
  std::string greeting;         // behind the hostname; empty: the product line
  std::chrono::milliseconds idleTimeout = std::chrono::minutes(5);   // after login, or for mx and http always
  std::chrono::milliseconds loginTimeout = std::chrono::minutes(3);  // in all before login (imap, submission)
  bool metrics = false;                                              // http
  bool operator==(const ListenerSettings&) const = default;
};

// What all listeners share.
struct SharedSettings {
  std::uint32_t maxConnections = 8192;  // over all listeners; 0 = unlimited
  std::uint32_t maxConnectionsPerIp = 0;
  std::uint32_t maxHandshakes = 512;  // over all listeners at a time; 0 = unlimited
  Rate handshakeRate;                 // from one address, over all listeners without one of their own
  bool operator==(const SharedSettings&) const = default;
};

// --- what is promised above, inline ---

inline bool Address::isIpv6() const {
  return host.find(':') != std::string::npos;
}

inline std::string Address::text() const {
  return (isIpv6() ? "[" + host + "]" : host) + ":" + std::to_string(port);
}

inline bool Address::isLoopback() const {
  const auto bytes = parseIp(host);
  if (!bytes) return false;
  static const auto ipv4 = parseNetwork("127.0.0.0/8"), ipv6 = parseNetwork("::1");
  return ipv4->contains(*bytes) || ipv6->contains(*bytes);
}

inline bool Network::contains(const std::array<std::uint8_t, 16>& address) const {
  const auto whole = static_cast<std::size_t>(bits / 8);
  if (std::memcmp(prefix.data(), address.data(), whole) != 0) return false;
  const int rest = bits % 8;
  return rest == 0 || ((prefix[whole] ^ address[whole]) >> (8 - rest)) == 0;
}

inline std::optional<std::array<std::uint8_t, 16>> parseIp(const std::string& text) {
  std::array<std::uint8_t, 16> bytes{};
  if (text.size() != std::strlen(text.c_str())) return std::nullopt;  // inet_pton would stop at the null byte
  if (inet_pton(AF_INET6, text.c_str(), bytes.data()) == 1) return bytes;
  bytes.fill(0);
  if (inet_pton(AF_INET, text.c_str(), bytes.data() + 12) != 1) return std::nullopt;
  bytes[10] = bytes[11] = 0xff;
  return bytes;
}

inline std::optional<Network> parseNetwork(const std::string& text) {
  const auto slash = text.find('/');
  const std::string host = text.substr(0, slash);
  const auto bytes = parseIp(host);
  if (!bytes) return std::nullopt;
  const int width = host.find(':') == std::string::npos ? 32 : 128;
  int bits = width;
  if (slash != std::string::npos) {
    const char* const end = text.data() + text.size();
    const auto read = std::from_chars(text.data() + slash + 1, end, bits);
    if (read.ec != std::errc() || read.ptr != end || bits < 0 || bits > width) return std::nullopt;
  }
  Network network{*bytes, bits + 128 - width};
  for (int bit = network.bits; bit < 128; ++bit) {  // host bits are dropped, so that equal networks compare equal
    auto& byte = network.prefix[static_cast<std::size_t>(bit / 8)];
    byte = static_cast<std::uint8_t>(byte & ~(0x80 >> (bit % 8)));
  }
  return network;
}

inline std::optional<Address> parseAddress(const std::string& text) {
  const auto colon = text.rfind(':');
  if (colon == std::string::npos || colon == 0 || colon + 1 == text.size()) return std::nullopt;
  Address address;
  address.host = text.substr(0, colon);
  const bool bracketed = address.host.front() == '[' && address.host.back() == ']';
  if (bracketed) address.host = address.host.substr(1, address.host.size() - 2);
  if (address.isIpv6() != bracketed || !parseIp(address.host)) return std::nullopt;
  const char* const end = text.data() + text.size();
  const auto read = std::from_chars(text.data() + colon + 1, end, address.port);
  if (read.ec != std::errc() || read.ptr != end) return std::nullopt;
  return address;
}

}  // namespace postern::listeners
