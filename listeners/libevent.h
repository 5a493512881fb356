// Owners for libevent's objects, and its times.
#pragma once

#include <event2/event.h>
#include <event2/event_struct.h>
#include <sys/time.h>

#include <chrono>
#include <memory>

namespace postern::listeners {

struct FreeEvent {
  void operator()(event* e) const noexcept { event_free(e); }
};
struct FreeEventBase {
  void operator()(event_base* b) const noexcept { event_base_free(b); }
};
using EventPtr = std::unique_ptr<event, FreeEvent>;
using EventBasePtr = std::unique_ptr<event_base, FreeEventBase>;

// An event in its owner's own memory: for what exists once a connection. On its loop's thread, but for the constructor.
class Event {
 public:
  Event(event_base* base, evutil_socket_t descriptor, short what, event_callback_fn call, void* argument) {
    event_assign(&event_, base, descriptor, what, call, argument);
  }
  ~Event() { remove(); }
  Event(const Event&) = delete;
  Event& operator=(const Event&) = delete;

  // False when memory ends.
  bool add() { return event_add(&event_, nullptr) == 0; }
  bool add(const timeval& time) { return event_add(&event_, &time) == 0; }
  void remove() { event_del(&event_); }

 private:
  event event_;
};

// Rounded up to the microsecond, never negative: a timer must not fire before its time and find nothing due.
inline timeval toTimeval(std::chrono::nanoseconds time) {
  if (time.count() < 0) time = std::chrono::nanoseconds(0);
  const auto micros = std::chrono::ceil<std::chrono::microseconds>(time).count();
  timeval result{};
  result.tv_sec = static_cast<time_t>(micros / 1000000);
  result.tv_usec = static_cast<suseconds_t>(micros % 1000000);
  return result;
}

}  // namespace postern::listeners
