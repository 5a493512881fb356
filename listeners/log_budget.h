// LogBudget: bounds how many lines strangers can make us write: a handful a second, and the next line tells how many
// were left out. Any thread.
#pragma once

#include <chrono>
#include <cstdint>
#include <mutex>
#include <optional>

namespace postern::listeners {

class LogBudget {
 public:
  using Clock = std::chrono::steady_clock;
  explicit LogBudget(std::uint64_t perSecond = 10) : perSecond_(perSecond) {}

  // How many lines were left out since the last one that was written; nothing when this one is to be left out too.
  std::optional<std::uint64_t> take(Clock::time_point now = Clock::now()) {
    std::lock_guard lock(mutex_);
    if (now - since_ >= std::chrono::seconds(1)) {
      since_ = now;
      written_ = 0;
    }
    if (written_ >= perSecond_) {
      ++leftOut_;
      return std::nullopt;
    }
    ++written_;
    const auto result = leftOut_;
    leftOut_ = 0;
    return result;
  }

 private:
  const std::uint64_t perSecond_;
  std::mutex mutex_;
  Clock::time_point since_{};
  std::uint64_t written_ = 0, leftOut_ = 0;
};

}  // namespace postern::listeners
