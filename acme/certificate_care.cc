#include "acme/certificate_care.h"

#include <algorithm>
#include <utility>

#include "base/text.h"

namespace postern::acme {
namespace {

constexpr const char* keyType = "ecdsa-p256";

bool coversAll(const tls::CertifiedKey& certificate, const std::vector<std::string>& names) {
  return std::all_of(names.begin(), names.end(), [&](const auto& name) { return certificate.covers(name); });
}

}  // namespace

CertificateCare::CertificateCare(std::shared_ptr<ProviderCare> provider, std::vector<std::string> names, Time now,
                                 Log& log)
    : provider_(std::move(provider)),
      names_(std::move(names)),
      folder_(provider_->storage().certificate(provider_->directory(), names_, keyType)),
      since_(now) {
  try {
    certificate_ = folder_->load();
    if (certificate_ && !coversAll(*certificate_, names_)) {
      log.warn("acme.cache.damaged", {{"path", folder_->path().string()},
                                      {"names", joined(names_)},
                                      {"error", "the certificate is for " + joined(certificate_->names())}});
      certificate_.reset();
    }
    history_ = folder_->history();
    if (folder_->pendingOrder()) resumeSince_ = now;
  } catch (const Error& error) {
    log.warn("acme.cache.unreadable", {{"path", folder_->path().string()}, {"error", error.problem.detail}});
  }
}

void CertificateCare::want(std::vector<std::string> names, std::vector<CareSection> sections) {
  names_ = std::move(names);
  sections_ = std::move(sections);
  const bool mended = history_.lastError && history_.configuration != provider_->configurationDigest() &&
                      classOf(*history_.lastError) != FailureClass::RateLimit;
  if (mended) history_.notBefore.reset();
}

std::optional<Renewal> CertificateCare::renewal(Time now) const {
  if (!certificate_) return std::nullopt;
  const CertificateFacts facts{certificate_->notBefore(), certificate_->notAfter()};
  // A time of issue in the future says that the clock was wrong, then or now: it would hold renewals up for no reason.
  std::optional<Time> issued = history_.lastIssued ? *history_.lastIssued : facts.notBefore;
  if (*issued > now) issued.reset();
  std::optional<Renewal> first;
  for (const auto& section : sections_) {
    const Renewal each = renewalTime(facts, section.renewBefore, issued);
    if (!first || each.at < first->at) first = each;
  }
  return first;
}

Time CertificateCare::dueAt(Time now) const {
  if (ordered_) return ordered_->at;
  if (resumeSince_) return *resumeSince_;
  const auto planned = renewal(now);
  return planned ? planned->at : since_;
}

Time CertificateCare::nextAttempt(Time now) const {
  const Time due = dueAt(now);
  // No back-off and no Retry-After is longer than a week: one that is was written under a wrong clock.
  const bool heeded = history_.notBefore && *history_.notBefore <= now + std::chrono::hours(24 * 8);
  return heeded ? std::max(due, *history_.notBefore) : due;
}

CertificateState CertificateCare::state(Time now) const {
  if (certificate_) return now < certificate_->notAfter() ? CertificateState::Valid : CertificateState::Expired;
  if (running()) return CertificateState::Issuing;
  return failing() ? CertificateState::Failing : CertificateState::Pending;
}

CertificateStatus CertificateCare::status(const CareSection& section, Time now) const {
  CertificateStatus status;
  status.id = section.id;
  status.names = names_;
  status.provider = section.provider;
  status.keyType = keyType;
  status.state = state(now);
  status.certificate = certificate_;
  if (const auto planned = renewal(now)) {
    status.renewAt = planned->at;
    status.renewReason = planned->reason;
  }
  const auto& order = running() ? attempt_ : ordered_;
  if (order && order->forced) {
    status.renewAt = order->at;
    status.renewReason = RenewReason::Forced;
  }
  if (!running()) status.nextAttempt = std::max(nextAttempt(now), now);
  status.attempts = history_.failures;
  if (history_.lastError) {
    status.lastError = lastErrorOf(*history_.lastError, history_.lastErrorAt.value_or(Time{}));
  }
  return status;
}

void CertificateCare::orderNow(Time now, bool forced) {
  history_.notBefore.reset();
  ordered_ = Ordered{now, forced};
}

void CertificateCare::begin(Time now) {
  attempt_ = std::exchange(ordered_, std::nullopt);
  history_.lastAttempt = now;
  history_.configuration = provider_->configurationDigest();
}

void CertificateCare::succeeded(tls::CertifiedKeyRef certificate, Time now) {
  certificate_ = std::move(certificate);
  AttemptHistory next;
  next.lastAttempt = history_.lastAttempt;
  next.lastIssued = now;
  next.configuration = history_.configuration;
  history_ = std::move(next);
  attempt_.reset();
  resumeSince_.reset();
  lastAttempt = true;
  expirySaid = false;
}

Time CertificateCare::failed(const Problem& problem, std::optional<Time> retryAfter, bool resumable, Time now,
                             double jitter) {
  const FailureClass kind = classOf(problem);
  ++history_.failures;
  const bool alike = history_.lastError && classOf(*history_.lastError) == kind;
  history_.alike = alike ? history_.alike + 1 : 1;
  // Failed validations count as long as the CA counts them, whatever else failed between them.
  if (kind == FailureClass::Validation) ++history_.validations;
  const int failures = kind == FailureClass::Validation ? history_.validations : history_.alike;
  Time next = acme::nextAttempt(problem, failures, retryAfter, now, jitter);
  if (certificate_ && !retryAfter && kind != FailureClass::RateLimit) {
    next = boundedByExpiry(next, {certificate_->notBefore(), certificate_->notAfter()}, now);
  }
  history_.notBefore = next;
  history_.lastError = problem;
  history_.lastErrorAt = now;
  attempt_.reset();
  resumeSince_ = resumable ? std::optional(now) : std::nullopt;
  lastAttempt = false;
  return std::max(next, dueAt(now));
}

void CertificateCare::stopped(bool resumable, Time now) {
  if (resumable) resumeSince_ = now;
  attempt_.reset();
  lastAttempt = false;
}

}  // namespace postern::acme
