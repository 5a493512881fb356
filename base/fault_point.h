// Fault points: the places between two steps of storage, where a crash test ends the process or lets a step fail.
//
// Nothing in every build but that of tests/crash, which compiles the sources that store things once more with
// POSTERN_FAULT_POINTS and brings the function below. A point stands before each write, sync, rename, link and removal;
// that before the next step is the one after this.
#pragma once

#ifdef POSTERN_FAULT_POINTS

namespace postern {
// Called at each point, on the thread that stores. True: the step is to fail, with errno set. May not return at all.
bool faultPoint(const char* step) noexcept;
}  // namespace postern

// An operand before the call that is the step: `if (POSTERN_STEP_FAILS("sync") || fsync(file) != 0) failed(...)`.
#define POSTERN_STEP_FAILS(step) ::postern::faultPoint(step)
// A statement, where nothing can fail any more.
#define POSTERN_FAULT_POINT(step) static_cast<void>(::postern::faultPoint(step))

#else

#define POSTERN_STEP_FAILS(step) false
#define POSTERN_FAULT_POINT(step) static_cast<void>(0)

#endif
