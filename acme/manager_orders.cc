#include <algorithm>
#include <utility>

#include "acme/manager_impl.h"
#include "base/text.h"

namespace postern::acme {
namespace {

using namespace std::chrono_literals;

constexpr Duration orderDeadline = 15min;  // of one attempt beside DNS propagation, whatever the CA does
constexpr Duration questionDeadline = 2min;

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
  // Nobody begins anything any more. All are told before the first is waited for.
  const auto each = [&](auto act) {
    for (auto& [key, managed] : managed_) {
      if (managed->work) act(managed->work->thread);
    }
    for (auto& preparation : preparations_) {
      if (preparation->work) act(preparation->work->thread);
    }
  };
  each([](std::jthread& thread) { thread.request_stop(); });
  each([](std::jthread& thread) { thread.join(); });
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
    try {
      decideOnce(stop);
    } catch (const std::exception& error) {
      // Memory, or threads: the mail server goes on, and what is due is due a little later.
      parts_.log.error("acme.manager.failed", {{"error", error.what()}});
      std::unique_lock lock(mutex_);
      wake_.wait_for(lock, stop, 1s, [] { return false; });
    }
  }
}

void Manager::Impl::decideOnce(const std::stop_token& stop) {
  joinEnded();
  // Not in the middle of an apply, which lets go itself.
  if (std::unique_lock applying(applying_, std::try_to_lock); applying.owns_lock()) letGo();
  std::vector<std::pair<Event::Kind, std::vector<CertificateStatus>>> events;
  std::unique_lock lock(mutex_);
  const Time now = parts_.clock.now();
  Time said = now + parts_.longestSleep;
  for (const auto& [key, managed] : managed_) {
    if (!managed->wanted()) continue;
    if (const auto event = look(*managed, now)) events.emplace_back(*event, statusesOf(*managed, now));
    // With a lifetime of a minute, a look every minute would come too late to say anything.
    if (!managed->certificate) continue;
    for (const auto& at : {managed->care->lateFrom(), std::optional(managed->certificate->notAfter())}) {
      if (at && *at > now) said = std::min(said, *at);
    }
  }
  Time next = std::min(beginWhatIsDue(now), said);
  prepareFallbacks(now, next);
  if (!events.empty()) {
    lock.unlock();
    for (const auto& [kind, certificates] : events) tell(kind, certificates);
    lock.lock();
  }
  const auto sleep = std::clamp<Duration>(next - parts_.clock.now(), 10ms, parts_.longestSleep);
  wake_.wait_for(lock, stop, sleep, [&] { return std::exchange(woken_, false); });
}

// Under the lock. What time alone makes worth saying.
std::optional<Event::Kind> Manager::Impl::look(ManagedCertificate& managed, Time now) {
  if (!managed.certificate) return std::nullopt;
  const auto next = [&] { return rfc3339(std::max(managed.care->next(now, managed.limits(now)).at, now)); };
  if (now >= managed.certificate->notAfter()) {
    if (std::exchange(managed.expirySaid, true)) return std::nullopt;
    parts_.log.error(
        "acme.certificate.expired",
        {{"names", joined(managed.names)}, {"not_after", rfc3339(managed.certificate->notAfter())}, {"next", next()}});
    return Event::Kind::Expired;
  }
  const auto late = managed.care->lateFrom();
  if (!late || now < *late || std::exchange(managed.lateSaid, true)) return std::nullopt;
  parts_.log.error(
      "acme.certificate.expiring",
      {{"names", joined(managed.names)}, {"not_after", rfc3339(managed.certificate->notAfter())}, {"next", next()}});
  return Event::Kind::Expiring;
}

// Under the lock. The one that is due longest goes first, so that a name which fails again and again does not keep the
// others of its provider waiting; and questions come after orders.
Time Manager::Impl::beginWhatIsDue(Time now) {
  struct Due {
    Time at;
    ManagedCertificate* managed;
    Work::Kind kind;
    CertificateCare::Attempt attempt;
  };
  Time next = now + parts_.longestSleep;
  std::map<const ProviderCare*, int> working;
  std::set<const CertificateFolder*> busy;  // shared with another section, or with what a reload replaced
  std::vector<Due> due;
  const auto occupy = [&](const ManagedCertificate& managed) {
    for (const auto& route : managed.routes) busy.insert(route.folder.get());
  };
  const auto isBusy = [&](const ManagedCertificate& managed) {
    return std::any_of(managed.routes.begin(), managed.routes.end(),
                       [&](const auto& route) { return busy.count(route.folder.get()) != 0; });
  };
  for (const auto& [key, managed] : managed_) {
    if (!managed->work) continue;
    occupy(*managed);
    if (managed->work->ended) continue;
    ++working[&managed->providerOf(managed->work->route)];
    // Set back, the clock must not lengthen what hangs.
    managed->work->deadline = std::min(managed->work->deadline, now + managed->work->longest);
    if (managed->work->deadline > now) {
      next = std::min(next, managed->work->deadline);
    } else if (!std::exchange(managed->work->deadlinePassed, true)) {
      managed->work->thread.request_stop();
    }
  }
  for (const auto& [key, managed] : managed_) {
    if (!managed->wanted() || managed->work) continue;
    if (isBusy(*managed)) continue;  // the end of the other one wakes us
    // Whose slots are all taken waits for one anyhow; its limits are asked then.
    const auto limits = [&, &one = *managed](std::size_t route, OrderKind kind) {
      ProviderCare& provider = one.providerOf(route);
      if (working[&provider] >= provider.ordersAtOnce()) return Time::min();
      return provider.earliest(one.names, kind, now);
    };
    CertificateCare::Attempt attempt = managed->care->next(now, limits);
    const auto ask = managed->care->askAt(now);
    if (attempt.at <= now) {
      due.push_back({attempt.at, managed.get(), Work::Kind::Order, attempt});
      continue;
    }
    next = std::min(next, attempt.at);
    const Time wasDue = managed->care->dueAt(now);
    const auto* failure = managed->care->lastFailure();
    // Others that begin and end move the time a little.
    const auto& said = managed->delaySaid;
    if (wasDue <= now && failure == nullptr && (!said || attempt.at > *said + 1h || attempt.at + 1h < *said)) {
      managed->delaySaid = attempt.at;
      parts_.log.warn("acme.order.delayed", {{"names", joined(managed->names)},
                                             {"provider", managed->routes[attempt.route].name},
                                             {"until", rfc3339(attempt.at)},
                                             {"reason", "the CA's limits; see the ledger in postern status"}});
    }
    if (ask && *ask <= now) {
      due.push_back({*ask, managed.get(), Work::Kind::RenewalInfo, attempt});
    } else if (ask) {
      next = std::min(next, *ask);
    }
  }
  std::stable_sort(due.begin(), due.end(),
                   [](const Due& a, const Due& b) { return std::pair(a.kind, a.at) < std::pair(b.kind, b.at); });
  for (const Due& each : due) {
    if (isBusy(*each.managed)) continue;  // another one began for the same folder just now
    const bool order = each.kind == Work::Kind::Order;
    const std::size_t route = order ? each.attempt.route : each.managed->care->held()->route;
    ProviderCare& provider = each.managed->providerOf(route);
    // The end of one of the others wakes us.
    if (int& count = working[&provider]; count < provider.ordersAtOnce()) {
      ++count;
      occupy(*each.managed);
      begin(*each.managed, each.kind, order ? &each.attempt : nullptr, now);
    }
  }
  return next;
}

void Manager::Impl::begin(ManagedCertificate& managed, Work::Kind kind, const CertificateCare::Attempt* attempt,
                          Time now) {
  const bool order = kind == Work::Kind::Order;
  if (order) managed.care->begin(*attempt, now);
  Duration longest = questionDeadline;
  if (order) {
    const auto& route = managed.routes[attempt->route];
    longest = orderDeadline + route.provider->longestWait();
    if (attempt->provedFirst && route.staging) longest += orderDeadline + route.staging->longestWait();
  }
  const std::size_t route = order ? attempt->route : managed.care->held()->route;
  auto& work = managed.work.emplace(Work{kind, route, {}, longest, now + longest});
  try {
    if (order) {
      work.thread = std::jthread([this, &managed, attempt = *attempt](std::stop_token stop) {
        this->order(managed, attempt, std::move(stop));
      });
    } else {
      work.thread = std::jthread([this, &managed](std::stop_token stop) { askRenewalInfo(managed, std::move(stop)); });
    }
  } catch (const std::system_error& error) {
    managed.work.reset();
    if (order) {
      managed.care->failed(makeProblem("postern:internal", error.what()), std::nullopt, false, now, chance());
    } else {
      managed.care->notTold(now);
    }
  }
}

void Manager::Impl::ended(ManagedCertificate& managed) {
  std::lock_guard lock(mutex_);
  managed.work->ended = true;
  woken_ = true;
  // While locked: whoever sees `ended` may free what we would call here.
  wake_.notify_all();
  ended_.notify_all();
}

void Manager::Impl::joinEnded() {
  std::vector<std::jthread> threads;  // joined when this returns: they have nothing left to do
  std::lock_guard lock(mutex_);
  const auto take = [&](std::optional<Work>& work) {
    if (!work || !work->ended) return;
    threads.push_back(std::move(work->thread));
    work.reset();
  };
  for (auto& [key, managed] : managed_) take(managed->work);
  for (auto& preparation : preparations_) take(preparation->work);
}

// Under applying_. Frees what nobody wants and nobody works on.
void Manager::Impl::letGo() {
  std::vector<ManagedRef> unwanted;
  std::vector<std::shared_ptr<ProviderCare>> providers;
  {
    std::lock_guard lock(mutex_);
    std::set<const ProviderCare*> used;
    for (const auto& section : sections_) used.insert(section.care.get());
    for (auto entry = managed_.begin(); entry != managed_.end();) {
      if (entry->second->wanted() || entry->second->work) {
        for (const auto& route : entry->second->routes) used.insert(route.provider.get());
        ++entry;
      } else {
        unwanted.push_back(std::move(entry->second));
        entry = managed_.erase(entry);
      }
    }
    for (const auto& preparation : preparations_) used.insert(preparation->provider.get());
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
  unwanted.clear();
  providers.clear();
}

// Under the lock.
void Manager::Impl::prepareFallbacks(Time now, Time& next) {
  std::erase_if(preparations_, [](const auto& preparation) { return preparation->done && !preparation->work; });
  for (const auto& preparation : preparations_) {
    if (preparation->work) {
      if (!preparation->work->ended && preparation->work->deadline <= now) preparation->work->thread.request_stop();
      continue;
    }
    // Further away than anything waits: it was set under a wrong clock.
    if (preparation->next > now && preparation->next < now + 24h * 8) {
      next = std::min(next, preparation->next);
      continue;
    }
    auto& work =
        preparation->work.emplace(Work{Work::Kind::RenewalInfo, 0, {}, questionDeadline, now + questionDeadline});
    try {
      work.thread =
          std::jthread([this, &one = *preparation](std::stop_token stop) { prepareAccount(one, std::move(stop)); });
    } catch (const std::system_error&) {
      preparation->work.reset();
      preparation->next = now + parts_.longestSleep;
    }
  }
}

void Manager::Impl::prepareAccount(Preparation& preparation, std::stop_token stop) noexcept {
  std::optional<Error> failure;
  bool stopped = false;
  try {
    preparation.provider->makeReady(*preparation.pace, stop);
  } catch (const Error& error) {
    failure = error;
  } catch (const Stopped&) {
    stopped = true;
  } catch (const std::exception& error) {
    failure = Error(makeProblem("postern:internal", error.what()));
  }
  if (failure) {
    preparation.provider->failed(failure->problem, parts_.clock.now());
    parts_.log.warn("acme.fallback.not-ready", {{"directory", preparation.provider->directory()},
                                                {"type", failure->problem.shortType()},
                                                {"detail", failure->problem.detail},
                                                {"remedy", remedyFor(failure->problem)}});
  }
  std::lock_guard lock(mutex_);
  const Time now = parts_.clock.now();
  if (failure) {
    preparation.next = nextAttempt(failure->problem, ++preparation.failures, failure->retryAfter, now, chance());
  } else if (stopped) {
    preparation.next = now + parts_.longestSleep;
  } else {
    preparation.done = true;
  }
  preparation.work->ended = true;
  woken_ = true;
  wake_.notify_all();
}

}  // namespace postern::acme
