// OrderGate: lets the orders of one CA out as its limits allow, those under way counted as if they had brought their
// certificates already: so that eight at once do not pass a limit of which one is left.
//
// Limits belong to a directory, and all caches of the server that order there share one gate. Each enters into a ledger
// of its own what its account does; what counts for everybody, the gate tells the other ledgers at once.
//
// Any thread. Questions wait for no disk, and what one ledger is told of another waits for neither's.
#pragma once

#include <list>
#include <memory>
#include <mutex>
#include <stdexcept>
#include <string>
#include <vector>

#include "acme/ledger_file.h"
#include "base/clock.h"
#include "base/log.h"

namespace postern::acme {

// The directory's limits do not let an order out yet; nothing was sent.
struct Delayed : std::runtime_error {
  explicit Delayed(Time when) : std::runtime_error("delayed by the CA's limits"), until(when) {}
  Time until;
};

class OrderGate {
 public:
  // Clock and log outlive the gate, and the gate its passes.
  OrderGate(const Clock& clock, Log& log) : clock_(clock), log_(log) {}

  // One more ledger whose orders go through here, as long as somebody holds it; before anything is asked or entered by
  // it. It learns what the others know of everybody's limits, and they what it knows.
  void join(const std::shared_ptr<LedgerFile>& ledger);

  // As Ledger's, with the orders under way. Of a set that was issued here before a first order counts as a renewal.
  Time earliest(const LedgerFile& ledger, const std::vector<std::string>& names, OrderKind kind, Time now) const;
  // Enters what happened into `ledger`, and where it counts for everybody tells the others. Throws Error
  // postern:storage; it counts all the same.
  void record(LedgerFile& ledger, const LedgerEntry& entry);

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
    struct UnderWay {
      const LedgerFile* by;
      LedgerEntry entry;  // the issuance that it may become
    };
    using Place = std::list<UnderWay>::iterator;
    Pass(OrderGate& gate, LedgerFile& ledger, Place place) : gate_(gate), ledger_(ledger), place_(place) {}
    OrderGate& gate_;
    LedgerFile& ledger_;
    const Place place_;
    bool ordered_ = false;
  };
  // Throws Delayed unless `whatever`. Nothing is entered into the ledger yet, which outlives the pass.
  std::unique_ptr<Pass> enter(LedgerFile& ledger, const std::vector<std::string>& names, OrderKind kind, bool whatever);

 private:
  // Under the lock.
  static OrderKind kindOf(const LedgerFile& ledger, const std::vector<std::string>& names, OrderKind kind, Time now);
  Time outAt(const LedgerFile& ledger, const std::vector<std::string>& names, OrderKind kind, Time now) const;
  void note(LedgerFile& ledger, const LedgerEntry& entry);

  const Clock& clock_;
  Log& log_;
  mutable std::mutex mutex_;  // taken before the ledgers'
  std::vector<std::weak_ptr<LedgerFile>> ledgers_;
  std::list<Pass::UnderWay> underWay_;
};

}  // namespace postern::acme
