// Crowd: the visitors of one load generator on one thread, and what is told about their visits.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <vector>

#include "tests/bench/visitor.h"

namespace postern::bench {

class Crowd {
 public:
  Crowd();
  ~Crowd();
  Crowd(const Crowd&) = delete;
  Crowd& operator=(const Crowd&) = delete;

  Visitor& add(const Target& target);
  std::vector<std::unique_ptr<Visitor>>& visitors() { return visitors_; }

  // Carries the visitors on until `done`. `over` is told each visit that ends, and may begin the visitor's next one.
  // When nothing has happened for ten seconds, throws std::runtime_error.
  void run(const std::function<void(Visitor&)>& over, const std::function<bool()>& done);

 private:
  int epoll_;
  std::vector<std::unique_ptr<Visitor>> visitors_;
};

// The value below which `share` of the values lie; sorts them. 0 for none.
double quantile(std::vector<double>& values, double share);
double milliseconds(std::chrono::steady_clock::duration time);

}  // namespace postern::bench
