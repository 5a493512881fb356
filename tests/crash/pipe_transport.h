// PipeTransport: the requests of a child process to the fake CA of its parent, over a socket pair: JSON objects, a line
// each. What the child has to tell at its end goes the same way.
#pragma once

#include <functional>
#include <mutex>
#include <string>

#include "acme/transport.h"
#include "base/clock.h"
#include "base/json.h"
#include "tests/support/fake_ca.h"
#include "tests/support/fake_clock.h"

namespace postern::test {

// The child's end. Any thread; requests go one at a time. When the parent is gone, so is the process.
class Pipe {
 public:
  explicit Pipe(int socket) : socket_(socket) {}
  Json exchange(const Json& line);

 private:
  const int socket_;
  std::mutex mutex_;
  std::string buffer_;
};

acme::TransportFactory pipeTransports(Pipe& pipe, const Clock& clock);

// The parent's end: serves until the child has closed its own; the CA lives by the child's clock. Returns what the
// child reported, null when it did not come to that.
Json serve(int socket, FakeCa& ca, testing::FakeClock& clock);

}  // namespace postern::test
