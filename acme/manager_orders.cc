#include <algorithm>
#include <utility>

#include "acme/manager_impl.h"
#include "base/text.h"

namespace postern::acme {
namespace {

using namespace std::chrono_literals;

constexpr Duration orderDeadline = 15min;  // of one attempt beside DNS propagation, whatever the CA does
constexpr Duration questionDeadline = 2min;
constexpr Duration decidedFor = 1h;  // at most: then it is decided again

bool hasFailed(const ManagedCertificate& managed) {
  return managed.care->failures() > 0;
}

}  // namespace

void Manager::Impl::Round::take(const ProviderCare& provider, bool again) {
  Slots& slots = working[&provider];
  ++slots.taken;
  if (again) ++slots.again;
}

// One of several slots is kept from those that have failed before: they make their requests at a pace.
bool Manager::Impl::Round::hasSlot(const ProviderCare& provider, bool again) const {
  const auto found = working.find(&provider);
  if (found == working.end()) return true;
  const int most = provider.ordersAtOnce();
  return found->second.taken < most && (!again || found->second.again < std::max(1, most - 1));
}

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
    allTouched_ = true;
  }
  wakeDecider();
}

void Manager::Impl::wakeDecider() {
  {
    std::lock_guard lock(mutex_);
    woken_ = true;
  }
  wake_.notify_all();
}

void Manager::Impl::touch(ManagedCertificate& managed) {
  if (managed.wanted()) agenda_.plan(managed, Time::min());
}

void Manager::Impl::forget(ManagedCertificate& managed) {
  agenda_.remove(managed);
  blocked_.erase(&managed);
  limited_.erase(&managed);
}

void Manager::Impl::decide(std::stop_token stop) {
  while (!stop.stop_requested()) {
    try {
      decideOnce(stop);
    } catch (const std::exception& error) {
      // Memory, or threads: the mail server goes on, and what is due is due a little later.
      parts_.log.error("acme.manager.failed", {{"error", error.what()}});
      std::unique_lock lock(mutex_);
      allTouched_ = true;
      wake_.wait_for(lock, stop, 1s, [] { return false; });
    }
  }
}

void Manager::Impl::decideOnce(const std::stop_token& stop) {
  joinEnded();
  bool unwantedThere = false;
  {
    std::lock_guard lock(mutex_);
    unwantedThere = letGoDue_;
  }
  if (unwantedThere) {
    // Not in the middle of an apply, which lets go itself.
    if (std::unique_lock applying(applying_, std::try_to_lock); applying.owns_lock()) letGo();
  }
  std::vector<std::pair<Event::Kind, std::vector<CertificateStatus>>> events;
  std::unique_lock lock(mutex_);
  Round round = newRound();
  const Time now = round.now;
  while (ManagedCertificate* managed = agenda_.due(now)) {
    if (const auto event = look(*managed, now)) events.emplace_back(*event, statusesOf(*managed, now));
    enqueue(*managed, decideAbout(*managed, round));
  }
  beginWhatIsDue(round);
  Time next = std::min(round.next, agenda_.next());
  prepareFallbacks(now, next);
  if (!events.empty()) {
    lock.unlock();
    for (const auto& [kind, certificates] : events) tell(kind, certificates);
    lock.lock();
  }
  const auto sleep = std::clamp<Duration>(next - parts_.clock.now(), 10ms, parts_.longestSleep);
  wake_.wait_for(lock, stop, sleep, [&] { return std::exchange(woken_, false); });
}

// Under the lock.
Manager::Impl::Round Manager::Impl::newRound() {
  Round round;
  round.now = parts_.clock.now();
  round.next = round.now + parts_.longestSleep;
  if (std::exchange(allTouched_, false) || round.now < lastRound_) {
    for (const auto& [key, managed] : managed_) touch(*managed);
  }
  lastRound_ = round.now;
  for (ManagedCertificate* managed : working_) {
    for (const auto& route : managed->routes) round.busy.insert(route.folder.get());
    Work& work = *managed->work;
    if (work.ended) continue;
    round.take(managed->providerOf(work.route), hasFailed(*managed));
    // Set back, the clock must not lengthen what hangs.
    work.deadline = std::min(work.deadline, round.now + work.longest);
    if (work.deadline > round.now) {
      round.next = std::min(round.next, work.deadline);
    } else if (!std::exchange(work.deadlinePassed, true)) {
      work.thread.request_stop();
    }
  }
  return round;
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

// Under the lock. What there is to do about one now, if anything; also plans when it is decided about again.
std::optional<Manager::Impl::Due> Manager::Impl::decideAbout(ManagedCertificate& managed, Round& round) {
  const Time now = round.now;
  const CertificateCare& care = *managed.care;
  agenda_.awaitNone(managed);
  blocked_.erase(&managed);
  limited_.erase(&managed);
  Time next = now + decidedFor;
  const auto plan = [&](std::optional<Time> at) {
    if (at && *at > now) next = std::min(next, *at);
    agenda_.plan(managed, next);
  };
  plan(care.lateFrom());
  if (managed.certificate) plan(managed.certificate->notAfter());
  if (managed.work) return std::nullopt;  // its end touches it
  const auto& routes = managed.routes;
  if (std::any_of(routes.begin(), routes.end(),
                  [&](const auto& route) { return round.busy.count(route.folder.get()) != 0; })) {
    blocked_.insert(&managed);
    return std::nullopt;
  }
  // Whose slots are all taken waits for one anyhow; its limits are asked then.
  bool limited = false;
  const auto limits = [&](std::size_t route, OrderKind kind) {
    const ProviderCare& provider = managed.providerOf(route);
    if (!round.hasSlot(provider, hasFailed(managed))) return Time::min();
    const Time out = provider.earliest(managed.names, kind, now);
    limited = limited || out > now;
    return out;
  };
  const CertificateCare::Attempt attempt = care.next(now, limits);
  if (attempt.at <= now) return Due{Work::Kind::Order, attempt.route, attempt.at, attempt};
  if (limited) limited_.insert(&managed);
  sayDelayed(managed, attempt, now);
  const auto ask = care.askAt(now);
  plan(attempt.at);
  plan(ask);
  if (ask && *ask <= now) return Due{Work::Kind::RenewalInfo, care.held()->route, *ask, attempt};
  return std::nullopt;
}

void Manager::Impl::sayDelayed(ManagedCertificate& managed, const CertificateCare::Attempt& attempt, Time now) {
  if (managed.care->dueAt(now) > now || managed.care->lastFailure() != nullptr) return;
  // Others that begin and end move the time a little.
  const auto& said = managed.delaySaid;
  if (said && attempt.at <= *said + 1h && attempt.at + 1h >= *said) return;
  managed.delaySaid = attempt.at;
  parts_.log.warn("acme.order.delayed", {{"names", joined(managed.names)},
                                         {"provider", managed.routes[attempt.route].name},
                                         {"until", rfc3339(attempt.at)},
                                         {"reason", "the CA's limits; see the ledger in postern status"}});
}

void Manager::Impl::enqueue(ManagedCertificate& managed, const std::optional<Due>& due) {
  if (!due) return;
  agenda_.await(managed, managed.providerOf(due->route), hasFailed(managed), due->kind == Work::Kind::RenewalInfo,
                due->at);
}

// Under the lock. The one that is due longest goes first, so that a name which fails again and again does not keep the
// others of its provider waiting, and finds a slot though failing ones with many names take long over their requests;
// and questions come after orders. What was decided before it waited is decided again:
// others have taken from the limits since.
void Manager::Impl::beginWhatIsDue(Round& round) {
  const auto hasSlot = [&](const ProviderCare& provider, bool again) { return round.hasSlot(provider, again); };
  while (ManagedCertificate* managed = agenda_.first(hasSlot)) {
    const auto due = decideAbout(*managed, round);
    if (!due) continue;
    ProviderCare& provider = managed->providerOf(due->route);
    if (!round.hasSlot(provider, hasFailed(*managed))) {
      enqueue(*managed, due);  // the end of one of the others wakes us
      continue;
    }
    round.take(provider, hasFailed(*managed));
    for (const auto& route : managed->routes) round.busy.insert(route.folder.get());
    begin(*managed, due->kind, due->kind == Work::Kind::Order ? &due->attempt : nullptr, round.now);
    if (managed->work) round.next = std::min(round.next, managed->work->deadline);
  }
}

void Manager::Impl::begin(ManagedCertificate& managed, Work::Kind kind, const CertificateCare::Attempt* attempt,
                          Time now) {
  const bool order = kind == Work::Kind::Order;
  if (order) managed.care->begin(*attempt, now);
  Duration longest = questionDeadline;
  if (order) {
    const auto& route = managed.routes[attempt->route];
    const Duration each = orderDeadline + (managed.care->failures() > 0 ? Pace::longerFor(managed.names.size()) : 0ms);
    longest = each + route.provider->longestWait();
    if (attempt->provedFirst && route.staging) longest += each + route.staging->longestWait();
  }
  const std::size_t route = order ? attempt->route : managed.care->held()->route;
  auto& work = managed.work.emplace(Work{kind, route, {}, longest, now + longest});
  try {
    working_.insert(&managed);
    if (order) {
      work.thread = std::jthread([this, &managed, attempt = *attempt](std::stop_token stop) {
        this->order(managed, attempt, std::move(stop));
      });
    } else {
      work.thread = std::jthread([this, &managed](std::stop_token stop) { askRenewalInfo(managed, std::move(stop)); });
    }
  } catch (const std::exception& error) {
    working_.erase(&managed);
    managed.work.reset();
    touch(managed);
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

// What waited for one that has ended is decided about again.
void Manager::Impl::joinEnded() {
  std::vector<std::jthread> threads;  // joined when this returns: they have nothing left to do
  std::lock_guard lock(mutex_);
  for (auto entry = working_.begin(); entry != working_.end();) {
    ManagedCertificate& managed = **entry;
    if (!managed.work->ended) {
      ++entry;
      continue;
    }
    entry = working_.erase(entry);
    threads.push_back(std::move(managed.work->thread));
    const bool returned = managed.work->kind == Work::Kind::Order && !managed.care->lastAttempt.value_or(false);
    const ProviderCare& provider = managed.providerOf(managed.work->route);
    managed.work.reset();
    touch(managed);
    letGoDue_ = letGoDue_ || !managed.wanted();
    for (ManagedCertificate* each : blocked_) touch(*each);
    blocked_.clear();
    if (!returned) continue;
    // Under way it counted as the issuance that it might have become: limits have that one back.
    for (ManagedCertificate* each : limited_) {
      const auto& routes = each->routes;
      if (std::any_of(routes.begin(), routes.end(),
                      [&](const auto& one) { return one.provider->sharesLimitsWith(provider); })) {
        touch(*each);
      }
    }
  }
  for (auto& preparation : preparations_) {
    if (!preparation->work || !preparation->work->ended) continue;
    threads.push_back(std::move(preparation->work->thread));
    preparation->work.reset();
  }
}

// Under applying_. Frees what nobody wants and nobody works on.
void Manager::Impl::letGo() {
  std::vector<ManagedRef> unwanted;
  std::vector<std::shared_ptr<ProviderCare>> providers;
  {
    std::lock_guard lock(mutex_);
    letGoDue_ = false;
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
  const auto over = [](const auto& preparation) { return preparation->done && !preparation->work; };
  if (std::erase_if(preparations_, over) != 0) letGoDue_ = true;  // its provider may be nobody's now
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
