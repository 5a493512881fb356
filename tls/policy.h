// Policy: what a listener's TLS speaks. A value; it includes nothing of OpenSSL, so that config/ may fill it.
//
// Cipher suites go by their IANA names with the prefix TLS13_ for TLS 1.3 and TLS_ for TLS 1.2, as the contract's key
// table has them; groups by the names of RFC 8446 ("X25519", "P-256", "P-384", "X25519MLKEM768").
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace postern::tls {

// Whether clients are asked for a certificate. Request lets everybody through and tells what came; Require ends the
// handshake of whoever has none that its CAs vouch for.
enum class ClientAuth { None, Request, Require };

struct Policy {
  std::vector<std::string> protocols{"TLSv1.2", "TLSv1.3"};
  std::vector<std::string> ciphers;  // in order of preference; policies below fill it
  std::vector<std::string> groups;   // likewise
  bool ignoreClientOrder =
      true;                    // the server's order decides (ChaCha20 still goes first for clients that put it first)
  bool sessionTickets = true;  // one small ticket, after the client's Finished
  bool strictSni = false;      // a handshake without a name, or for one that is not served here, is refused
  ClientAuth clientAuth = ClientAuth::None;
  std::string clientCa;  // PEM of those who vouch for client certificates; "" = nobody does
  bool operator==(const Policy&) const = default;
};

// Mozilla's "Server Side TLS" 6.0. Intermediate is the default: stricter loses mail on MX listeners.
Policy intermediatePolicy();
Policy modernPolicy();

// Whether the name is one of the contract's, wherever this OpenSSL has it or not (that is said when a context is
// built).
bool isProtocolName(std::string_view name);
bool isCipherName(std::string_view name);
bool isGroupName(std::string_view name);
const std::vector<std::string>& cipherNames();  // all known, for "nearest" in messages
const std::vector<std::string>& groupNames();

}  // namespace postern::tls
