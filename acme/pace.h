// Pace: how fast the requests for one certificate may follow one another.
//
// A first attempt goes as fast as the CA answers. Once an attempt has failed, the certificate costs the CA at most ten
// requests in any minute, however many names it has, and as many repetitions for bad nonces: whoever has more to ask
// waits here. One order at a time uses it; it outlives the attempts, so that the minute is counted across them.
#pragma once

#include <cstddef>
#include <stop_token>
#include <vector>

#include "base/clock.h"

namespace postern::acme {

class Pace {
 public:
  explicit Pace(Clock& clock) : clock_(clock) {}

  // Bounded from now on, or not.
  void bound(bool on) { bounded_ = on; }
  // How much longer an order for so many names may take while it is bounded.
  static Duration longerFor(std::size_t names);
  // Before a request, and before its repetition with a fresh nonce. Block until it is time. Throw Stopped.
  void request(std::stop_token stop);
  void repetition(std::stop_token stop);
  // Requests since the beginning, repetitions not counted.
  int requests() const { return total_; }

 private:
  void wait(std::vector<Time>& last, std::stop_token stop);

  Clock& clock_;
  bool bounded_ = false;
  int total_ = 0;
  std::vector<Time> requests_, repetitions_;  // of the last minute; thousands of certificates have none
};

}  // namespace postern::acme
