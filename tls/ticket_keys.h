// TicketKeys: the secret behind session tickets, which outlives contexts, listeners' certificates and reloads.
//
// Any thread may call anything here. One per process. The master secret is random, lives in memory only and is replaced
// by time; its predecessor still decrypts. What a context encrypts with is derived from (master, digest of the
// listener's policy, SNI), so a ticket of one listener's policy or one name is not taken by another
// (CVE-2025-23419, CVE-2014-3616).
#pragma once

#include <array>
#include <memory>
#include <mutex>
#include <optional>
#include <string_view>

#include "base/clock.h"
#include "base/snapshot.h"

namespace postern::tls {

struct TicketKey {
  std::array<unsigned char, 16> name{};
  std::array<unsigned char, 32> encryption{};  // AES-256-CBC
  std::array<unsigned char, 32> mac{};         // HMAC-SHA-256
  TicketKey() = default;
  TicketKey(const TicketKey&) = default;
  TicketKey& operator=(const TicketKey&) = default;
  ~TicketKey();  // wipes
};

class TicketKeys {
 public:
  // `clock` must outlive this object. A ticket decrypts for one to two lifetimes.
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
  struct Master {
    std::array<unsigned char, 32> bytes{};
    ~Master();  // wipes
  };
  struct Masters {
    std::shared_ptr<const Master> current, previous;  // no previous: null
    Time since;                                       // when `current` became it
  };
  std::shared_ptr<const Masters> masters();  // rotates when it is time
  bool due(const Masters& masters, Time now) const;
  static std::shared_ptr<const Master> fresh();
  static TicketKey derive(const Master& master, std::string_view policyDigest, std::string_view serverName);

  const Clock& clock_;
  const Duration lifetime_;
  std::mutex rotating_;
  Snapshot<Masters> masters_;
};

}  // namespace postern::tls
