// What a thread of the manager's does for one certificate. Everything that fails becomes a value here.
#include <algorithm>
#include <utility>

#include "acme/manager_impl.h"
#include "base/text.h"

namespace postern::acme {
namespace {

bool pendingIn(const CertificateFolder& folder) {
  try {
    return folder.pendingOrder().has_value();
  } catch (const Error&) {
    return false;
  }
}

}  // namespace

void Manager::Impl::order(ManagedCertificate& managed, const CertificateCare::Attempt& attempt,
                          std::stop_token stop) noexcept {
  ProviderCare& provider = managed.providerOf(attempt.route);
  CertificateFolder& folder = managed.folderOf(attempt.route);
  try {
    AttemptHistory history;
    std::vector<std::string> names;
    std::string name;
    std::shared_ptr<ProviderCare> staging;
    tls::CertifiedKeyRef predecessor;
    {
      std::lock_guard lock(mutex_);
      history = managed.care->routes()[attempt.route].history;
      names = managed.names;
      name = managed.routes[attempt.route].name;
      if (attempt.provedFirst) staging = managed.routes[attempt.route].staging;
      predecessor = managed.certificate;
      for (Pace* pace : {&managed.pace, &managed.stagingPace}) pace->bound(managed.care->failures() > 0);
    }
    tls::CertifiedKeyRef certificate;
    std::optional<Error> failure;
    std::optional<Time> delayed;
    bool stopped = false;
    try {
      // Both before anything is spent: what cannot be kept is not ordered.
      provider.storage().probeWritable();
      folder.saveHistory(history);
      parts_.log.info("acme.order.begun", {{"names", joined(names)},
                                           {"provider", name},
                                           {"directory", provider.directory()},
                                           {"key-type", tls::nameOf(managed.keyType)}});
      OrderTask task{folder,           names,        managed.keyType,      predecessor,   history.newKey,
                     attempt.replaces, attempt.kind, attempt.passesLimits, history.turns, managed.pace};
      if (staging) prove(managed, *staging, task, stop);
      certificate = provider.obtain(task, stop);
    } catch (const Error& error) {
      failure = error;
    } catch (const Delayed& error) {
      delayed = error.until;
    } catch (const Stopped&) {
      stopped = stop.stop_requested();
      if (!stopped) failure = Error(makeProblem("postern:internal", "the order was stopped by nobody"));
    } catch (const std::exception& error) {
      failure = Error(makeProblem("postern:internal", error.what()));
    }
    if (stopped) {
      std::lock_guard lock(mutex_);
      if (managed.work->deadlinePassed) {
        stopped = false;
        failure = Error(makeProblem("postern:timeout", "the order was not done in time"));
      }
    }
    if (certificate) {
      succeed(managed, std::move(certificate), attempt.route);
    } else if (delayed) {
      std::lock_guard lock(mutex_);
      managed.care->givenBack(attempt, parts_.clock.now());
    } else if (stopped) {
      endStopped(managed, attempt.route);
    } else {
      fail(managed, attempt.route, *failure);
    }
  } catch (const std::exception& error) {
    // Memory, in the middle of saying how it went. The next attempt finds what is on disk.
    parts_.log.error("acme.order.failed", {{"error", error.what()}});
    std::lock_guard lock(mutex_);
    if (managed.care->underWay()) {
      managed.care->failed(makeProblem("postern:internal", error.what()), {}, false, parts_.clock.now(), chance());
    }
  }
  ended(managed);
}

// What concerns the names, our DNS or our disk is known before production counts it. A staging CA that is itself in
// trouble, or that refuses what production may not, holds nothing up.
void Manager::Impl::prove(ManagedCertificate& managed, ProviderCare& staging, const OrderTask& task,
                          std::stop_token stop) {
  // A folder that nobody orders into: the staging section may want the same names itself.
  const auto aside =
      staging.storage().certificate(staging.directory(), task.names, std::string(tls::nameOf(task.keyType)) + "-proof");
  const OrderTask proof{*aside,
                        task.names,
                        task.keyType,
                        nullptr,
                        true,
                        "",
                        OrderKind::First,
                        true,
                        task.failedValidations,
                        managed.stagingPace};
  try {
    staging.prove(proof, stop);
    parts_.log.info("acme.order.proved", {{"names", joined(task.names)}, {"directory", staging.directory()}});
  } catch (const Error& error) {
    const FailureClass kind = classOf(error.problem);
    const bool ofCa = kind == FailureClass::Network || kind == FailureClass::RateLimit ||
                      (kind == FailureClass::Refused && error.problem.name.empty()) ||
                      error.problem.type == "postern:certificate";
    if (!ofCa) throw;
    staging.failed(error.problem, parts_.clock.now());
    parts_.log.warn("acme.order.not-proved", {{"names", joined(task.names)},
                                              {"directory", staging.directory()},
                                              {"type", error.problem.shortType()},
                                              {"detail", error.problem.detail},
                                              {"next", "ordered without the proof"}});
  } catch (const Delayed& delayed) {
    parts_.log.warn("acme.order.not-proved", {{"names", joined(task.names)},
                                              {"directory", staging.directory()},
                                              {"detail", "limited until " + rfc3339(delayed.until)},
                                              {"next", "ordered without the proof"}});
  }
}

void Manager::Impl::succeed(ManagedCertificate& managed, tls::CertifiedKeyRef certificate, std::size_t route) {
  std::vector<CareSection> sections;
  std::vector<std::string> names;
  std::vector<Provider> exporting;
  std::vector<CertificateStatus> statuses;
  std::optional<Renewal> next;
  int failures = 0;
  {
    std::lock_guard publishing(publishing_);
    std::map<tls::CertificateId, tls::CertifiedKeyRef> serving;
    std::size_t own = 0;
    {
      std::lock_guard lock(mutex_);
      failures = managed.care->failures();
      const Time now = parts_.clock.now();
      managed.before = managed.statuses(now);
      managed.hold(certificate, route, now);
      sections = managed.sections;  // none: nobody wants it any more; it stays on disk
      own = sections.size();
      handOver(managed, route, now, sections);
      names = managed.names;
      next = managed.care->renewal(now);
      statuses = statusesOf(managed, now);
      warnOfCuts(sections, *certificate);
      for (const auto& section : sections) {
        if (const Section* found = sectionNamed(section.provider)) exporting.push_back(found->provider);
      }
    }
    for (const auto& section : sections) serving.emplace(section.id, certificate);
    const struct Published {  // or failed: either way status() goes over to what there is
      Impl& impl;
      ManagedCertificate& managed;
      const bool handedOver;
      ~Published() {
        std::lock_guard lock(impl.mutex_);
        managed.before.clear();
        if (!handedOver) return;
        for (const auto& [key, other] : impl.managed_) other->before.clear();
      }
    } published{*this, managed, sections.size() > own};
    if (!serving.empty()) parts_.store.publish(serving);
  }
  saveHistories(managed);
  dropOtherOrders(managed, route);
  managed.providerOf(route).succeeded();
  const std::string keyType(tls::nameOf(managed.keyType));
  for (const auto& provider : exporting) exportNow(managed, provider, names);
  std::vector<std::string> wantedBy;
  wantedBy.reserve(sections.size());
  for (const auto& section : sections) wantedBy.push_back(section.provider);
  parts_.log.info("acme.order.valid", {{"names", joined(names)},
                                       {"provider", joined(wantedBy)},
                                       {"issued-by", managed.providerOf(route).directory()},
                                       {"key-type", keyType},
                                       {"serial", certificate->serial()},
                                       {"not_after", rfc3339(certificate->notAfter())},
                                       {"renewal", next ? rfc3339(next->at) : ""},
                                       {"failures-before", failures}});
  tell(Event::Kind::Renewed, statuses);
}

// Under the lock. Another object for the same folder (a section with other fallbacks, or the one that a reload made
// while this order was under way) has the certificate as well, and orders no second one.
void Manager::Impl::handOver(const ManagedCertificate& managed, std::size_t route, Time now,
                             std::vector<CareSection>& sections) {
  if (managed.routes[route].folder.use_count() == 1) return;  // nobody else's
  for (const auto& [key, other] : managed_) {
    if (other.get() == &managed) continue;
    for (std::size_t i = 0; i < other->routes.size(); ++i) {
      if (other->routes[i].folder != managed.routes[route].folder) continue;
      other->before = other->statuses(now);
      other->hold(managed.certificate, i, now);
      touch(*other);
      sections.insert(sections.end(), other->sections.begin(), other->sections.end());
    }
  }
}

// An order that another route still has would only buy the same once more.
void Manager::Impl::dropOtherOrders(ManagedCertificate& managed, std::size_t route) {
  for (std::size_t i = 0; i < managed.routes.size(); ++i) {
    if (i == route || !pendingIn(managed.folderOf(i))) continue;
    try {
      managed.folderOf(i).dropPending();
    } catch (const Error& error) {
      parts_.log.warn("acme.cache.unwritable",
                      {{"path", managed.folderOf(i).path().string()}, {"error", error.problem.detail}});
    }
  }
}

// What is in service then, so that no older one comes last.
void Manager::Impl::exportNow(const ManagedCertificate& managed, const Provider& provider,
                              const std::vector<std::string>& names) {
  std::lock_guard exporting(exporting_);
  tls::CertifiedKeyRef certificate;
  {
    std::lock_guard lock(mutex_);
    certificate = managed.certificate;
  }
  if (certificate) exporter_.write(provider, names, std::string(tls::nameOf(managed.keyType)), *certificate);
}

void Manager::Impl::fail(ManagedCertificate& managed, std::size_t route, const Error& error) {
  const Problem& problem = error.problem;
  // An order that the journal still holds goes on with the next attempt.
  const bool resumable = pendingIn(managed.folderOf(route));
  ProviderCare& provider = managed.providerOf(route);
  AttemptHistory history;
  std::vector<std::string> names;
  std::vector<CertificateStatus> statuses;
  std::string name;
  Time now, next;
  bool known = false, news = false;
  {
    std::lock_guard lock(mutex_);
    now = parts_.clock.now();
    names = managed.names;
    name = managed.routes[route].name;
    const AttemptHistory before = managed.care->routes()[route].history;
    known = before.lastError && before.lastError->type == problem.type && classOf(problem) == FailureClass::Storage;
    managed.care->failed(problem, error.retryAfter, resumable, now, chance());
    history = managed.care->routes()[route].history;
    next = managed.care->next(now, managed.limits(now)).at;
    news = std::exchange(managed.failureSaid, problem.type) != problem.type;
    if (news) statuses = statusesOf(managed, now);
  }
  save(managed, managed.folderOf(route), history);
  provider.failed(problem, now);
  std::optional<ChallengeType> challenge;
  try {
    challenge = provider.challengeFor(names, std::max(history.turns - 1, 0));
  } catch (const Error&) {
  }
  // A full disk is looked at every minute, and is said once.
  parts_.log.write(known ? LogLevel::Debug : LogLevel::Warn, "acme.order.failed",
                   {{"names", joined(names)},
                    {"provider", name},
                    {"type", problem.shortType()},
                    {"detail", problem.detail},
                    {"name", problem.name},
                    {"failures", history.failures},
                    {"next", rfc3339(next)},
                    {"in", inWords(std::max<Duration>(next - now, Duration(0)))},
                    {"remedy", remedyFor(problem, challenge)}});
  tell(Event::Kind::Failing, statuses);
}

void Manager::Impl::endStopped(ManagedCertificate& managed, std::size_t route) {
  const bool resumable = pendingIn(managed.folderOf(route));
  std::vector<std::string> names;
  {
    std::lock_guard lock(mutex_);
    managed.care->stopped(resumable, parts_.clock.now());
    names = managed.names;
  }
  parts_.log.info("acme.order.stopped", {{"names", joined(names)}, {"resumable", resumable ? "yes" : "no"}});
}

void Manager::Impl::askRenewalInfo(ManagedCertificate& managed, std::stop_token stop) noexcept {
  try {
    tls::CertifiedKeyRef certificate;
    std::optional<RenewalInfo> before;
    std::size_t route = 0;
    double draw = 0;
    {
      std::lock_guard lock(mutex_);
      certificate = managed.certificate;
      route = managed.care->held()->route;
      before = managed.care->info();
      draw = chance();
    }
    const Time now = parts_.clock.now();
    const std::string id = renewalCertificateId(*certificate);
    if (before && before->certificateId != id) before.reset();
    std::optional<RenewalInfo> told;
    std::optional<Time> retryAfter;
    bool refused = false;
    try {
      told = managed.providerOf(route).renewalInfo(*certificate, before, draw, managed.pace, stop);
      if (!told) {
        // This CA does not do that. Its directory is looked at again tomorrow.
        told.emplace();
        told->certificateId = id;
        told->askAgain = now + std::chrono::hours(24);
      }
    } catch (const Error& error) {
      refused = true;
      retryAfter = error.retryAfter;
      parts_.log.info("acme.renewal-info.failed", {{"names", joined(certificate->names())},
                                                   {"serial", certificate->serial()},
                                                   {"type", error.problem.shortType()},
                                                   {"detail", error.problem.detail}});
    } catch (const Stopped&) {
    }
    bool moved = false;
    std::optional<RenewalInfo> kept;  // also after a refusal: a restart does not ask before the time told
    {
      std::lock_guard lock(mutex_);
      if (told) {
        moved = told->pick && (!before || before->start != told->start || before->end != told->end);
        managed.care->told(*told);
      } else {
        managed.care->notTold(parts_.clock.now(), retryAfter);
      }
      if (told || refused) kept = managed.care->info();
    }
    if (kept) {
      try {
        managed.folderOf(route).saveRenewalInfo(*kept);
      } catch (const Error& error) {
        parts_.log.warn("acme.cache.unwritable",
                        {{"path", managed.folderOf(route).path().string()}, {"error", error.problem.detail}});
      }
    }
    if (told) {
      parts_.log.debug("acme.renewal-info.told", {{"names", joined(certificate->names())},
                                                  {"serial", certificate->serial()},
                                                  {"next", rfc3339(told->askAgain)}});
    }
    if (moved) {
      parts_.log.info("acme.renewal-info.window", {{"names", joined(certificate->names())},
                                                   {"start", rfc3339(*told->start)},
                                                   {"end", rfc3339(*told->end)},
                                                   {"renewal", rfc3339(*told->pick)},
                                                   {"explanation", told->explanationUrl}});
    }
  } catch (const std::exception& error) {
    parts_.log.error("acme.renewal-info.failed", {{"error", error.what()}});
    std::lock_guard lock(mutex_);
    managed.care->notTold(parts_.clock.now());
  }
  ended(managed);
}

void Manager::Impl::saveHistories(ManagedCertificate& managed) {
  std::vector<AttemptHistory> histories;
  {
    std::lock_guard lock(mutex_);
    for (const auto& route : managed.care->routes()) histories.push_back(route.history);
  }
  for (std::size_t i = 0; i < histories.size(); ++i) {
    // A route that was never tried has nothing to remember.
    if (histories[i] != AttemptHistory{}) save(managed, managed.folderOf(i), histories[i]);
  }
}

// On the thread of the order. A disk that stays full is said once.
void Manager::Impl::save(ManagedCertificate& managed, CertificateFolder& folder, const AttemptHistory& history) {
  try {
    folder.saveHistory(history);
    managed.unwritableSaid = false;
  } catch (const Error& error) {
    if (std::exchange(managed.unwritableSaid, true)) return;
    parts_.log.warn("acme.cache.unwritable", {{"path", folder.path().string()}, {"error", error.problem.detail}});
  }
}

std::vector<CertificateStatus> Manager::Impl::statusesOf(const ManagedCertificate& managed, Time now) const {
  std::vector<CertificateStatus> statuses;
  if (!parts_.events) return statuses;
  const Time next = std::max(managed.care->next(now, managed.limits(now)).at, now);
  for (const auto& section : managed.sections) {
    statuses.push_back(managed.status(section, now));
    statuses.back().nextAttempt = next;  // also while the thread that tells is still the attempt's
  }
  return statuses;
}

void Manager::Impl::tell(Event::Kind kind, const std::vector<CertificateStatus>& certificates) {
  for (const auto& certificate : certificates) parts_.events({kind, certificate});
}

}  // namespace postern::acme
