// The published limits of the CAs we know: one table.
//
// Some belong to an account, and each cache has an account of its own; others count what everybody does who asks for
// the same domains or from the same address, and all caches of a server have a share in them.
//
// Constant data; any thread.
#pragma once

#include <span>
#include <string>
#include <string_view>

#include "acme/ledger.h"

namespace postern::acme {

// A token bucket: `burst` at once, refilled evenly over `period`.
struct LedgerLimit {
  std::string_view id;     // on disk
  std::string_view words;  // for people; "of" or "for" and the subject follow
  enum class Of { Account, Everybody } of;
  enum class Per { Nothing, RegisteredDomain, Set, Identifier } per;
  LedgerEntry::Kind takenBy;
  int burst;
  Duration period;
  bool sparesRenewals;    // of the same set of names: they neither take from it nor wait for it
  bool emptiedBySuccess;  // counts failures in a row: a success gives all of them back

  Duration refill() const { return period / burst; }  // of one
  // A refill counts this much later than it was measured: a CA counts a little after us, and a clock may have been set
  // forward meanwhile. What the bucket was full with does not wait for it.
  Duration margin() const;
};

struct LedgerFigures {
  std::string_view host;  // of the directory's URL
  std::span<const LedgerLimit> limits;
};

// Of the directory with this URL; null when we know of none.
const LedgerFigures* figuresOf(std::string_view directoryUrl);
// The same for all directories that share their limits: whose host is the same where we know its figures, else the URL.
std::string limitsNameOf(const std::string& directoryUrl);

// How long an issuance makes the next order for the same names a renewal.
extern const Duration renewalMemory;

}  // namespace postern::acme
