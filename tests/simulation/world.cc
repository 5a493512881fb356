#include "tests/simulation/world.h"

#include <algorithm>

namespace postern::simulation {
namespace {

using namespace std::chrono_literals;
using acme::CertificateCare;
using What = Happening::What;

constexpr int ordersAtOnce = 8;
const std::string directory = "https://acme-v02.api.letsencrypt.org/directory";

// Four in five are there from the start, three for each registered domain. Of the rest most come on one day, all of one
// registered domain, and some now and then.
std::string nameOf(int certificate, int all) {
  const int early = all * 4 / 5, atOnce = all / 8;
  const std::string host = "m" + std::to_string(certificate);
  if (certificate < early) return host + ".d" + std::to_string(certificate / 3) + ".org";
  if (certificate < early + atOnce) return host + ".big.org";
  return host + ".late" + std::to_string(certificate) + ".org";
}

Duration wantedAfter(int certificate, int all, Duration time) {
  const int early = all * 4 / 5, atOnce = all / 8;
  if (certificate < early) return 0ms;
  if (certificate < early + atOnce) return time / 20;
  return time / 2 * (certificate - early) / (all - early);
}

}  // namespace

World::World(int certificates, Duration time, std::uint64_t seed, Habits habits)
    : start_(*parseRfc3339("2026-01-01T00:00:00Z")),
      end_(start_ + time),
      phases_(phasesOf(time)),
      weather_(weather(seed, certificates, time)),
      habits_(habits),
      ca_(phases_, start_),
      dice_(seed + 1),
      ledger_(std::make_unique<acme::Ledger>(directory)),
      now_(start_) {
  managed_.resize(static_cast<std::size_t>(certificates));
  for (int i = 0; i < certificates; ++i) {
    Managed& managed = managed_[static_cast<std::size_t>(i)];
    managed.name = nameOf(i, certificates);
    managed.wantedFrom = start_ + wantedAfter(i, certificates, time);
    push(managed.wantedFrom, Event::What::Want, i);
  }
}

Figures World::run() {
  auto happening = weather_.begin();
  while (true) {
    const bool weatherFirst =
        happening != weather_.end() && (events_.empty() || start_ + happening->at <= events_.top().at);
    if (!weatherFirst && events_.empty()) break;
    now_ = weatherFirst ? start_ + happening->at : events_.top().at;
    if (now_ >= end_) break;
    if (weatherFirst) {
      happen(*happening++);
    } else {
      const Event event = events_.top();
      events_.pop();
      take(event);
    }
  }
  now_ = end_;
  for (Managed& managed : managed_) {
    if (managed.held) {
      ++figures_.issued;
      noteHeld(managed, end_);
    }
  }
  figures_.orders = ca_.orders();
  figures_.byAri = ca_.exempt();
  figures_.refused = ca_.refusals();
  figures_.failuresTooMany = ca_.failuresTooMany();
  return figures_;
}

void World::happen(const Happening& happening) {
  switch (happening.what) {
    case What::Outage:
      ++figures_.outages;
      figures_.longestOutage = std::max(figures_.longestOutage, happening.time);
      outageUntil_ = std::max(outageUntil_, now_ + happening.time);
      outageSaysWhen_ = happening.share < 0.5;
      break;
    case What::Revocation:
      ++figures_.revocations;
      for (Managed& managed : managed_) {
        if (!managed.held || dice_.roll() >= happening.share) continue;
        ++figures_.revoked;
        ca_.moveWindow(*managed.held, now_ - 1h, now_ - 30min);
        if (!managed.revokedAt) managed.revokedAt = now_;
      }
      break;
    case What::WindowsMove:
      ++figures_.windowsMoved;
      for (Managed& managed : managed_) {
        if (!managed.held || dice_.roll() >= happening.share) continue;
        const CaCertificate& held = ca_.certificate(*managed.held);
        ca_.moveWindow(*managed.held, held.windowStart + happening.time, held.windowEnd + happening.time);
      }
      break;
    case What::ClockJump:
      ++figures_.clockJumps;
      offset_ = happening.time;
      planAll();  // the manager looks at the clock every few minutes
      break;
    case What::Restart: kill(happening.time); break;
    case What::NamesBreak: {
      ++figures_.namesBroken;
      Managed& managed = managed_[static_cast<std::size_t>(happening.certificate)];
      managed.brokenUntil = std::max(managed.brokenUntil, now_ + happening.time);
      break;
    }
    case What::Force: {
      Managed& managed = managed_[static_cast<std::size_t>(happening.certificate)];
      if (!managed.care) break;
      managed.care->orderNow(serversNow(), true);
      plan(happening.certificate);
      break;
    }
  }
}

void World::push(Time at, Event::What what, int certificate) {
  const std::uint64_t version = certificate < 0 ? 0 : managed_[static_cast<std::size_t>(certificate)].version;
  events_.push({at, number_++, what, certificate, version});
}

void World::take(const Event& event) {
  if (event.what == Event::What::Up) return start();
  Managed& managed = managed_[static_cast<std::size_t>(event.certificate)];
  if (event.what == Event::What::Want) {
    if (!down_) open(managed);  // else the start does
    return plan(event.certificate);
  }
  if (event.version != managed.version) return;
  ++figures_.events;
  if (event.what == Event::What::End) {
    end(event.certificate);
  } else if (!onlyAsked(event.certificate)) {
    plan(event.certificate);
  }
}

std::optional<CertificateCare::Held> World::heldBy(const Managed& managed) const {
  if (!managed.held) return std::nullopt;
  const CaCertificate& held = ca_.certificate(*managed.held);
  return CertificateCare::Held{{held.notBefore, held.notAfter}, "c" + std::to_string(*managed.held), 0};
}

void World::open(Managed& managed) {
  CertificateCare::Route route;
  route.provider = "le";
  std::optional<acme::RenewalInfo> info;
  if (managed.care) {  // as the disk has it
    route.history = managed.care->routes().front().history;
    info = managed.care->info();
  }
  route.resumable = managed.pending.has_value();
  managed.care =
      std::make_unique<CertificateCare>(std::vector{std::move(route)}, heldBy(managed), std::move(info), serversNow());
  managed.care->want({std::nullopt});
  managed.care->configure(0, "unchanged", false);
}

void World::kill(Duration downFor) {
  if (down_) return;
  ++figures_.restarts;
  down_ = true;
  working_ = 0;
  waiting_.clear();
  firstUnderWay_.clear();
  beside_.reset();
  for (Managed& managed : managed_) {
    ++managed.version;
    if (!managed.underWay) continue;
    // Killed behind the last request: the certificate is there, and nobody has it yet.
    const bool issues = managed.pending && managed.reached && !outage() && now_ >= managed.brokenUntil;
    if (issues && dice_.roll() < 0.3) ca_.finalize(*managed.pending, now_);
    managed.underWay.reset();
    managed.refusal.reset();
  }
  push(now_ + downFor, Event::What::Up, -1);
}

void World::start() {
  down_ = false;
  auto read = std::make_unique<acme::Ledger>(directory);
  for (const auto& bucket : ledger_->buckets()) read->restore(bucket);
  for (const auto& issued : ledger_->issued()) read->restore(issued);
  for (const auto& told : ledger_->toldUntil()) read->restore(told);
  ledger_ = std::move(read);
  for (Managed& managed : managed_) {
    if (managed.wantedFrom <= now_) open(managed);
  }
  planAll();
}

void World::planAll() {
  for (std::size_t i = 0; i < managed_.size(); ++i) plan(static_cast<int>(i));
}

CertificateCare::Attempt World::next(const Managed& managed) const {
  const Time now = serversNow();
  CertificateCare::Attempt attempt =
      managed.care->next(now, [this, &managed](std::size_t, acme::OrderKind kind) { return earliest(managed, kind); });
  const auto& history = managed.care->routes().front().history;
  if (habits_.renewsAtLeft && managed.held) {
    const CaCertificate& held = ca_.certificate(*managed.held);
    const auto lifetime = static_cast<double>((held.notAfter - held.notBefore).count());
    attempt.at = held.notAfter - Duration(static_cast<Duration::rep>(lifetime * *habits_.renewsAtLeft));
    if (history.notBefore) attempt.at = std::max(attempt.at, *history.notBefore);
  }
  if (!habits_.heedsBackOff && managed.care->dueAt(now) <= now) attempt.at = managed.endedAt + offset_ + 1min;
  return attempt;
}

// Renewals take from no limit that two of them share; first orders do, those under way included.
Time World::earliest(const Managed& managed, acme::OrderKind kind) const {
  const Time now = serversNow();
  if (!habits_.heedsLimits) return now;
  if (kind != acme::OrderKind::First || firstUnderWay_.empty()) return ledger_->earliest({managed.name}, kind, now);
  if (!beside_) {
    beside_ = *ledger_;
    for (const int other : firstUnderWay_) {
      const std::string& name = managed_[static_cast<std::size_t>(other)].name;
      beside_->record({acme::LedgerEntry::Kind::Issuance, now, {name}, acme::OrderKind::First}, now);
    }
  }
  return beside_->earliest({managed.name}, kind, now);
}

void World::record(const Managed& managed, acme::LedgerEntry::Kind kind, acme::OrderKind order) {
  ledger_->record({kind, serversNow(), {managed.name}, order}, serversNow());
  beside_.reset();
}

// Most wakes are for a question whose answer is the old one: the plan stands then, and is gone over once a day.
bool World::onlyAsked(int certificate) {
  Managed& managed = managed_[static_cast<std::size_t>(certificate)];
  const Time now = serversNow();
  const auto question = managed.care->askAt(now);
  if (now >= managed.dueAt || !question || *question > now || ++managed.wakes % 4 == 0 || ask(managed)) return false;
  pushWake(managed, certificate);
  return true;
}

void World::pushWake(const Managed& managed, int certificate) {
  const Time now = serversNow();
  const auto question = managed.care->askAt(now);
  const Time at = question ? std::min(managed.dueAt, *question) : managed.dueAt;
  push(now_ + std::max<Duration>(at - now, 10ms), Event::What::Wake, certificate);
}

// What is due is begun; what is not is planned.
void World::plan(int certificate) {
  Managed& managed = managed_[static_cast<std::size_t>(certificate)];
  if (down_ || !managed.care || managed.underWay) return;
  ++managed.version;
  const Time now = serversNow();
  auto attempt = next(managed);
  if (attempt.at > now) {
    const auto question = managed.care->askAt(now);
    if (question && *question <= now && ask(managed)) attempt = next(managed);
  }
  if (attempt.at <= now) {
    if (working_ < ordersAtOnce) return begin(certificate, attempt);
    waiting_.insert({attempt.at, certificate});
    return;
  }
  managed.dueAt = attempt.at;
  pushWake(managed, certificate);
}

// At most `ordersAtOnce` are under way: the end of one lets the next begin.
void World::begin(int certificate, const CertificateCare::Attempt& attempt) {
  Managed& managed = managed_[static_cast<std::size_t>(certificate)];
  managed.care->begin(attempt, serversNow());
  if (!order(managed, attempt)) {
    managed.care->givenBack(attempt, serversNow());
    return plan(certificate);
  }
  ++working_;
  managed.underWay = attempt;
  if (attempt.kind == acme::OrderKind::First) firstUnderWay_.insert(certificate);
  beside_.reset();
  const bool quick = !managed.reached || managed.refusal;
  push(now_ + (quick ? dice_.between(100ms, 30s) : dice_.between(3s, 90s)), Event::What::End, certificate);
}

void World::end(int certificate) {
  Managed& managed = managed_[static_cast<std::size_t>(certificate)];
  const auto attempt = *std::exchange(managed.underWay, std::nullopt);
  managed.endedAt = now_;
  --working_;
  firstUnderWay_.erase(certificate);
  beside_.reset();
  finish(managed, attempt);
  plan(certificate);
  while (working_ < ordersAtOnce && !waiting_.empty()) {
    const int other = waiting_.begin()->second;
    waiting_.erase(waiting_.begin());
    plan(other);
  }
}

void World::noteHeld(Managed& managed, Time until) {
  const CaCertificate& held = ca_.certificate(*managed.held);
  const Duration lifetime = held.notAfter - held.notBefore;
  auto& of = figures_.byDays[static_cast<int>((lifetime + 1h) / day)];
  const double share = lifetime < shortLife ? 1.0 / 2 : 2.0 / 3;
  of.ideal += static_cast<double>((until - managed.heldFrom).count()) / (share * static_cast<double>(lifetime.count()));
  of.leastLeft = std::min<Duration>(of.leastLeft, held.notAfter - until);
  if (until >= held.notAfter) ++figures_.expired;
}

}  // namespace postern::simulation
