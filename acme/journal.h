// Journal: what an order writes down before it goes on, so that a crash resumes it and buys no other.
#pragma once

#include <optional>
#include <string>

#include "base/clock.h"

namespace postern::acme {

// Called by the one thread that runs the order. Writes are on disk when they return, or throw Error postern:storage.
struct Journal {
  virtual ~Journal() = default;
  virtual std::optional<std::string> pendingOrder() const = 0;  // URL of an order begun and not ended
  virtual std::optional<Time> pendingSince() const = 0;         // of that order; nothing where it is not known
  virtual void rememberOrder(const std::string& orderUrl, Time now) = 0;
  virtual void forgetOrder() = 0;  // it ended, or the CA no longer knows it
};

}  // namespace postern::acme
