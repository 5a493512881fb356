#include "acme/ledger.h"

#include <arpa/inet.h>
#include <libpsl.h>

#include <algorithm>
#include <array>
#include <memory>
#include <set>

#include "acme/ledger_limits.h"
#include "acme/storage.h"
#include "base/text.h"

namespace postern::acme {
namespace {

using namespace std::chrono_literals;

// By how much a clock may have been set back and what was recorded before still be waited for.
constexpr Duration tolerance = 2h;
// No CA asks to be left alone for longer; a time beyond was told under a wrong clock, theirs or ours.
constexpr Duration longestTold = 7 * 24h;

std::vector<std::string> sorted(std::vector<std::string> names) {
  std::sort(names.begin(), names.end());
  names.erase(std::unique(names.begin(), names.end()), names.end());
  return names;
}

std::string withoutWildcard(const std::string& name) {
  return name.starts_with("*.") ? name.substr(2) : name;
}

// What a limit counts by, of an order for `names`.
std::set<std::string> subjectsOf(const LedgerLimit& limit, const std::vector<std::string>& names) {
  std::set<std::string> subjects;
  switch (limit.per) {
    case LedgerLimit::Per::Nothing: subjects.insert(""); break;
    case LedgerLimit::Per::Set: subjects.insert(joined(sorted(names))); break;
    case LedgerLimit::Per::RegisteredDomain:
      for (const auto& name : names) subjects.insert(registeredDomain(name));
      break;
    case LedgerLimit::Per::Identifier:
      for (const auto& name : names) subjects.insert(withoutWildcard(name));
      break;
  }
  return subjects;
}

bool stands(Time toldUntil, Time now) {
  return toldUntil > now && toldUntil <= now + longestTold + tolerance;
}

const psl_ctx_t* suffixes() {
  // The newer of the system's list and the one libpsl was built with.
  static const std::unique_ptr<psl_ctx_t, void (*)(psl_ctx_t*)> latest(psl_latest(nullptr), psl_free);
  return latest ? latest.get() : psl_builtin();
}

}  // namespace

Ledger::Ledger(const std::string& directoryUrl) : figures_(figuresOf(directoryUrl)) {}

// Further in the future than anything can be: it was recorded under a wrong clock, and is not waited for. What is
// recorded next under a clock that a CA has taken puts it right; a question alone does not, lest a machine that wakes
// in 1970 forget everything.
bool Ledger::misdated(Time at, Time latest) {
  return at > latest + tolerance;
}

void Ledger::take(const LedgerLimit* limit, const std::string& subject, Time at) {
  Level& level = levels_.try_emplace(Key{limit, subject}, Level{at, at}).first->second;
  if (level.fullAt + limit->margin() <= at) level = {at, at};
  level.since = std::min(level.since, at);
  // What is taken from an empty bucket, because it had to be, leaves it empty.
  level.fullAt = std::min(std::max(level.fullAt, at) + limit->refill(), at + limit->period);
}

Time Ledger::freeAt(const LedgerLimit* limit, const std::string& subject, Time now) const {
  const auto found = levels_.find(Key{limit, subject});
  if (found == levels_.end()) return now;
  const Level& level = found->second;
  if (misdated(level.fullAt, now + limit->period)) return now;
  // Of what it was full with there is one left, whatever has refilled since.
  if (level.fullAt - level.since + limit->refill() <= limit->period) return now;
  return std::max(now, level.fullAt - limit->period + limit->refill() + limit->margin());
}

void Ledger::record(const LedgerEntry& entry, Time now) {
  settle(now);
  if (entry.kind == LedgerEntry::Kind::Issuance) issued_[nameSetHash(entry.names)] = entry.at;
  if (!figures_) return;
  for (const auto& limit : figures_->limits) {
    if (entry.elsewhere && limit.of == LedgerLimit::Of::Account) continue;
    const bool spared = limit.sparesRenewals && entry.order != OrderKind::First;
    if (limit.takenBy == entry.kind && !spared) {
      for (const auto& subject : subjectsOf(limit, entry.names)) take(&limit, subject, entry.at);
    }
    if (limit.emptiedBySuccess && entry.kind == LedgerEntry::Kind::Issuance) {
      for (const auto& subject : subjectsOf(limit, entry.names)) levels_.erase(Key{&limit, subject});
    }
  }
}

Ledger::Told Ledger::told(Time until, std::vector<std::string> names, Time now) {
  settle(now);
  Told kept{std::min(until, now + longestTold), sorted(std::move(names))};
  told_[kept.names] = kept.until;
  return kept;
}

void Ledger::settle(Time now) {
  if (now < settleAt_ && now + tolerance > settleAt_) return;
  settleAt_ = now + 1h;
  std::erase_if(levels_, [&](const auto& bucket) {
    const auto& [key, level] = bucket;
    return level.fullAt + key.first->margin() <= now || misdated(level.fullAt, now + key.first->period);
  });
  for (auto set = issued_.begin(); set != issued_.end();) {
    if (misdated(set->second, now)) set->second = now;
    set = set->second + renewalMemory <= now ? issued_.erase(set) : std::next(set);
  }
  std::erase_if(told_, [&](const auto& one) { return !stands(one.second, now); });
}

Time Ledger::toldFor(const std::vector<std::string>& names, Time now) const {
  const auto found = told_.find(names);
  return found != told_.end() && stands(found->second, now) ? found->second : now;
}

Time Ledger::earliest(const std::vector<std::string>& names, OrderKind kind, Time now) const {
  Time at = std::max(toldFor({}, now), toldFor(sorted(names), now));
  if (!figures_ || kind == OrderKind::Ari) return at;
  for (const auto& limit : figures_->limits) {
    if (limit.takenBy == LedgerEntry::Kind::Account) continue;
    if (limit.sparesRenewals && kind == OrderKind::Renewal) continue;
    for (const auto& subject : subjectsOf(limit, names)) at = std::max(at, freeAt(&limit, subject, now));
  }
  return at;
}

Time Ledger::earliestAccount(Time now) const {
  Time at = toldFor({}, now);
  if (!figures_) return at;
  for (const auto& limit : figures_->limits) {
    if (limit.takenBy == LedgerEntry::Kind::Account) at = std::max(at, freeAt(&limit, "", now));
  }
  return at;
}

std::vector<LimitState> Ledger::left(Time now) const {
  std::vector<LimitState> states;
  for (const auto& [names, until] : told_) {
    if (!stands(until, now)) continue;
    states.push_back({names.empty() ? "told by the CA" : "told by the CA for " + joined(names), 0, until});
  }
  for (const auto& [key, level] : levels_) {
    const auto& [limit, subject] = key;
    const Time full = level.fullAt;
    if (full <= now || misdated(full, now + limit->period)) continue;
    const auto refill = limit->refill();
    const auto missing = (full - now + refill - 1ms) / refill;
    LimitState state;
    state.limit = std::string(limit->words);
    if (!subject.empty()) state.limit += " " + subject;
    state.left = limit->burst - static_cast<int>(std::min<Duration::rep>(missing, limit->burst));
    state.refillAt = full - (missing - 1) * refill;
    states.push_back(std::move(state));
  }
  std::stable_sort(states.begin(), states.end(), [](const auto& a, const auto& b) { return a.left < b.left; });
  return states;
}

bool Ledger::concernsEverybody(LedgerEntry::Kind kind) const {
  return figures_ && std::any_of(figures_->limits.begin(), figures_->limits.end(), [&](const LedgerLimit& limit) {
           return limit.of == LedgerLimit::Of::Everybody && limit.takenBy == kind;
         });
}

Ledger Ledger::about(const std::vector<std::string>& names) const {
  Ledger about(figures_);
  for (const auto& which : {std::vector<std::string>(), sorted(names)}) {
    if (const auto found = told_.find(which); found != told_.end()) about.told_.insert(*found);
  }
  if (!figures_) return about;
  for (const auto& limit : figures_->limits) {
    for (const auto& subject : subjectsOf(limit, names)) {
      if (const auto found = levels_.find(Key{&limit, subject}); found != levels_.end()) about.levels_.insert(*found);
    }
  }
  return about;
}

bool Ledger::issuedBefore(const std::vector<std::string>& names, Time now) const {
  const auto found = issued_.find(nameSetHash(names));
  return found != issued_.end() && now < found->second + renewalMemory;
}

std::vector<Ledger::Bucket> Ledger::buckets() const {
  std::vector<Bucket> buckets;
  buckets.reserve(levels_.size());
  for (const auto& [key, level] : levels_) {
    buckets.push_back({std::string(key.first->id), key.second, level.since, level.fullAt});
  }
  return buckets;
}

std::vector<Ledger::Issued> Ledger::issued() const {
  std::vector<Issued> sets;
  sets.reserve(issued_.size());
  for (const auto& [set, at] : issued_) sets.push_back({set, at});
  return sets;
}

void Ledger::restore(const Bucket& bucket) {
  if (!figures_) return;
  for (const auto& limit : figures_->limits) {
    if (limit.id != bucket.limit) continue;
    const Level kept{bucket.since, bucket.fullAt};
    Level& level = levels_.try_emplace(Key{&limit, bucket.subject}, kept).first->second;
    level = {std::min(level.since, kept.since), std::max(level.fullAt, kept.fullAt)};
  }
}

void Ledger::restore(const Issued& issued) {
  Time& at = issued_.try_emplace(issued.set, issued.at).first->second;
  at = std::max(at, issued.at);
}

void Ledger::restore(Told told) {
  told_[sorted(std::move(told.names))] = told.until;
}

std::vector<Ledger::Told> Ledger::toldUntil() const {
  std::vector<Told> all;
  all.reserve(told_.size());
  for (const auto& [names, until] : told_) all.push_back({until, names});
  return all;
}

std::string registeredDomain(const std::string& name) {
  in_addr four{};
  if (inet_pton(AF_INET, name.c_str(), &four) == 1) return name;
  in6_addr six{};
  if (inet_pton(AF_INET6, name.c_str(), &six) == 1) {
    std::fill(six.s6_addr + 8, six.s6_addr + 16, std::uint8_t{0});
    std::array<char, INET6_ADDRSTRLEN> text{};
    inet_ntop(AF_INET6, &six, text.data(), text.size());
    return std::string(text.data()) + "/64";
  }
  const std::string plain = withoutWildcard(name);
  const char* domain = psl_registrable_domain(suffixes(), plain.c_str());
  return domain ? domain : plain;
}

}  // namespace postern::acme
