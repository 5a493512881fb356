#include "server/in_child.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <iostream>
#include <optional>
#include <string>
#include <utility>

#include "base/error.h"

namespace postern::server {
namespace {

using namespace std::chrono_literals;
using Steady = std::chrono::steady_clock;

class Pipe {
 public:
  Pipe() {
    if (::pipe2(ends_.data(), O_CLOEXEC) != 0) throw SystemError("cannot make a pipe", errno);
  }
  ~Pipe() {
    closeEnd(0);
    closeEnd(1);
  }
  Pipe(const Pipe&) = delete;
  Pipe& operator=(const Pipe&) = delete;
  int out() const { return ends_[0]; }
  int in() const { return ends_[1]; }
  void closeEnd(std::size_t which) {
    if (const int descriptor = std::exchange(ends_[which], -1); descriptor >= 0) ::close(descriptor);
  }

 private:
  std::array<int, 2> ends_{-1, -1};
};

void writeAll(int to, const char* bytes, ssize_t count) {
  while (count > 0) {
    const ssize_t written = ::write(to, bytes, static_cast<std::size_t>(count));
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0) return;  // nobody reads it any more
    bytes += written;
    count -= written;
  }
}

// Passes on what is there now, and closes our end where there will be nothing more.
void passOn(Pipe& from, int to) {
  std::array<char, 16384> buffer{};
  while (from.out() >= 0) {
    const ssize_t got = ::read(from.out(), buffer.data(), buffer.size());
    if (got > 0) {
      writeAll(to, buffer.data(), got);
    } else if (got == 0) {
      from.closeEnd(0);
    } else if (errno != EINTR) {
      return;
    }
  }
}

[[noreturn]] void beChild(const std::function<int()>& work, pid_t parent, Pipe& output, Pipe& errors, Pipe& status) {
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (::getppid() != parent) ::_exit(1);
  ::dup2(output.in(), STDOUT_FILENO);
  ::dup2(errors.in(), STDERR_FILENO);
  int result = 1;
  try {
    result = work();
  } catch (const std::exception& error) {
    std::cerr << "postern: " << error.what() << "\n";
  }
  std::cout.flush();
  std::cerr.flush();
  const char last = static_cast<char>(result);
  writeAll(status.in(), &last, 1);
  ::_exit(result);  // threads may be left behind that still use what exit() would take apart
}

// A moment for the child to be gone, so that nobody inherits it; one that the kernel holds is left to init.
std::optional<int> waitShortly(pid_t child) {
  const auto deadline = Steady::now() + 1s;
  int how = 0;
  do {
    if (::waitpid(child, &how, WNOHANG) != 0) return how;
    ::poll(nullptr, 0, 5);
  } while (Steady::now() < deadline);
  return std::nullopt;
}

}  // namespace

int inChild(const std::function<int()>& work, Duration limit) {
  Pipe output, errors, status;
  std::cout.flush();
  std::cerr.flush();
  const pid_t parent = ::getpid(), child = ::fork();
  if (child < 0) throw SystemError("cannot make a process", errno);
  if (child == 0) beChild(work, parent, output, errors, status);
  for (Pipe* each : {&output, &errors, &status}) {
    each->closeEnd(1);
    ::fcntl(each->out(), F_SETFL, O_NONBLOCK);
  }
  const auto deadline = Steady::now() + limit;
  char last = 0;
  ssize_t told = -1;
  while (told < 0 && Steady::now() < deadline) {
    std::array<pollfd, 3> waiting{{{output.out(), POLLIN, 0}, {errors.out(), POLLIN, 0}, {status.out(), POLLIN, 0}}};
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline - Steady::now());
    ::poll(waiting.data(), waiting.size(), static_cast<int>(std::max(left.count(), decltype(left.count()){0})));
    told = ::read(status.out(), &last, 1);  // before the output, which was there before it
    passOn(output, STDOUT_FILENO);
    passOn(errors, STDERR_FILENO);
  }
  if (told != 1) ::kill(child, SIGKILL);
  const auto how = waitShortly(child);
  if (told == 1) return static_cast<unsigned char>(last);
  std::cerr << (told < 0                   ? "postern: not done within " + inWords(limit)
                : how && WIFSIGNALED(*how) ? "postern: ended by signal " + std::to_string(WTERMSIG(*how))
                                           : "postern: ended without a result")
            << "\n";
  return 1;
}

}  // namespace postern::server
