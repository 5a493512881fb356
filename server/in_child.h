// inChild(): work that may never end, done by a child process, so that the command ends all the same.
//
// A thread that the kernel does not let go (at a network file system that hangs) keeps its whole process from ending,
// _exit or not, and whoever waits for that process or reads its output waits as well. So the process of the work is one
// that nobody has to wait for: what it writes to standard output and standard error comes through pipes and is passed
// on, its exit status too, and then it is left alone.
//
// To be called before there is a thread: the child goes on with a copy of this process. It ends with this one.
#pragma once

#include <functional>

#include "base/clock.h"

namespace postern::server {

// The status that `work` returned; 1, with a line on standard error, when the child ended without, or was killed
// because `work` had not returned after `limit`. Throws SystemError when there can be no child.
int inChild(const std::function<int()>& work, Duration limit);

}  // namespace postern::server
