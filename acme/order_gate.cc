#include "acme/order_gate.h"

#include <algorithm>
#include <utility>

#include "acme/error.h"

namespace postern::acme {

void OrderGate::join(const std::shared_ptr<LedgerFile>& ledger) {
  std::vector<std::shared_ptr<LedgerFile>> all;
  bool addedUp = false;
  {
    std::lock_guard lock(mutex_);
    std::erase_if(ledgers_, [&](const auto& each) { return each.expired() || each.lock() == ledger; });
    ledgers_.push_back(ledger);
    for (const auto& each : ledgers_) {
      if (auto held = each.lock()) all.push_back(std::move(held));
    }
    addedUp = LedgerFile::acquaint(all, clock_.now());
  }
  if (!addedUp) return;
  for (const auto& each : all) {
    try {
      each->flush();
    } catch (const Error& error) {
      // With its next entry, then.
      log_.warn("acme.cache.unwritable", {{"path", each->path().string()}, {"error", error.problem.detail}});
    }
  }
}

Time OrderGate::outAt(const LedgerFile& ledger, const std::vector<std::string>& names, OrderKind kind, Time now) const {
  const Time out = ledger.earliest(names, kind, now);
  // Whom limits hold up anyhow looks again then.
  if (out > now || underWay_.empty() || !ledger.concernsEverybody(LedgerEntry::Kind::Issuance)) return out;
  Ledger beside = ledger.about(names, now);
  for (const auto& [by, entry] : underWay_) {
    if (entry.names.empty()) continue;  // entered already
    LedgerEntry seen = entry;
    seen.elsewhere = by != &ledger;
    beside.record(seen, now);
  }
  return beside.earliest(names, kind, now);
}

Time OrderGate::earliest(const LedgerFile& ledger, const std::vector<std::string>& names, OrderKind kind,
                         Time now) const {
  std::lock_guard lock(mutex_);
  return outAt(ledger, names, kindOf(ledger, names, kind, now), now);
}

// The set may have been issued for another key type, or into another cache: a renewal to the CA, if not to us.
OrderKind OrderGate::kindOf(const LedgerFile& ledger, const std::vector<std::string>& names, OrderKind kind, Time now) {
  return kind == OrderKind::First ? ledger.kindOf(names, now) : kind;
}

// All ledgers see what counts for everybody in the same order.
void OrderGate::note(LedgerFile& ledger, const LedgerEntry& entry) {
  const Time now = clock_.now();
  ledger.note(entry, now);
  if (ledgers_.size() < 2 || !ledger.concernsEverybody(entry.kind)) return;
  LedgerEntry told = entry;
  told.elsewhere = true;
  for (const auto& each : ledgers_) {
    if (const auto other = each.lock(); other && other.get() != &ledger) other->note(told, now);
  }
}

void OrderGate::record(LedgerFile& ledger, const LedgerEntry& entry) {
  {
    std::lock_guard lock(mutex_);
    note(ledger, entry);
  }
  ledger.flush();
}

std::unique_ptr<OrderGate::Pass> OrderGate::enter(LedgerFile& ledger, const std::vector<std::string>& names,
                                                  OrderKind kind, bool whatever) {
  std::lock_guard lock(mutex_);
  const Time now = clock_.now();
  const OrderKind seen = kindOf(ledger, names, kind, now);
  if (const Time out = outAt(ledger, names, seen, now); out > now && !whatever) throw Delayed(out);
  const auto place = underWay_.insert(underWay_.end(), {&ledger, {LedgerEntry::Kind::Issuance, now, names, seen}});
  return std::unique_ptr<Pass>(new Pass(*this, ledger, place));
}

OrderGate::Pass::~Pass() {
  std::lock_guard lock(gate_.mutex_);
  gate_.underWay_.erase(place_);
}

void OrderGate::Pass::ordered() {
  if (std::exchange(ordered_, true)) return;
  LedgerEntry entry = place_->entry;
  entry.kind = LedgerEntry::Kind::Order;
  gate_.record(ledger_, entry);
}

void OrderGate::Pass::issued() {
  {
    std::lock_guard lock(gate_.mutex_);
    LedgerEntry entry = place_->entry;
    entry.at = gate_.clock_.now();
    gate_.note(ledger_, entry);
    place_->entry.names.clear();  // it has become what it counted as
  }
  ledger_.flush();
}

}  // namespace postern::acme
