#include "server/signals.h"

#include <sys/signalfd.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>

#include "base/error.h"

namespace postern::server {

Signals::Signals() {
  sigset_t ours;
  sigemptyset(&ours);
  for (int signal : {SIGHUP, SIGTERM, SIGINT, SIGUSR1}) sigaddset(&ours, signal);
  ::signal(SIGPIPE, SIG_IGN);
  const int failed = ::pthread_sigmask(SIG_BLOCK, &ours, nullptr);
  if (failed != 0) throw SystemError("cannot block signals", failed);
  descriptor_ = ::signalfd(-1, &ours, SFD_NONBLOCK | SFD_CLOEXEC);
  if (descriptor_ < 0) throw SystemError("cannot read signals", errno);
}

Signals::~Signals() {
  ::close(descriptor_);
}

std::optional<int> Signals::next() {
  signalfd_siginfo info{};
  if (::read(descriptor_, &info, sizeof info) != static_cast<ssize_t>(sizeof info)) return {};
  return static_cast<int>(info.ssi_signo);
}

}  // namespace postern::server
