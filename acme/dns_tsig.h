// TSIG (RFC 8945): a DNS message signed with a key that both sides know, and the answer's signature verified.
//
// libldns 1.8 writes hmac-sha384 under a wrong name and does not know hmac-sha224, so the MAC is made here, over the
// bytes that libldns made of the message. Pure functions; bytes from the network may be anything.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>

#include "base/secret.h"

namespace postern::acme {

struct TsigKey {
  std::string name;
  std::string algorithm;  // "hmac-sha256": hmac-sha1, -sha224, -sha256, -sha384, -sha512
  Secret secret;          // raw
};

struct SignedMessage {
  std::string bytes;
  std::string mac;  // the answer's is made over it as well
};

using TsigTime = std::chrono::sys_seconds;

// Throws Error postern:dns for an algorithm or a name of a key that cannot be.
SignedMessage signWithTsig(std::string_view message, const TsigKey& key, TsigTime now);

struct TsigVerdict {
  bool verified = false;    // the answer is the server's, of now, and to our message
  std::uint16_t error = 0;  // of the answer's TSIG record (RFC 8945 section 3): 16 BADSIG, 17 BADKEY, 18 BADTIME
  std::string why;          // why it is not verified
};
TsigVerdict verifyTsig(std::string_view answer, const std::string& requestMac, const TsigKey& key, TsigTime now);

}  // namespace postern::acme
