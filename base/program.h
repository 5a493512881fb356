// Program: another program run to its end: arguments and standard input in, lines of output and how it ended out.
//
// Any thread; blocks until the program has ended. There is no shell. The child is the leader of a process group of its
// own, with default signals and none of our descriptors, so that neither an open socket nor a blocked SIGTERM goes
// along; at the time limit, or when its time after a stop request is over, the whole group gets SIGTERM, and half a
// second later SIGKILL. What it left running in the background when it ended by itself goes on, without our pipes.
#pragma once

#include <functional>
#include <stop_token>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"

namespace postern {

struct Program {
  std::vector<std::string> arguments;         // the first is the program: a path, or a name that PATH finds
  std::string input = {};                     // its standard input
  std::vector<std::string> environment = {};  // "NAME=value", besides and before our own
  bool inherits = true;                       // our own environment goes along
  Duration limit = std::chrono::seconds(60);
  Duration afterStop{};  // how long it may still run once a stop was requested, inside `limit`
};

struct ProgramEnd {
  enum class How { Exited, Signaled, TimedOut, Stopped } how = How::Exited;
  int status = 0;  // of Exited the exit status, of Signaled the signal
  bool succeeded() const { return how == How::Exited && status == 0; }
  // "exit status 3", "killed by signal 11", "still running after 1m, killed", "killed at the stop"
  std::string words() const;
  Duration limit{};
  std::vector<std::string> lastLines;  // three at most, of those that are not blank
};

// `line` is called on this thread for each line of standard output and standard error as they come, control characters
// included, cut at 1,000 bytes; after 200 lines the rest is read and passed over. Throws SystemError when the program
// cannot be started.
ProgramEnd runProgram(const Program& program, std::stop_token stop,
                      const std::function<void(std::string_view line)>& line);

}  // namespace postern
