#include "acme/order_gate.h"

#include <utility>

namespace postern::acme {

const Ledger& OrderGate::beside(Time now) const {
  if (const auto version = ledger_->version(); !beside_ || seen_ != version) {
    beside_ = ledger_->copy();
    seen_ = version;
    for (const auto& entry : underWay_) beside_->record(entry, now);
  }
  return *beside_;
}

Time OrderGate::earliest(const std::vector<std::string>& names, OrderKind kind, Time now) const {
  std::lock_guard lock(mutex_);
  return underWay_.empty() ? ledger_->earliest(names, kind, now) : beside(now).earliest(names, kind, now);
}

std::unique_ptr<OrderGate::Pass> OrderGate::enter(const std::vector<std::string>& names, OrderKind kind,
                                                  bool whatever) {
  std::lock_guard lock(mutex_);
  const Time now = clock_.now();
  const Time out = underWay_.empty() ? ledger_->earliest(names, kind, now) : beside(now).earliest(names, kind, now);
  if (out > now && !whatever) throw Delayed(out);
  return std::unique_ptr<Pass>(new Pass(*this, {LedgerEntry::Kind::Issuance, now, names, kind}));
}

// Under the gate's lock.
OrderGate::Pass::Pass(OrderGate& gate, LedgerEntry entry) : gate_(gate) {
  entry_ = gate_.underWay_.insert(gate_.underWay_.end(), std::move(entry));
  gate_.beside_.reset();
}

OrderGate::Pass::~Pass() {
  std::lock_guard lock(gate_.mutex_);
  gate_.underWay_.erase(entry_);
  gate_.beside_.reset();
}

void OrderGate::Pass::ordered() {
  if (std::exchange(ordered_, true)) return;
  LedgerEntry entry = *entry_;
  entry.kind = LedgerEntry::Kind::Order;
  gate_.ledger_->record(entry, gate_.clock_.now());
}

void OrderGate::Pass::issued() {
  LedgerEntry entry = *entry_;
  entry.at = gate_.clock_.now();
  gate_.ledger_->record(entry, entry.at);
}

}  // namespace postern::acme
