// Owners for libevent's objects, and its times.
#pragma once

#include <event2/bufferevent.h>
#include <event2/event.h>
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
struct FreeBufferEvent {
  void operator()(bufferevent* b) const noexcept { bufferevent_free(b); }
};
using EventPtr = std::unique_ptr<event, FreeEvent>;
using EventBasePtr = std::unique_ptr<event_base, FreeEventBase>;
using BufferEventPtr = std::unique_ptr<bufferevent, FreeBufferEvent>;

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
