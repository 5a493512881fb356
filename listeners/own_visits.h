// OwnVisits: connections of this process to its own listeners, which look at what is served. They are counted as any
// others, but no limit refuses them: a server at its limits still knows whether it serves the right certificate.
//
// Any thread.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <mutex>
#include <vector>

#include "listeners/endpoint.h"

namespace postern::listeners {

class OwnVisits {
 public:
  // To be held from before the connection is made until it has ended. `from`: our own end of it.
  class Visit {
   public:
    Visit(OwnVisits& visits, const Endpoint& from) : visits_(visits), from_(from) { visits_.begin(from_); }
    ~Visit() { visits_.end(from_); }
    Visit(const Visit&) = delete;
    Visit& operator=(const Visit&) = delete;

   private:
    OwnVisits& visits_;
    const Endpoint from_;
  };

  // Whether `peer`, who has connected, is one of us.
  bool include(const Endpoint& peer) const {
    if (count_.load(std::memory_order_acquire) == 0) return false;
    std::lock_guard lock(mutex_);
    return std::find(under_.begin(), under_.end(), peer) != under_.end();
  }

 private:
  void begin(const Endpoint& from) {
    std::lock_guard lock(mutex_);
    under_.push_back(from);
    count_.store(under_.size(), std::memory_order_release);
  }
  void end(const Endpoint& from) {
    std::lock_guard lock(mutex_);
    const auto found = std::find(under_.begin(), under_.end(), from);
    if (found != under_.end()) under_.erase(found);
    count_.store(under_.size(), std::memory_order_release);
  }

  std::atomic<std::size_t> count_{0};
  mutable std::mutex mutex_;
  std::vector<Endpoint> under_;  // under way; a handful
};

}  // namespace postern::listeners
