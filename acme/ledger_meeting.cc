// What two ledgers of one CA know, made one: of two caches, or of a file that could not be read when the server began.
//
// A bucket's history begins when it was last full. Ledgers that have met enter the same things from then on, so
// histories that begin together are one, and the fuller one (that lacks less) is right: the other file was not written
// since. Histories that begin apart and overlap are of two that had not met, and what was taken adds up.
#include <algorithm>
#include <chrono>

#include "acme/ledger.h"
#include "acme/ledger_limits.h"

namespace postern::acme {
namespace {

using namespace std::chrono_literals;

// The disk knows seconds.
constexpr Duration rounding = 2s;

}  // namespace

std::optional<Ledger::Level> Ledger::same(const LedgerLimit& limit, const Level& one, const Level& other) {
  const Level& first = one.since <= other.since ? one : other;
  const Level& second = one.since <= other.since ? other : one;
  if (second.since <= first.since + rounding) return Level{first.since, std::max(first.fullAt, second.fullAt)};
  // It was full again in between, and the first one has not seen what came then.
  if (first.fullAt + limit.margin() <= second.since + rounding) return second;
  return std::nullopt;
}

Ledger::Level Ledger::sum(const LedgerLimit& limit, const Level& one, const Level& other, Time now) {
  const Level& first = one.since <= other.since ? one : other;
  const Level& second = one.since <= other.since ? other : one;
  if (first.fullAt + limit.margin() <= second.since) return second;
  const Time full = std::max(first.fullAt, second.since) + (second.fullAt - second.since);
  return {first.since, std::min(full, std::max({first.fullAt, second.fullAt, now + limit.period}))};
}

void Ledger::append(const Ledger& later, Time now) {
  for (const auto& [key, level] : later.levels_) {
    const auto [mine, isNew] = levels_.try_emplace(key, level);
    if (isNew) continue;
    const bool wrong = misdated(mine->second.fullAt, now + key.first->period);
    mine->second = wrong ? level : sum(*key.first, mine->second, level, now);
  }
  for (const auto& [set, at] : later.issued_) restore(Issued{set, at});
  for (const auto& [names, until] : later.told_) told_[names] = until;
}

bool Ledger::join(const Ledger& other, Time now) {
  bool addedUp = false;
  for (const auto& [key, level] : other.levels_) {
    const LedgerLimit& limit = *key.first;
    if (limit.of != LedgerLimit::Of::Everybody || misdated(level.fullAt, now + limit.period)) continue;
    const auto [found, isNew] = levels_.try_emplace(key, level);
    if (isNew) continue;
    Level& mine = found->second;
    if (misdated(mine.fullAt, now + limit.period)) {
      mine = level;
    } else if (const auto one = same(limit, mine, level)) {
      mine = *one;
    } else {
      mine = sum(limit, mine, level, now);
      addedUp = true;
    }
  }
  for (const auto& [set, at] : other.issued_) restore(Issued{set, std::min(at, now)});
  return addedUp;
}

bool Ledger::adopt(const Ledger& other) {
  std::map<Key, Level> levels;
  const auto take = [&](const Ledger& from, LedgerLimit::Of of) {
    for (const auto& level : from.levels_) {
      if (level.first.first->of == of) levels.insert(level);
    }
  };
  take(*this, LedgerLimit::Of::Account);
  take(other, LedgerLimit::Of::Everybody);
  const bool news = levels != levels_ || issued_ != other.issued_;
  levels_ = std::move(levels);
  issued_ = other.issued_;
  return news;
}

}  // namespace postern::acme
