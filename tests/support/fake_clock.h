// FakeClock: a Clock that a test holds in its hand.
//
// Any thread may call anything here. Time stands still until set(), advance() or somebody's wait() moves it: a wait
// costs nothing and is over at once, with the time advanced by what was asked for.
#pragma once

#include <functional>
#include <mutex>
#include <stop_token>
#include <utility>
#include <vector>

#include "base/clock.h"

namespace postern::testing {

class FakeClock : public Clock {
 public:
  // 2026-03-01T12:00:00Z unless told otherwise.
  explicit FakeClock(Time now = Time(std::chrono::seconds(1772366400))) : now_(now) {}

  Time now() const override {
    std::lock_guard lock(mutex_);
    return now_;
  }
  bool wait(Duration time, std::stop_token stop) override {
    if (stop.stop_requested()) return false;
    std::function<void(Duration)> onWait;
    {
      std::lock_guard lock(mutex_);
      waits_.push_back(time);
      if (time > Duration::zero()) now_ += time;
      onWait = onWait_;
    }
    if (onWait) onWait(time);
    return !stop.stop_requested();
  }

  void set(Time now) {
    std::lock_guard lock(mutex_);
    now_ = now;
  }
  void advance(Duration time) {
    std::lock_guard lock(mutex_);
    now_ += time;
  }
  // What was waited for until now, in order.
  std::vector<Duration> waits() const {
    std::lock_guard lock(mutex_);
    return waits_;
  }
  // Called in each wait() after the time has moved, on the waiting thread: the place to request a stop from.
  void onWait(std::function<void(Duration)> called) {
    std::lock_guard lock(mutex_);
    onWait_ = std::move(called);
  }

 private:
  mutable std::mutex mutex_;
  Time now_;
  std::vector<Duration> waits_;
  std::function<void(Duration)> onWait_;
};

}  // namespace postern::testing
