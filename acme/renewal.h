// The renewal decision: facts in, time and reason out. Pure; the contract's "Renewal time" to the letter, and what a
// failure means for the next attempt.
#pragma once

#include <chrono>
#include <functional>
#include <optional>
#include <string>

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

// When a certificate is to be renewed: the earliest of the rules that apply, and none of them beyond expiry.
//  - `renewBefore` before expiry, cut to the share below; without it when a third of the lifetime is left, or half of a
//    lifetime under ten days. Not within a third of the lifetime after `lastIssued`.
//  - a twentieth of the lifetime before expiry, whatever the others say.
//  - `ariPick`, drawn inside the CA's window for this certificate; in the past it means now. Not within six hours after
//    `lastAriOrder`, when the window alone led to a certificate for these names.
Renewal renewalTime(const CertificateFacts& facts, std::optional<std::chrono::seconds> renewBefore,
                    std::optional<Time> ariPick, std::optional<Time> lastIssued,
                    std::optional<Time> lastAriOrder = std::nullopt);

// By how much `renewBefore` is cut for this lifetime; zero when it is not.
Duration renewBeforeCut(const CertificateFacts& facts, std::optional<std::chrono::seconds> renewBefore);

// Network: the CA was not reached, or is in trouble itself. RateLimit: it told us to wait. Validation: it could not
// validate a name, which costs one of the few failures it allows. Dns: a record could not be set or seen, before the CA
// was asked to look for it, or the CA does not offer this type of challenge. Refused: only a person can mend it.
// Storage: ours.
enum class FailureClass { Network, RateLimit, Validation, Dns, Refused, Storage };
FailureClass classOf(const Problem& problem);

// The time before which the next attempt must not be made, after `failures` failures in a row (>= 1) of which the last
// is `problem` at `now`. `jitter` in [0,1).
Time nextAttempt(const Problem& problem, int failures, std::optional<Time> retryAfter, Time now, double jitter);

// The same for a certificate that has a predecessor: what the CA did not ask for itself never waits longer than a tenth
// of the lifetime, nor beyond a twentieth of it before expiry, nor within that twentieth beyond a quarter of what is
// left.
Time boundedByExpiry(Time next, const CertificateFacts& facts, Time now);

// What a person can do about a problem, in one sentence; "" when waiting is all. `tried`: the type of the challenge.
std::string remedyFor(const Problem& problem, std::optional<ChallengeType> tried = std::nullopt);

}  // namespace postern::acme
