// Faults: what happens at the fault points of this process (base/fault_point.h). Set in a child, before it stores.
#pragma once

#include <string>

#include "base/clock.h"
#include "tests/support/fake_clock.h"

namespace postern::test {

struct Fault {
  enum class Kind {
    None,
    Kill,     // SIGKILL at the point
    NoSpace,  // from the point on every step that needs space fails with ENOSPC, as long as `lasts`
    ReadOnly  // the same with every step and EROFS
  } kind = Kind::None;
  int point = 0;  // counted from 1
  Duration lasts = std::chrono::minutes(3);
};

// `clock` must outlive the faults.
void expect(const Fault& fault, testing::FakeClock& clock);
// Points reached since, and the name of the last.
int pointsReached();
// Whether the fault has begun.
bool faultBegan();

}  // namespace postern::test
