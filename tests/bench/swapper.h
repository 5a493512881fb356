// Swapper: replaces a server's pair of certificate and key by the next one and has it loaded, again and again, on a
// thread of its own. Between two swaps it waits until the load has seen the new certificate and some handshakes more.
#pragma once

#include <condition_variable>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "tests/bench/modes.h"
#include "tests/bench/visitor.h"

namespace postern::bench {

struct Swap {
  std::string serial;                          // of the new certificate
  Moment asked;                                // when its files began to be replaced
  Moment returned;                             // of the call that loads it; a signal's promises nothing
  std::chrono::steady_clock::duration call{};  // what that call took
  std::string error;                           // the call failed, or nobody has seen the certificate for ten seconds
};

class Swapper {
 public:
  explicit Swapper(const SwapOptions& options);  // reads the pairs; throws when one cannot be read
  ~Swapper();

  void start();
  // The load's thread tells each full handshake.
  void saw(const std::string& serial);
  bool done();
  // After done().
  std::vector<Swap> take() { return std::move(swaps_); }

 private:
  struct Pair {
    std::string certificate, key, serial;
  };
  void work(const std::stop_token& stop);
  void replace(const Pair& pair);
  std::string load();  // the error, or ""

  const SwapOptions options_;
  std::vector<Pair> pairs_;
  std::mutex mutex_;
  std::condition_variable_any seen_;
  std::string wanted_;
  int handshakesWithWanted_ = 0;
  bool done_ = false;
  std::vector<Swap> swaps_;
  std::jthread thread_;
};

}  // namespace postern::bench
