// Ledger: what was ordered, issued and refused at one CA's directory, and what its limits let out next.
//
// Limits belong to a directory. Those of Let's Encrypt, production and staging, are token buckets with its published
// figures and exemptions (https://letsencrypt.org/docs/rate-limits/); other CAs are held to only what their 429 told.
// Entries are values on disk (acme/ledger_file.h); everything here is arithmetic on them.
//
// Not thread-safe: its owner's lock guards it. Time always comes in.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"

namespace postern::acme {

// What an order is for, as limits see it.
enum class OrderKind {
  First,    // these names were never issued here
  Renewal,  // of exactly the same set of names: exempt from limits per account and per registered domain
  Ari       // `replaces`, inside the CA's window: exempt from all
};

struct LedgerEntry {
  enum class Kind { Account, Order, Issuance, FailedValidation } kind;
  Time at;
  std::vector<std::string> names;  // of the order; of FailedValidation the one identifier; of Account none
  OrderKind order = OrderKind::First;
  bool operator==(const LedgerEntry&) const = default;
};

// One limit as `status` and `doctor` say it.
struct LimitState {
  std::string limit;  // "certificates per registered domain example.org", "orders per account", "told by the CA"
  int left = 0;
  std::optional<Time> refillAt;  // when one more is left; none when it is full
  bool operator==(const LimitState&) const = default;
};

class Ledger {
 public:
  explicit Ledger(std::string directoryUrl);

  // In any order; those that no limit remembers any more are dropped.
  void record(LedgerEntry entry, Time now);
  // The CA's 429 told to wait. `names`: whose orders; empty: everybody's at this directory.
  void told(Time until, std::vector<std::string> names, Time now);

  // The earliest time at which an order for `names` passes every limit: `now` or later.
  Time earliest(const std::vector<std::string>& names, OrderKind kind, Time now) const;
  // What is left of the limits that have been touched, the least left first.
  std::vector<LimitState> left(Time now) const;

  const std::vector<LedgerEntry>& entries() const { return entries_; }
  struct Told {
    Time until;
    std::vector<std::string> names;  // sorted
    bool operator==(const Told&) const = default;
  };
  const std::vector<Told>& toldUntil() const { return told_; }

 private:
  struct Limit;
  std::string directoryUrl_;
  std::vector<LedgerEntry> entries_;  // by time
  std::vector<Told> told_;
};

// The registered domain of a DNS name by the public suffix list (libpsl), the name itself where it has none; of an IP
// address the address, of an IPv6 one its /64.
std::string registeredDomain(const std::string& name);

}  // namespace postern::acme
