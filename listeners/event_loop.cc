#include "listeners/event_loop.h"

#include <event2/event.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <condition_variable>
#include <csignal>
#include <cstdint>
#include <exception>
#include <mutex>
#include <utility>

#include "base/error.h"
#include "listeners/libevent.h"
#include "listeners/quiet_thread.h"

namespace postern::listeners {

namespace {
thread_local const EventLoop* here = nullptr;

void ignoreSigpipe() {
  static std::once_flag once;
  std::call_once(once, [] { ::signal(SIGPIPE, SIG_IGN); });
}
}  // namespace

// The queue and its eventfd are all that other threads touch. The event_base itself belongs to its thread alone, so
// libevent's own locks (evthread_use_pthreads) are not needed, and every event costs less.
struct EventLoop::State {
  EventBasePtr base;
  int wakeFd = -1;
  EventPtr wake;
  std::mutex mutex;
  std::vector<std::function<void()>> queue;
  bool ending = false;
  std::thread thread;

  State() : base(event_base_new()), wakeFd(eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC)) {
    if (!base) throw SystemError("cannot make an event base", errno);
    if (wakeFd < 0) throw SystemError("cannot make an eventfd", errno);
    wake.reset(event_new(base.get(), wakeFd, EV_READ | EV_PERSIST, onWake, this));
    if (!wake || event_add(wake.get(), nullptr) != 0) throw SystemError("cannot make an event", ENOMEM);
  }
  ~State() {
    wake.reset();
    base.reset();
    if (wakeFd >= 0) ::close(wakeFd);
  }

  static void onWake(evutil_socket_t, short, void* self) noexcept { static_cast<State*>(self)->runQueue(); }

  void runQueue() {
    std::uint64_t count = 0;
    [[maybe_unused]] const auto ignored = ::read(wakeFd, &count, sizeof count);  // EAGAIN when woken by event_active
    std::vector<std::function<void()>> batch;
    {
      std::lock_guard lock(mutex);
      batch.swap(queue);
    }
    for (auto& what : batch) {
      what();
      what = nullptr;  // freed in order, before the next one runs
    }
    std::lock_guard lock(mutex);
    if (ending && queue.empty()) event_base_loopbreak(base.get());
  }
};

EventLoop::EventLoop() : state_(std::make_unique<State>()) {
  ignoreSigpipe();
  state_->thread = startQuietThread([this] {
    here = this;
    event_base_dispatch(state_->base.get());
  });
}

EventLoop::~EventLoop() {
  post([this] {
    std::lock_guard lock(state_->mutex);
    state_->ending = true;
  });
  state_->thread.join();
}

event_base* EventLoop::base() const {
  return state_->base.get();
}

bool EventLoop::isHere() const {
  return here == this;
}

void EventLoop::post(std::function<void()> what) {
  bool first;
  {
    std::lock_guard lock(state_->mutex);
    first = state_->queue.empty();
    state_->queue.push_back(std::move(what));
  }
  if (!first) return;  // whoever came first has woken it
  if (isHere()) {
    event_active(state_->wake.get(), EV_READ, 0);  // saves two system calls
    return;
  }
  const std::uint64_t one = 1;
  [[maybe_unused]] const auto ignored = ::write(state_->wakeFd, &one, sizeof one);
}

void EventLoop::run(const std::function<void()>& what) {
  if (isHere()) return what();
  std::mutex mutex;
  std::condition_variable done;
  bool ran = false;
  std::exception_ptr thrown;
  post([&] {
    try {
      what();
    } catch (...) {
      thrown = std::current_exception();
    }
    std::lock_guard lock(mutex);
    ran = true;
    done.notify_one();  // under the lock: `done` goes as soon as the other thread sees `ran`
  });
  std::unique_lock lock(mutex);
  done.wait(lock, [&] { return ran; });
  if (thrown) std::rethrow_exception(thrown);
}

EventLoops::EventLoops(int count) {
  for (int i = 0; i < std::max(count, 1); ++i) loops_.push_back(std::make_unique<EventLoop>());
}

EventLoop& EventLoops::next() {
  return at(nextIndex());
}

std::size_t EventLoops::nextIndex() {
  return turn_.fetch_add(1, std::memory_order_relaxed) % loops_.size();
}

}  // namespace postern::listeners
