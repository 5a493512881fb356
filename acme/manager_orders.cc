#include <algorithm>
#include <utility>

#include "acme/manager_impl.h"
#include "base/text.h"

namespace postern::acme {
namespace {

using namespace std::chrono_literals;

constexpr Duration longestSleep = 60s;     // suspend and clock changes are noticed after it
constexpr Duration orderDeadline = 15min;  // of one attempt, whatever the CA does
constexpr int ordersAtOnce = 8;            // per provider

}  // namespace

Manager::Impl::~Impl() {
  {
    std::lock_guard lock(mutex_);
    closing_ = true;
  }
  ended_.notify_all();
  if (decider_.joinable()) {
    decider_.request_stop();
    decider_.join();
  }
  // Nobody begins an order any more. All are told before the first is waited for.
  for (auto& [key, care] : cares_) {
    if (care->underWay) care->underWay->thread.request_stop();
  }
  for (auto& [key, care] : cares_) {
    if (care->underWay) care->underWay->thread.join();
  }
}

void Manager::Impl::start() {
  std::lock_guard lock(mutex_);
  if (decider_.joinable()) return;
  decider_ = std::jthread([this](std::stop_token stop) { decide(std::move(stop)); });
}

void Manager::Impl::wake() {
  {
    std::lock_guard lock(mutex_);
    woken_ = true;
  }
  wake_.notify_all();
}

void Manager::Impl::decide(std::stop_token stop) {
  while (!stop.stop_requested()) {
    joinEnded();
    // Not in the middle of an apply, which lets go itself.
    if (std::unique_lock applying(applying_, std::try_to_lock); applying.owns_lock()) letGo();
    std::unique_lock lock(mutex_);
    const Time now = parts_.clock.now();
    const Time next = beginWhatIsDue(now);
    const auto sleep = std::clamp<Duration>(next - now, 10ms, longestSleep);
    wake_.wait_for(lock, stop, sleep, [&] { return std::exchange(woken_, false); });
  }
}

// Under the lock. The one that is due longest goes first, so that a name which fails again and again does not keep the
// others of its provider waiting.
Time Manager::Impl::beginWhatIsDue(Time now) {
  Time next = now + longestSleep;
  std::map<const ProviderCare*, int> running;
  std::vector<std::pair<Time, CertificateCare*>> due;
  for (const auto& [key, care] : cares_) {
    if (care->running()) {
      ++running[&care->provider()];
      if (care->underWay->deadline > now) {
        next = std::min(next, care->underWay->deadline);
      } else if (!std::exchange(care->underWay->deadlinePassed, true)) {
        care->underWay->thread.request_stop();
      }
    }
    if (care->running() || care->underWay || !care->wanted()) continue;
    sayExpired(*care, now);
    const Time at = care->nextAttempt(now);
    if (at <= now) {
      due.emplace_back(at, care.get());
    } else {
      next = std::min(next, at);
    }
  }
  std::stable_sort(due.begin(), due.end(), [](const auto& a, const auto& b) { return a.first < b.first; });
  for (const auto& [at, care] : due) {
    // The end of one of the others wakes us.
    if (int& count = running[&care->provider()]; count < ordersAtOnce) {
      ++count;
      begin(*care, now);
    }
  }
  return next;
}

void Manager::Impl::begin(CertificateCare& care, Time now) {
  care.begin(now);
  auto& underWay = care.underWay.emplace();
  underWay.deadline = now + orderDeadline;
  try {
    underWay.thread =
        std::jthread([this, &care, names = care.names()](std::stop_token stop) { run(care, names, std::move(stop)); });
  } catch (const std::system_error& error) {
    care.underWay.reset();
    const double jitter = std::uniform_real_distribution<double>(0, 1)(chance_);
    care.failed(makeProblem("postern:internal", error.what()), std::nullopt, false, now, jitter);
  }
}

// The order's thread. Everything that fails becomes a value here.
void Manager::Impl::run(CertificateCare& care, std::vector<std::string> names, std::stop_token stop) noexcept {
  try {
    AttemptHistory history;
    {
      std::lock_guard lock(mutex_);
      history = care.history();
    }
    tls::CertifiedKeyRef certificate;
    std::optional<Error> failure;
    bool stopped = false;
    try {
      // Both before anything is spent: what cannot be kept is not ordered.
      care.provider().storage().probeWritable();
      care.folder().saveHistory(history);
      parts_.log.info("acme.order.begun", {{"names", joined(names)}, {"directory", care.provider().directory()}});
      certificate = care.provider().obtain(care.folder(), names, history.validations, stop);
    } catch (const Error& error) {
      failure = error;
    } catch (const Stopped&) {
      stopped = stop.stop_requested();
      if (!stopped) failure = Error(makeProblem("postern:internal", "the order was stopped by nobody"));
    } catch (const std::exception& error) {
      failure = Error(makeProblem("postern:internal", error.what()));
    }
    if (stopped) {
      std::lock_guard lock(mutex_);
      if (care.underWay->deadlinePassed) {
        stopped = false;
        failure = Error(makeProblem("postern:timeout", "the order was not done after " + inWords(orderDeadline)));
      }
    }
    if (certificate) {
      succeed(care, std::move(certificate));
    } else if (stopped) {
      endStopped(care);
    } else {
      fail(care, failure->problem, failure->retryAfter);
    }
  } catch (const std::exception& error) {
    // Memory, in the middle of saying how it went. The next attempt finds what is on disk.
    parts_.log.error("acme.order.failed", {{"error", error.what()}});
  }
  ended(care);
}

void Manager::Impl::succeed(CertificateCare& care, tls::CertifiedKeyRef certificate) {
  AttemptHistory history;
  std::vector<CareSection> sections;
  std::vector<std::string> names;
  std::optional<Renewal> next;
  int failures = 0;
  {
    std::lock_guard publishing(publishing_);
    std::map<tls::CertificateId, tls::CertifiedKeyRef> published;
    {
      std::lock_guard lock(mutex_);
      failures = care.history().failures;
      const Time now = parts_.clock.now();
      care.succeeded(certificate, now);
      history = care.history();
      sections = care.sections();  // none: nobody wants it any more; it stays on disk
      names = care.names();
      next = care.renewal(now);
      warnOfCuts(sections, *certificate);
    }
    for (const auto& section : sections) published.emplace(section.id, certificate);
    if (!published.empty()) parts_.store.publish(published);
  }
  save(care, history);
  care.provider().succeeded();
  std::vector<std::string> providers;
  for (const auto& section : sections) providers.push_back(section.provider);
  parts_.log.info("acme.order.valid", {{"names", joined(names)},
                                       {"provider", joined(providers)},
                                       {"serial", certificate->serial()},
                                       {"not_after", rfc3339(certificate->notAfter())},
                                       {"renewal", next ? rfc3339(next->at) : ""},
                                       {"failures-before", failures}});
}

void Manager::Impl::fail(CertificateCare& care, const Problem& problem, std::optional<Time> retryAfter) {
  // An order that the journal still holds goes on with the next attempt.
  bool resumable = false;
  try {
    resumable = care.folder().pendingOrder().has_value();
  } catch (const Error&) {
  }
  AttemptHistory history;
  std::vector<std::string> names, providers;
  Time now, next;
  bool known = false;
  {
    std::lock_guard lock(mutex_);
    now = parts_.clock.now();
    const auto& last = care.history().lastError;
    known = last && last->type == problem.type && classOf(problem) == FailureClass::Storage;
    next = care.failed(problem, retryAfter, resumable, now, std::uniform_real_distribution<double>(0, 1)(chance_));
    history = care.history();
    names = care.names();
    for (const auto& section : care.sections()) providers.push_back(section.provider);
  }
  save(care, history);
  care.provider().failed(problem, now);
  // A full disk is looked at every minute, and is said once.
  parts_.log.write(known ? LogLevel::Debug : LogLevel::Warn, "acme.order.failed",
                   {{"names", joined(names)},
                    {"provider", joined(providers)},
                    {"type", problem.shortType()},
                    {"detail", problem.detail},
                    {"name", problem.name},
                    {"failures", history.failures},
                    {"next", rfc3339(next)},
                    {"in", inWords(std::max<Duration>(next - now, Duration(0)))},
                    {"remedy", remedyFor(problem)}});
}

void Manager::Impl::endStopped(CertificateCare& care) {
  bool resumable = false;
  try {
    resumable = care.folder().pendingOrder().has_value();
  } catch (const Error&) {
  }
  std::vector<std::string> names;
  {
    std::lock_guard lock(mutex_);
    care.stopped(resumable, parts_.clock.now());
    names = care.names();
  }
  parts_.log.info("acme.order.stopped", {{"names", joined(names)}, {"resumable", resumable ? "yes" : "no"}});
}

void Manager::Impl::ended(CertificateCare& care) {
  {
    std::lock_guard lock(mutex_);
    care.underWay->ended = true;
    woken_ = true;
    // While locked: whoever sees `ended` may free what we would call here.
    wake_.notify_all();
    ended_.notify_all();
  }
}

void Manager::Impl::save(CertificateCare& care, const AttemptHistory& history) {
  try {
    care.folder().saveHistory(history);
  } catch (const Error& error) {
    parts_.log.warn("acme.cache.unwritable",
                    {{"path", care.folder().path().string()}, {"error", error.problem.detail}});
  }
}

void Manager::Impl::sayExpired(CertificateCare& care, Time now) {
  if (!care.certificate() || now < care.certificate()->notAfter() || std::exchange(care.expirySaid, true)) return;
  parts_.log.error("acme.certificate.expired", {{"names", joined(care.names())},
                                                {"not_after", rfc3339(care.certificate()->notAfter())},
                                                {"next", rfc3339(std::max(care.nextAttempt(now), now))}});
}

void Manager::Impl::joinEnded() {
  std::vector<std::jthread> threads;  // joined when this returns: they have nothing left to do
  std::lock_guard lock(mutex_);
  for (auto& [key, care] : cares_) {
    if (!care->underWay || !care->underWay->ended) continue;
    threads.push_back(std::move(care->underWay->thread));
    care->underWay.reset();
  }
}

// Under applying_. Frees what nobody wants and nobody works on.
void Manager::Impl::letGo() {
  std::vector<CareRef> cares;
  std::vector<std::shared_ptr<ProviderCare>> providers;
  {
    std::lock_guard lock(mutex_);
    std::set<const ProviderCare*> used;
    for (const auto& section : sections_) used.insert(section.care.get());
    for (auto entry = cares_.begin(); entry != cares_.end();) {
      if (entry->second->wanted() || entry->second->underWay) {
        used.insert(&entry->second->provider());
        ++entry;
      } else {
        cares.push_back(std::move(entry->second));
        entry = cares_.erase(entry);
      }
    }
    for (auto entry = providers_.begin(); entry != providers_.end();) {
      if (used.count(entry->second.get()) != 0) {
        ++entry;
      } else {
        providers.push_back(std::move(entry->second));
        entry = providers_.erase(entry);
      }
    }
  }
  std::lock_guard lock(caches_);
  cares.clear();
  providers.clear();
}

}  // namespace postern::acme
