#include "acme/certificate_care.h"

#include <algorithm>
#include <utility>

#include "acme/ledger_limits.h"

namespace postern::acme {
namespace {

using namespace std::chrono_literals;

// No back-off and no Retry-After is longer: one that is was written under a wrong clock.
constexpr Duration longestBackOff = 24h * 8;

Duration lifetimeOf(const CertificateFacts& facts) {
  return std::max<Duration>(facts.notAfter - facts.notBefore, Duration(0));
}

// The time before expiry in which a certificate is to be renewed: a third of its life, or half of less than ten days.
Duration margin(const CertificateFacts& facts) {
  const Duration lifetime = lifetimeOf(facts);
  return lifetime < 240h ? lifetime / 2 : lifetime / 3;
}

// Of the last attempt there, also where a fallback has issued since: neither the CA's outage nor its limits, nor our
// disk.
bool mayFailAgain(const AttemptHistory& history) {
  if (!history.lastError) return false;
  const FailureClass kind = classOf(*history.lastError);
  return kind == FailureClass::Validation || kind == FailureClass::Dns || kind == FailureClass::Refused;
}

}  // namespace

CertificateCare::CertificateCare(std::vector<Route> routes, std::optional<Held> held, std::optional<RenewalInfo> info,
                                 Time now)
    : routes_(std::move(routes)), held_(std::move(held)), info_(std::move(info)), since_(now) {
  if (std::any_of(routes_.begin(), routes_.end(), [](const Route& route) { return route.resumable; })) {
    resumeSince_ = now;
  }
}

void CertificateCare::configure(std::size_t route, std::string configuration, bool hasStaging) {
  Route& configured = routes_[route];
  configured.configuration = std::move(configuration);
  configured.hasStaging = hasStaging;
  const auto& history = configured.history;
  const bool mended = history.lastError && history.configuration != configured.configuration &&
                      classOf(*history.lastError) != FailureClass::RateLimit;
  if (mended) configured.history.notBefore.reset();
}

std::optional<Time> CertificateCare::ariPick() const {
  // A window of another certificate is none (pitfall 29).
  if (!held_ || !info_ || held_->renewalId.empty() || info_->certificateId != held_->renewalId) return std::nullopt;
  return info_->pick;
}

std::optional<Renewal> CertificateCare::renewal(Time now) const {
  if (!held_) return std::nullopt;
  // A time in the future says that the clock was wrong, then or now: it would hold renewals up for no reason.
  const auto past = [&](std::optional<Time> time) { return time && *time <= now ? time : std::nullopt; };
  const AttemptHistory& history = routes_[held_->route].history;
  const auto issued = past(history.lastIssued ? history.lastIssued : held_->facts.notBefore);
  const auto byAri = past(history.lastAriOrder);
  std::optional<Renewal> first;
  for (const auto& renewBefore : renewBefores_) {
    const Renewal each = renewalTime(held_->facts, renewBefore, ariPick(), issued, byAri);
    if (!first || each.at < first->at) first = each;
  }
  return first;
}

Time CertificateCare::dueAt(Time now) const {
  // These mean "since then"; one that lies in the future was written under a wrong clock.
  if (ordered_) return std::min(ordered_->at, now);
  if (resumeSince_) return std::min(*resumeSince_, now);
  if (revoked()) return std::min(since_, now);
  const auto planned = renewal(now);
  return planned ? planned->at : std::min(since_, now);
}

// Then it is due until it has a successor, also after a failure and after a restart.
bool CertificateCare::revoked() const {
  return held_ && routes_[held_->route].history.newKey;
}

RenewReason CertificateCare::reasonNow(Time now) const {
  if (revoked() || (ordered_ ? ordered_->forced : attempt_ && attempt_->forced)) return RenewReason::Forced;
  const auto planned = renewal(now);
  return planned ? planned->reason : RenewReason::Lifetime;
}

Time CertificateCare::heeded(std::size_t route, Time due, Time now) const {
  const auto& notBefore = routes_[route].history.notBefore;
  return notBefore && *notBefore <= now + longestBackOff ? std::max(due, *notBefore) : due;
}

OrderKind CertificateCare::kindFor(std::size_t route, Time now) const {
  const bool successor = held_ && held_->route == route;
  if (successor && ariPick() && info_->start && info_->end && *info_->start <= now && now < *info_->end) {
    return OrderKind::Ari;
  }
  // The same set was issued there, and not too long ago: what limits call a renewal.
  std::optional<Time> issued = routes_[route].history.lastIssued;
  if (!issued && successor) issued = held_->facts.notBefore;
  return issued && now < *issued + renewalMemory ? OrderKind::Renewal : OrderKind::First;
}

CertificateCare::Attempt CertificateCare::attemptBy(std::size_t route, Time due, Time now, const Limits& limits) const {
  Attempt attempt;
  attempt.route = route;
  attempt.at = heeded(route, due, now);
  attempt.kind = kindFor(route, now);
  attempt.forced = ordered_ && ordered_->forced;
  attempt.provedFirst = routes_[route].hasStaging && mayFailAgain(routes_[route].history);
  if (held_ && held_->route == route) attempt.replaces = held_->renewalId;
  const auto planned = renewal(now);
  attempt.byAri = !ordered_ && planned && planned->reason == RenewReason::Ari && planned->at <= now;
  if (attempt.at > now || routes_[route].resumable) return attempt;  // an order that was made passed its limits then
  if (const Time out = limits(route, attempt.kind); out > attempt.at && out > now) {
    // A limit that would let the certificate expire is the CA's to enforce, not ours.
    attempt.passesLimits = held_ && !attempt.forced && now < held_->facts.notAfter && out >= held_->facts.notAfter;
    if (!attempt.passesLimits) attempt.at = out;
  }
  return attempt;
}

// Whether the first provider has shown that it does not issue now.
bool CertificateCare::cannotIssue(const Attempt& first, Time now) const {
  const AttemptHistory& history = routes_.front().history;
  if (first.at > now + 10min && dueAt(now) <= now) return true;  // its limits, or what it told
  if (history.failures == 0) return false;
  if (held_ && now < held_->facts.notAfter) return true;
  const FailureClass kind = history.lastError ? classOf(*history.lastError) : FailureClass::Network;
  return history.failures >= 2 || kind == FailureClass::RateLimit || kind == FailureClass::Refused;
}

CertificateCare::Attempt CertificateCare::next(Time now, const Limits& limits) const {
  const Time due = dueAt(now);
  if (const auto waiting = onlyToBeResumed(now)) return attemptBy(*waiting, due, now, limits);
  Attempt best = attemptBy(0, due, now, limits);
  if (best.at <= now || routes_.size() == 1 || best.forced || !cannotIssue(best, now)) return best;
  // While the certificate lives long enough the first one gets its time to come back; without one there is none.
  Time from = due;
  if (held_ && now < held_->facts.notAfter) from = std::max(due, held_->facts.notAfter - margin(held_->facts) / 2);
  for (std::size_t route = 1; route < routes_.size(); ++route) {
    Attempt other = attemptBy(route, from, now, limits);
    if (other.at < best.at) best = std::move(other);
  }
  return best;
}

// The route whose order waits to be ended, where that is all that there is to do: no other order is begun for it.
std::optional<std::size_t> CertificateCare::onlyToBeResumed(Time now) const {
  if (!resumeSince_ || !held_ || ordered_ || revoked()) return std::nullopt;
  const auto planned = renewal(now);
  if (planned && planned->at <= now) return std::nullopt;
  for (std::size_t route = 0; route < routes_.size(); ++route) {
    if (routes_[route].resumable) return route;
  }
  return std::nullopt;
}

std::optional<Time> CertificateCare::askAt(Time now) const {
  if (!held_ || held_->renewalId.empty() || !wanted()) return std::nullopt;
  const bool known = info_ && info_->certificateId == held_->renewalId;
  // Never more than a day is told; what lies further away was written under a wrong clock.
  const Time at = known && info_->askAgain <= now + 25h ? info_->askAgain : std::min(since_, now);
  return heeded(held_->route, at, now);  // a CA that told us to wait, or is in trouble, is not asked meanwhile either
}

std::optional<Time> CertificateCare::lateFrom() const {
  if (!held_) return std::nullopt;
  return held_->facts.notAfter - margin(held_->facts) / 2;
}

int CertificateCare::failures() const {
  int most = 0;
  for (const Route& route : routes_) most = std::max(most, route.history.failures);
  return most;
}

const AttemptHistory* CertificateCare::lastFailure() const {
  const AttemptHistory* last = nullptr;
  for (const Route& route : routes_) {
    const AttemptHistory& history = route.history;
    if (history.failures == 0 || !history.lastError) continue;
    if (!last || history.lastErrorAt.value_or(Time{}) > last->lastErrorAt.value_or(Time{})) last = &history;
  }
  return last;
}

CertificateState CertificateCare::state(Time now, bool running) const {
  if (held_) return now < held_->facts.notAfter ? CertificateState::Valid : CertificateState::Expired;
  if (running) return CertificateState::Issuing;
  return failures() > 0 ? CertificateState::Failing : CertificateState::Pending;
}

void CertificateCare::orderNow(Time now, bool forced) {
  for (Route& route : routes_) {
    // What the CA told to wait for is not ours to forget.
    const auto& error = route.history.lastError;
    if (!error || classOf(*error) != FailureClass::RateLimit) route.history.notBefore.reset();
  }
  ordered_ = Ordered{now, forced};
}

void CertificateCare::wantNewKey(const std::string& revokedSerial) {
  for (Route& route : routes_) {
    route.history.newKey = true;
    route.history.revokedSerial = revokedSerial;
  }
}

void CertificateCare::begin(const Attempt& attempt, Time now) {
  attempt_ = attempt;
  ordered_.reset();
  Route& route = routes_[attempt.route];
  route.history.lastAttempt = now;
  route.history.configuration = route.configuration;
}

void CertificateCare::succeeded(Held held, Time now) {
  for (std::size_t i = 0; i < routes_.size(); ++i) {
    AttemptHistory& history = routes_[i].history;
    history.failures = history.alike = history.validations = history.turns = 0;
    history.newKey = false;
    routes_[i].resumable = false;   // an order of another route has nothing more to give
    if (i != held.route) continue;  // what it was told to wait for still holds
    history.lastIssued = now;
    history.notBefore.reset();
    history.lastError.reset();
    history.lastErrorAt.reset();
    if (attempt_ && attempt_->byAri) history.lastAriOrder = now;
  }
  held_ = std::move(held);
  info_.reset();
  unanswered_ = 0;
  attempt_.reset();
  resumeSince_.reset();
  lastAttempt = true;
}

Time CertificateCare::failed(const Problem& problem, std::optional<Time> retryAfter, bool resumable, Time now,
                             double jitter) {
  const std::size_t which = attempt_ ? attempt_->route : 0;
  Route& route = routes_[which];
  AttemptHistory& history = route.history;
  const FailureClass kind = classOf(problem);
  ++history.failures;
  const bool alike = history.lastError && classOf(*history.lastError) == kind;
  history.alike = alike ? history.alike + 1 : 1;
  // Failed validations count as long as the CA counts them, whatever else failed between them.
  if (kind == FailureClass::Validation) ++history.validations;
  // The next type of challenge may do what this one could not (pitfall 21: at the next attempt).
  if (kind == FailureClass::Validation || kind == FailureClass::Dns) ++history.turns;
  const int failures = kind == FailureClass::Validation ? history.validations : history.alike;
  Time next = acme::nextAttempt(problem, failures, retryAfter, now, jitter);
  if (held_ && !retryAfter && kind != FailureClass::RateLimit) next = boundedByExpiry(next, held_->facts, now);
  history.notBefore = next;
  history.lastError = problem;
  history.lastErrorAt = now;
  route.resumable = resumable;
  attempt_.reset();
  resumeSince_ = resumable ? std::optional(now) : std::nullopt;
  lastAttempt = false;
  return std::max(next, dueAt(now));
}

void CertificateCare::stopped(bool resumable, Time now) {
  if (attempt_) routes_[attempt_->route].resumable = resumable;
  if (resumable) resumeSince_ = now;
  attempt_.reset();
  lastAttempt = false;
}

void CertificateCare::givenBack(const Attempt& attempt, Time now) {
  pendingDropped(attempt.route);  // had there been one, limits would not have been asked
  if (attempt.forced) ordered_ = Ordered{now, true};
  lastAttempt = false;
  attempt_.reset();
}

void CertificateCare::pendingDropped(std::size_t route) {
  routes_[route].resumable = false;
  if (std::none_of(routes_.begin(), routes_.end(), [](const Route& each) { return each.resumable; })) {
    resumeSince_.reset();
  }
}

void CertificateCare::newKeyIsThere() {
  for (Route& route : routes_) route.history.newKey = false;
}

void CertificateCare::told(RenewalInfo info) {
  info_ = std::move(info);
  unanswered_ = 0;
}

void CertificateCare::notTold(Time now, std::optional<Time> retryAfter) {
  // What was told before still holds; the question waits, longer each time.
  if (!info_ || !held_ || info_->certificateId != held_->renewalId) {
    info_.emplace();
    if (held_) info_->certificateId = held_->renewalId;
  }
  Duration wait = 5min;
  for (int i = 0; i < unanswered_ && wait < 6h; ++i) wait *= 2;
  ++unanswered_;
  info_->askAgain = now + std::min<Duration>(wait, 6h);
  if (retryAfter) info_->askAgain = std::max(info_->askAgain, std::min<Time>(*retryAfter, now + 24h));
}

}  // namespace postern::acme
