// Ledger: what was ordered, issued and refused at one CA's directory, and what its limits let out next.
//
// Limits belong to a directory. Those of Let's Encrypt, production and staging, are token buckets with its published
// figures and exemptions (acme/ledger_limits.h); other CAs are held to only what their 429 told. A bucket is kept as
// one time, the one at which it will be full again, so that years of orders cost no more to remember than a week of
// them. On disk it is acme/ledger_file.h's; everything here is arithmetic.
//
// A ledger is kept in each cache, of its own account; of the limits that are everybody's (LedgerLimit::Of) it counts
// also what was entered into the ledgers of other caches: `elsewhere`. Ledgers that met are alike in those from then
// on.
//
// A clock that was set back never blocks an order: what stands hours further in the future than it can is not heeded.
//
// Not thread-safe: its owner's lock guards it. Time always comes in.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/clock.h"

namespace postern::acme {

struct LedgerLimit;
struct LedgerFigures;

// What an order is for, as limits see it.
enum class OrderKind {
  First,    // these names were not issued here, or too long ago
  Renewal,  // of exactly the same set of names: exempt from limits per account and per registered domain
  Ari       // `replaces`, inside the CA's window: exempt from all
};

struct LedgerEntry {
  enum class Kind { Account, Order, Issuance, FailedValidation } kind;
  Time at;
  std::vector<std::string> names;  // of the order; of FailedValidation the identifiers that failed; of Account none
  OrderKind order = OrderKind::First;
  bool elsewhere = false;  // by another account: only limits that are everybody's count it
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
  explicit Ledger(const std::string& directoryUrl);

  // In the order in which they happened.
  void record(const LedgerEntry& entry, Time now);
  struct Told {
    Time until;
    std::vector<std::string> names;  // sorted
    bool operator==(const Told&) const = default;
  };
  // The CA's 429 told to wait. `names`: whose orders; empty: everybody's at this directory. Returns what is kept of it.
  Told told(Time until, std::vector<std::string> names, Time now);
  // The earliest time at which an order for `names` passes every limit: `now` or later.
  Time earliest(const std::vector<std::string>& names, OrderKind kind, Time now) const;
  Time earliestAccount(Time now) const;  // the same for a new account
  // What is left of the limits that have been touched, the least left first.
  std::vector<LimitState> left(Time now) const;
  // Whether others must hear of such an entry.
  bool concernsEverybody(LedgerEntry::Kind kind) const;
  // As much of it as decides about orders for `names`: to try out what further entries would come to.
  Ledger about(const std::vector<std::string>& names) const;
  // Whether a certificate for exactly these names was issued here so lately that the next one is a renewal.
  bool issuedBefore(const std::vector<std::string>& names, Time now) const;

  // --- for ledger_file: all there is to keep
  struct Bucket {
    std::string limit;    // an id of the table in ledger_limits.h
    std::string subject;  // the domain, set of names or identifier it is for; "" of the account
    Time since;           // when it last was full, and was taken from
    Time fullAt;          // when it has refilled wholly
    bool operator==(const Bucket&) const = default;
  };
  struct Issued {
    std::string set;  // nameSetHash() of the names
    Time at;
    bool operator==(const Issued&) const = default;
  };
  std::vector<Bucket> buckets() const;
  std::vector<Issued> issued() const;
  std::vector<Told> toldUntil() const;
  void restore(const Bucket& bucket);  // of an unknown limit: passed over
  void restore(const Issued& issued);
  void restore(Told told);

  // --- ledger_meeting.cc: what two ledgers of one CA know becomes one.
  // All that happened in `later`, of the same cache, and is not in here.
  void append(const Ledger& later, Time now);
  // Of another cache, what it knows of everybody's limits. Where both have seen the same bucket being emptied, and one
  // has seen more of it, that one is right; what each has seen alone adds up, and it is true that something did.
  bool join(const Ledger& other, Time now);
  // Goes over to what `other` knows of everybody's limits, which must include all that is known here. True when that is
  // something new.
  bool adopt(const Ledger& other);

 private:
  using Key = std::pair<const LedgerLimit*, std::string>;  // limit and subject
  struct Level {
    Time since, fullAt;
    bool operator==(const Level&) const = default;
  };
  explicit Ledger(const LedgerFigures* figures) : figures_(figures) {}
  static bool misdated(Time at, Time latest);
  static std::optional<Level> same(const LedgerLimit& limit, const Level& one, const Level& other);
  static Level sum(const LedgerLimit& limit, const Level& one, const Level& other, Time now);
  void settle(Time now);
  void take(const LedgerLimit* limit, const std::string& subject, Time at);
  Time toldFor(const std::vector<std::string>& names, Time now) const;
  Time freeAt(const LedgerLimit* limit, const std::string& subject, Time now) const;

  const LedgerFigures* figures_;  // null where nothing is published
  std::map<Key, Level> levels_;   // a bucket that is not here is full
  std::map<std::string, Time> issued_;
  std::map<std::vector<std::string>, Time> told_;  // until when, by the sorted names
  Time settleAt_ = {};                             // when there may be something to drop
};

// The registered domain of a DNS name by the public suffix list (libpsl), the name itself where it has none; of an IP
// address the address, of an IPv6 one its /64.
std::string registeredDomain(const std::string& name);

}  // namespace postern::acme
