// startQuietThread: a thread that no signal is delivered to, because server/ handles signals in one place.
//
// The mask is set before the thread exists, so there is no moment in which it could be hit.
#pragma once

#include <csignal>
#include <thread>
#include <utility>

namespace postern::listeners {

template <class Body>
std::thread startQuietThread(Body body) {
  struct AllBlocked {
    AllBlocked() {
      sigset_t all;
      sigfillset(&all);
      pthread_sigmask(SIG_SETMASK, &all, &before);
    }
    ~AllBlocked() { pthread_sigmask(SIG_SETMASK, &before, nullptr); }
    sigset_t before;
  } blocked;
  return std::thread(std::move(body));
}

}  // namespace postern::listeners
