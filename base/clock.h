// Clock: the wall clock and the waiting that goes by it, so that a test can keep both in its hand.
//
// Any thread may call anything here. Certificates, back-off and Retry-After are about wall-clock time, so that is what
// a Clock tells; deadlines of connections belong to libevent's monotonic timers and do not come through here.
#pragma once

#include <chrono>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>

namespace postern {

using Time = std::chrono::sys_time<std::chrono::milliseconds>;
using Duration = std::chrono::milliseconds;

struct Clock {
  virtual ~Clock() = default;
  virtual Time now() const = 0;
  // Waits for `time` to pass. False when `stop` was requested first; then it returns at once.
  virtual bool wait(Duration time, std::stop_token stop) = 0;
};

// The machine's clock.
class SystemClock : public Clock {
 public:
  Time now() const override;
  bool wait(Duration time, std::stop_token stop) override;
};

// RFC 3339 in UTC to the second, "2026-03-01T12:00:00Z"; parsing also takes fractions and numeric offsets.
std::string rfc3339(Time time);
std::optional<Time> parseRfc3339(std::string_view text);

// "90s", "1h30m", "29d12h": at most two units, for messages.
std::string inWords(Duration time);

}  // namespace postern
