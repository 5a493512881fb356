// OrderGate: lets the orders of one directory out as its ledger allows, those under way counted as if they had brought
// their certificates already: so that eight at once do not pass a limit of which one is left.
//
// Any thread. Questions wait for no disk.
#pragma once

#include <list>
#include <memory>
#include <mutex>
#include <optional>
#include <stdexcept>
#include <string>
#include <vector>

#include "acme/ledger_file.h"
#include "base/clock.h"

namespace postern::acme {

// The directory's limits do not let an order out yet; nothing was sent.
struct Delayed : std::runtime_error {
  explicit Delayed(Time when) : std::runtime_error("delayed by the CA's limits"), until(when) {}
  Time until;
};

class OrderGate {
 public:
  // The clock outlives the gate, and the gate its passes.
  OrderGate(std::shared_ptr<LedgerFile> ledger, const Clock& clock) : ledger_(std::move(ledger)), clock_(clock) {}

  // As Ledger's.
  Time earliest(const std::vector<std::string>& names, OrderKind kind, Time now) const;

  // An order under way; over with its destructor.
  class Pass {
   public:
    ~Pass();
    Pass(const Pass&) = delete;
    Pass& operator=(const Pass&) = delete;
    // Enters the order into the ledger, once: before it is sent. Throws Error postern:storage.
    void ordered();
    // It brought a certificate. Throws Error postern:storage.
    void issued();

   private:
    friend class OrderGate;
    Pass(OrderGate& gate, LedgerEntry entry);
    OrderGate& gate_;
    std::list<LedgerEntry>::iterator entry_;
    bool ordered_ = false;
  };
  // Throws Delayed unless `whatever`. Nothing is entered into the ledger yet.
  std::unique_ptr<Pass> enter(const std::vector<std::string>& names, OrderKind kind, bool whatever);

 private:
  const Ledger& beside(Time now) const;  // under the lock

  const std::shared_ptr<LedgerFile> ledger_;
  const Clock& clock_;
  mutable std::mutex mutex_;
  std::list<LedgerEntry> underWay_;       // as the issuances that they may become
  mutable std::optional<Ledger> beside_;  // the ledger with those; none: to be made anew
  mutable unsigned long seen_ = 0;        // the ledger's version that beside_ was made of
};

}  // namespace postern::acme
