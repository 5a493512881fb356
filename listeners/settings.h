// ListenerSettings: everything one listener is told by the configuration. Values; nothing of libevent or OpenSSL, so
// that config/ may fill them.
#pragma once

#include <array>
#include <chrono>
#include <cstdint>
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
std::optional<Network> parseNetwork(const std::string& text);                         // "10.0.0.0/8", "::1"
std::optional<std::array<std::uint8_t, 16>> parseIp(const std::string& text);       // IPv4 mapped
std::optional<Address> parseAddress(const std::string& text);                        // "1.2.3.4:25", "[::]:25"

struct SocketOptions {
  int backlog = 1024;
  bool reuseAddr = true;
  bool reusePort = false;
  bool nodelay = true;
  std::optional<int> ttl;                         // hops; IP_TTL and IPV6_UNICAST_HOPS
  std::optional<std::chrono::seconds> linger;
  std::optional<int> tos;
  std::optional<int> sendBufferSize, recvBufferSize;  // bytes
  bool operator==(const SocketOptions&) const = default;
};

enum class Protocol { Smtp, Imap, Http, ChallengeOnly };
enum class TlsMode { Off, StartTls, Implicit };
enum class Role { Mx, Submission };

struct ListenerSettings {
  std::string id;
  Protocol protocol = Protocol::Smtp;
  std::vector<Address> bind;
  std::vector<std::string> hostnames;             // the first is primary: greeting, EHLO reply
  SocketOptions socket;
  std::uint32_t maxConnections = 8192;            // of this listener; 0 = unlimited
  std::uint32_t maxConnectionsPerIp = 0;          // of this listener; 0 = unlimited
  std::vector<Network> trustedNetworks;           // peers in it must send a PROXY header
  TlsMode tls = TlsMode::Off;
  std::chrono::milliseconds tlsTimeout = std::chrono::minutes(1);  // from accept or STARTTLS to the end of the handshake
  bool tlsRequired = false;                       // no login (submission, imap) or MAIL (mx) without TLS
  bool allowPlainText = false;                    // AUTH and LOGIN in the clear
  Role role = Role::Mx;                           // smtp
  std::string greeting;                           // behind the hostname; empty: the product line
  std::chrono::milliseconds idleTimeout = std::chrono::minutes(5);      // after login, or for mx and http always
  std::chrono::milliseconds loginTimeout = std::chrono::minutes(3);     // in all before login (imap, submission)
  bool metrics = false;                           // http
  bool operator==(const ListenerSettings&) const = default;
};

// What all listeners share.
struct SharedSettings {
  std::uint32_t maxConnections = 8192;            // over all listeners; 0 = unlimited
  std::uint32_t maxConnectionsPerIp = 0;
  bool operator==(const SharedSettings&) const = default;
};

}  // namespace postern::listeners
