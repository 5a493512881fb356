// Snapshot<T>: one immutable value that many read and somebody replaces whole.
//
// Any thread may call anything here. A value once taken never changes. The mutex is held for the copy of the pointer
// only: libstdc++ 12's atomic<shared_ptr> would do, but the thread sanitizer sees a race in it.
#pragma once

#include <memory>
#include <mutex>
#include <utility>

namespace postern {

template <class T>
class Snapshot {
 public:
  using Value = std::shared_ptr<const T>;

  explicit Snapshot(Value value = nullptr) : value_(std::move(value)) {}

  Value load() const {
    std::lock_guard lock(mutex_);
    return value_;
  }
  // Returns the value that was replaced, so that the caller decides where it is freed: not under this lock, and where
  // it is large not on an event loop.
  [[nodiscard]] Value exchange(Value next) {
    std::lock_guard lock(mutex_);
    value_.swap(next);
    return next;
  }
  void store(Value next) { Value old = exchange(std::move(next)); }

 private:
  mutable std::mutex mutex_;
  Value value_;
};

}  // namespace postern
