// TicketKeys: the secret behind session tickets, which outlives contexts, listeners' certificates and reloads.
//
// Any thread may call anything here. One per process. The master secret is random, lives in memory only and is replaced
// by time; its predecessor still decrypts. What a context encrypts with is derived from (master, digest of the
// listener's policy, SNI), so a ticket of one listener's policy or one name is not taken by another
// (CVE-2025-23419, CVE-2014-3616).
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string_view>

#include "base/clock.h"
#include "base/snapshot.h"

namespace postern::tls {

struct TicketKey {
  std::array<unsigned char, 16> name;
  std::array<unsigned char, 32> encryption;  // AES-256-CBC
  std::array<unsigned char, 32> mac;         // HMAC-SHA-256
};

class TicketKeys {
 public:
  explicit TicketKeys(const Clock& clock, Duration lifetime = std::chrono::hours(12));

  // The key that encrypts new tickets for this policy and SNI.
  TicketKey current(std::string_view policyDigest, std::string_view serverName);
  // The key with that name, if it is the current or the previous one of this policy and SNI. `old`: issue a new ticket.
  struct Found {
    TicketKey key;
    bool old;
  };
  std::optional<Found> find(std::string_view keyName, std::string_view policyDigest, std::string_view serverName);

 private:
  struct Masters {
    std::array<unsigned char, 32> current, previous;
    bool hasPrevious;
    Time since;
  };
  std::shared_ptr<const Masters> masters();  // rotates when it is time

  const Clock& clock_;
  const Duration lifetime_;
  Snapshot<Masters> masters_;
};

}  // namespace postern::tls
