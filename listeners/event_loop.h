// EventLoop: one libevent event_base and the thread that runs it. A connection lives on one loop for ever.
//
// post() may be called from any thread; everything else of a loop's things happens on its thread.
#pragma once

#include <atomic>
#include <cstddef>
#include <functional>
#include <memory>
#include <thread>
#include <vector>

struct event_base;

namespace postern::listeners {

class EventLoop {
 public:
  EventLoop();   // starts the thread
  ~EventLoop();  // runs what was posted, then ends the thread
  EventLoop(const EventLoop&) = delete;
  EventLoop& operator=(const EventLoop&) = delete;

  event_base* base() const;
  // Runs `what` on the loop's thread, soon. Posted functions run in their order, and must not throw.
  void post(std::function<void()> what);
  // post(), and waits for it to have run. On the loop's own thread it runs at once. What it throws is
  // thrown here.
  void run(const std::function<void()>& what);
  bool isHere() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

// N loops; next() deals them round robin.
class EventLoops {
 public:
  explicit EventLoops(int count);
  EventLoop& first() { return *loops_.front(); }  // accepts
  EventLoop& next();
  // The same by number: what is kept per loop is found by it.
  std::size_t nextIndex();
  EventLoop& at(std::size_t index) { return *loops_[index]; }
  int count() const { return static_cast<int>(loops_.size()); }

 private:
  std::vector<std::unique_ptr<EventLoop>> loops_;
  std::atomic<unsigned> turn_{0};
};

}  // namespace postern::listeners
