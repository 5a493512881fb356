#include "acme/renewal.h"

#include <algorithm>
#include <array>
#include <string_view>

namespace postern::acme {
namespace {

using namespace std::chrono_literals;

Duration lifetimeOf(const CertificateFacts& facts) {
  return std::max<Duration>(facts.notAfter - facts.notBefore, Duration(0));
}

// How long before expiry the lifetime rule renews: a third is left, or half where that is under ten days of lifetime.
Duration shareLeft(Duration lifetime) {
  return lifetime < 240h ? lifetime / 2 : lifetime / 3;
}

template <std::size_t N>
bool isOneOf(std::string_view type, const std::array<std::string_view, N>& types) {
  return std::find(types.begin(), types.end(), type) != types.end();
}

// Refusals of RFC 8555 section 6.7 (and of its extensions), and what we find out ourselves, that come again until a
// person changes something.
constexpr std::array<std::string_view, 16> refusals{"rejectedIdentifier",
                                                    "caa",
                                                    "unsupportedIdentifier",
                                                    "externalAccountRequired",
                                                    "userActionRequired",
                                                    "accountDoesNotExist",
                                                    "badCSR",
                                                    "badPublicKey",
                                                    "badSignatureAlgorithm",
                                                    "invalidContact",
                                                    "unsupportedContact",
                                                    "invalidProfile",
                                                    "badRevocationReason",
                                                    "alreadyRevoked",
                                                    "postern:account",
                                                    "postern:unsupported"};
// The CA, or the way to it, is in trouble, or the next attempt is another one; nothing was counted against us.
constexpr std::array<std::string_view, 10> troubles{
    "serverInternal",     "badNonce",     "orderNotReady",   "alreadyReplaced",   "postern:timeout",
    "postern:connection", "postern:http", "postern:stopped", "postern:malformed", "postern:internal"};

Duration doubled(Duration first, int failures, Duration most) {
  Duration wait = first;
  for (int i = 1; i < failures && wait < most; ++i) wait *= 2;
  return std::min(wait, most);
}

// The wait of a class after `failures` failures, before jitter. Five failed validations an hour are what Let's Encrypt
// allows for a name: these waits make four in the first hour and fewer after it.
Duration waitAfter(const Problem& problem, int failures) {
  switch (classOf(problem)) {
    case FailureClass::Network: return doubled(10s, failures, 1h);
    case FailureClass::RateLimit: return 1h;
    case FailureClass::Validation:
      // A certificate that we threw away counts against the CA's limit of five equal ones a week.
      if (problem.type == "postern:certificate") return doubled(1h, failures, 24h);
      return doubled(5min, failures, 12h);
    case FailureClass::Dns: return doubled(2min, failures, 1h);
    case FailureClass::Refused: return 24h;
    case FailureClass::Storage: return 1min;
  }
  return 1h;
}

}  // namespace

Renewal renewalTime(const CertificateFacts& facts, std::optional<std::chrono::seconds> renewBefore,
                    std::optional<Time> ariPick, std::optional<Time> lastIssued, std::optional<Time> lastAriOrder) {
  const Duration lifetime = lifetimeOf(facts);
  Duration before = shareLeft(lifetime);
  RenewReason reason = RenewReason::Lifetime;
  if (renewBefore) {
    before = std::clamp<Duration>(*renewBefore, Duration(0), before);
    reason = RenewReason::RenewBefore;
  }
  Time at = facts.notAfter - before;
  Time expiry = facts.notAfter - lifetime / 20;
  if (lastIssued) {
    at = std::max(at, *lastIssued + std::max<Duration>(lifetime / 3, 1s));
    // Expiry overrides that floor, and has one of its own for certificates that come nearly expired: a third of what
    // was left when it was issued.
    const Duration left = facts.notAfter - *lastIssued;
    const Duration floor = left > Duration(0) ? left / 3 : std::min<Duration>(lifetime / 3, 1h);
    expiry = std::max(expiry, *lastIssued + std::max<Duration>(floor, 1s));
  }
  if (ariPick) {
    // However often the window moves: never twice within six hours for this reason alone.
    const Time pick = lastAriOrder ? std::max(*ariPick, *lastAriOrder + 6h) : *ariPick;
    if (pick < at && pick < expiry && pick < facts.notAfter) return {pick, RenewReason::Ari};
  }
  if (expiry < at) return {expiry, RenewReason::Expiry};
  return {at, reason};
}

Duration renewBeforeCut(const CertificateFacts& facts, std::optional<std::chrono::seconds> renewBefore) {
  if (!renewBefore) return Duration(0);
  return std::max<Duration>(*renewBefore - shareLeft(lifetimeOf(facts)), Duration(0));
}

namespace {

// "compound" of RFC 8555 section 6.7: the class that waits longest of those of its parts.
FailureClass classOfAll(const Problem& problem) {
  FailureClass worst = FailureClass::Validation;
  for (const auto& part : problem.subproblems) {
    const FailureClass kind = part.shortType() == "compound" ? worst : classOf(part);
    if (kind == FailureClass::RateLimit) return kind;
    if (kind == FailureClass::Refused) worst = kind;
  }
  return worst;
}

}  // namespace

FailureClass classOf(const Problem& problem) {
  const std::string type = problem.shortType();
  if (type == "postern:storage") return FailureClass::Storage;
  if (type == "postern:dns" || type == "postern:challenge") return FailureClass::Dns;
  if (type == "rateLimited" || problem.status == 429) return FailureClass::RateLimit;
  if (isOneOf(type, refusals)) return FailureClass::Refused;
  // Of a name it is a challenge that was answered wrongly; otherwise the account itself is refused.
  if (type == "unauthorized" && problem.name.empty()) return FailureClass::Refused;
  if (type == "compound") return classOfAll(problem);
  if (isOneOf(type, troubles) || problem.status >= 500) return FailureClass::Network;
  return FailureClass::Validation;  // dns, connection, tls, incorrectResponse, and whatever comes: minutes, then hours
}

Time nextAttempt(const Problem& problem, int failures, std::optional<Time> retryAfter, Time now, double jitter) {
  // Jitter only ever adds: no limit is met by it.
  const auto jittered = [&](Duration wait) {
    return wait + Duration(static_cast<Duration::rep>(static_cast<double>(wait.count()) * 0.25 * jitter));
  };
  if (classOf(problem) == FailureClass::RateLimit && retryAfter) {
    // As told; everybody who was told the same comes in the minute after it.
    return std::max<Time>(*retryAfter, now + 1min) + jittered(1min) - 1min;
  }
  const Time next = now + jittered(waitAfter(problem, std::max(failures, 1)));
  return retryAfter ? std::max(next, *retryAfter) : next;
}

Time boundedByExpiry(Time next, const CertificateFacts& facts, Time now) {
  const Duration lifetime = lifetimeOf(facts);
  const Duration tenth = std::max<Duration>(lifetime / 10, 1s);
  next = std::min(next, now + tenth);
  const Time last = facts.notAfter - lifetime / 20;
  if (now < last) return std::min(next, last);
  if (now >= facts.notAfter) return next;
  // Not oftener than the CA forgives failed validations: five an hour.
  return std::min(next, now + std::max<Duration>((facts.notAfter - now) / 4, std::min<Duration>(tenth, 15min)));
}

namespace {

// What the CA found when it looked for our answer, by the type of the challenge.
std::string remedyForChallenge(const std::string& type, const std::string& name, ChallengeType tried) {
  const bool noAnswer = type == "connection", noAddress = type == "dns";
  switch (tried) {
    case ChallengeType::Dns01:
      return "see that every name server of the zone of " + name +
             " answers the CA with the TXT record of _acme-challenge." + (name == "each name" ? "NAME" : name) +
             " that this server sets";
    case ChallengeType::Http01:
      if (noAddress) break;
      if (noAnswer) return "let the CA reach port 80 of " + name + " (firewall, address records, port forwarding)";
      return "see that port 80 of " + name + " ends at this server, with no redirect or other web server in front";
    case ChallengeType::TlsAlpn01:
      if (noAddress) break;
      if (noAnswer) return "let the CA reach port 443 of " + name + " (firewall, address records, port forwarding)";
      return "see that port 443 of " + name + " ends at this server, with no other TLS server or proxy in front";
  }
  return "publish an A or AAAA record of this host for " + name;
}

}  // namespace

std::string remedyFor(const Problem& problem, std::optional<ChallengeType> tried) {
  const std::string type = problem.shortType();
  const std::string name = problem.name.empty() ? "each name" : problem.name;
  const bool ofAName = type == "unauthorized" && !problem.name.empty();
  if (type == "dns" || type == "connection" || type == "tls" || type == "incorrectResponse" || ofAName) {
    return remedyForChallenge(type, name, tried.value_or(ChallengeType::TlsAlpn01));
  }
  if (type == "caa") return "add this CA to the CAA records of " + name + ", then run postern renew";
  if (type == "rejectedIdentifier" || type == "unsupportedIdentifier") {
    return "this CA issues nothing for " + name + ": take the name out, or use another provider";
  }
  if (type == "externalAccountRequired") {
    return "set eab.key-id and eab.hmac-key of the provider to what the CA gives out for its own accounts";
  }
  if (type == "invalidContact" || type == "unsupportedContact") return "mend contact of the provider";
  if (type == "userActionRequired") return "follow what the CA says, then run postern renew";
  if (type == "unauthorized" || type == "accountDoesNotExist") {
    return "the CA refuses the account: check eab.key-id and eab.hmac-key where it wants them, else ask it for the "
           "reason";
  }
  if (type == "invalidProfile") return "mend profile of the provider: the CA's directory lists those there are";
  if (type == "badCSR" || type == "badPublicKey" || type == "badSignatureAlgorithm") {
    return "this CA does not take such a key: mend key-type of the provider";
  }
  if (type == "postern:storage") return "make space in the cache, or mend its rights";
  if (type == "postern:dns") {
    return "check dns.server, dns.key and dns.secret (or the hook) of the provider, and that all name servers of the "
           "zone "
           "of " +
           name + " take the record";
  }
  if (type == "postern:challenge") {
    return "name a type in challenge of the provider by which this CA validates " + name + " (a wildcard wants dns-01)";
  }
  if (type == "postern:connection" || type == "postern:timeout") {
    return "see that this server reaches the directory's URL and trusts its certificate (ca-file)";
  }
  if (type == "postern:certificate") return "check this server's clock";
  if (type == "compound" && !problem.subproblems.empty() && problem.subproblems.front().shortType() != type) {
    return remedyFor(problem.subproblems.front(), tried);
  }
  return "";
}

}  // namespace postern::acme
