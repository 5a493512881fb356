// The renewal decision: facts in, time and reason out. Pure; the contract's "Renewal time" to the letter.
#pragma once

#include <chrono>
#include <functional>
#include <optional>

#include "acme/manager.h"
#include "acme/storage.h"
#include "base/clock.h"

namespace postern::acme {

struct CertificateFacts {
  Time notBefore, notAfter;
};

struct Renewal {
  Time at;
  RenewReason reason;
};

// When a certificate is to be renewed: the earliest of the applicable rules.
Renewal renewalTime(const CertificateFacts& facts, std::optional<std::chrono::seconds> renewBefore,
                    std::optional<Time> lastIssued);

// By how much `renewBefore` is cut for this lifetime; zero when it is not.
Duration renewBeforeCut(const CertificateFacts& facts, std::optional<std::chrono::seconds> renewBefore);

enum class FailureClass { Network, RateLimit, Validation, Refused, Storage };
FailureClass classOf(const Problem& problem);

// The time before which the next attempt must not be made, after `failures` failures in a row (>= 1) of which the last
// is `problem` at `now`. `jitter` in [0,1).
Time nextAttempt(const Problem& problem, int failures, std::optional<Time> retryAfter, Time now, double jitter);

}  // namespace postern::acme
