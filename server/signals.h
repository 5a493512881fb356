// Signals: SIGHUP, SIGTERM, SIGINT and SIGUSR1 as a descriptor to poll.
//
// Constructed by main's thread before any other starts, so that every thread has them blocked and none is ever
// interrupted. The kernel keeps one of a kind: signals during a reload cause exactly one more.
#pragma once

#include <optional>

namespace postern::server {

class Signals {
 public:
  Signals();  // throws SystemError; ignores SIGPIPE too
  ~Signals();
  Signals(const Signals&) = delete;
  Signals& operator=(const Signals&) = delete;

  int descriptor() const { return descriptor_; }
  std::optional<int> next();  // the next signal that came, without waiting

 private:
  int descriptor_;
};

}  // namespace postern::server
