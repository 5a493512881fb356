#include "tests/crash/faults.h"

#include <signal.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <mutex>
#include <optional>
#include <string_view>

#include "base/fault_point.h"

namespace postern::test {
namespace {

struct State {
  std::mutex mutex;
  Fault fault;
  testing::FakeClock* clock = nullptr;
  int reached = 0;
  std::optional<Time> until;
};
State& state() {
  static State one;
  return one;
}

bool needsSpace(std::string_view step) {
  return step == "create" || step == "write" || step == "append" || step == "sync" || step == "make the folder" ||
         step == "link";
}

}  // namespace

void expect(const Fault& fault, testing::FakeClock& clock) {
  State& now = state();
  std::lock_guard lock(now.mutex);
  now.fault = fault;
  now.clock = &clock;
  now.reached = 0;
  now.until.reset();
}

int pointsReached() {
  std::lock_guard lock(state().mutex);
  return state().reached;
}

bool faultBegan() {
  std::lock_guard lock(state().mutex);
  return state().until.has_value();
}

static bool reached(std::string_view step) {
  State& now = state();
  std::lock_guard lock(now.mutex);
  if (now.clock == nullptr) return false;  // the parent's own storing
  ++now.reached;
  switch (now.fault.kind) {
    case Fault::Kind::None: return false;
    case Fault::Kind::Kill:
      if (now.reached == now.fault.point) {
        kill(getpid(), SIGKILL);
        for (;;) pause();
      }
      return false;
    case Fault::Kind::NoSpace:
    case Fault::Kind::ReadOnly:
      if (now.reached < now.fault.point) return false;
      if (!now.until) now.until = now.clock->now() + now.fault.lasts;
      if (now.clock->now() >= *now.until) return false;
      if (now.fault.kind == Fault::Kind::NoSpace && !needsSpace(step)) return false;
      errno = now.fault.kind == Fault::Kind::NoSpace ? ENOSPC : EROFS;
      return true;
  }
  return false;
}

}  // namespace postern::test

namespace postern {

bool faultPoint(const char* step) noexcept {
  return test::reached(step);
}

}  // namespace postern
