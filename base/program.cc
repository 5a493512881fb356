#include "base/program.h"

#include <fcntl.h>
#include <poll.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <optional>
#include <utility>

#include "base/error.h"
#include "base/text.h"

namespace postern {
namespace {

using Steady = std::chrono::steady_clock;

constexpr std::size_t longestLine = 1000, linesKept = 3;
constexpr int mostLines = 200;
constexpr auto grace = std::chrono::milliseconds(500);  // between SIGTERM and SIGKILL
constexpr int lookEvery = 20;                           // milliseconds: stop tokens and ends of children wake no poll

class Descriptor {
 public:
  Descriptor() = default;
  explicit Descriptor(int fd) : fd_(fd) {}
  Descriptor(Descriptor&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  Descriptor& operator=(Descriptor&& other) noexcept {
    std::swap(fd_, other.fd_);
    return *this;
  }
  ~Descriptor() { reset(); }
  void reset() {
    if (fd_ >= 0) ::close(std::exchange(fd_, -1));
  }
  int get() const { return fd_; }

 private:
  int fd_ = -1;
};

struct Pipe {
  Descriptor read, write;
  Pipe() {
    std::array<int, 2> ends{};
    if (::pipe2(ends.data(), O_CLOEXEC) != 0) throw SystemError("cannot make a pipe", errno);
    read = Descriptor(ends[0]);
    write = Descriptor(ends[1]);
  }
};

void unblock(const Descriptor& descriptor) {
  if (::fcntl(descriptor.get(), F_SETFL, O_NONBLOCK) != 0) throw SystemError("cannot set up a pipe", errno);
}

struct SpawnAttributes {
  posix_spawnattr_t attributes{};
  posix_spawn_file_actions_t files{};
  SpawnAttributes() {
    posix_spawnattr_init(&attributes);
    posix_spawn_file_actions_init(&files);
    sigset_t none, defaults;
    sigemptyset(&none);
    sigemptyset(&defaults);
    for (const int each : {SIGPIPE, SIGHUP, SIGINT, SIGTERM, SIGQUIT, SIGCHLD, SIGUSR1, SIGUSR2}) {
      sigaddset(&defaults, each);
    }
    posix_spawnattr_setsigmask(&attributes, &none);
    posix_spawnattr_setsigdefault(&attributes, &defaults);
    posix_spawnattr_setpgroup(&attributes, 0);
    posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
  }
  ~SpawnAttributes() {
    posix_spawn_file_actions_destroy(&files);
    posix_spawnattr_destroy(&attributes);
  }
  SpawnAttributes(const SpawnAttributes&) = delete;
  SpawnAttributes& operator=(const SpawnAttributes&) = delete;
};

std::vector<char*> pointersTo(std::vector<std::string>& texts) {
  std::vector<char*> pointers;
  pointers.reserve(texts.size() + 1);
  for (auto& text : texts) pointers.push_back(text.data());
  pointers.push_back(nullptr);
  return pointers;
}

// Ours behind the program's own; a variable that both have is the program's.
std::vector<std::string> environmentOf(const Program& program) {
  std::vector<std::string> all = program.environment;
  if (!program.inherits) return all;
  for (char** each = environ; each != nullptr && *each != nullptr; ++each) {
    const std::string_view ours = *each;
    const std::string_view name = ours.substr(0, ours.find('=') + 1);
    const bool replaced = std::any_of(program.environment.begin(), program.environment.end(),
                                      [&](const std::string& own) { return own.starts_with(name); });
    if (!replaced) all.emplace_back(ours);
  }
  return all;
}

pid_t start(const Program& program, const Descriptor& input, const Descriptor& output) {
  SpawnAttributes spawn;
  posix_spawn_file_actions_adddup2(&spawn.files, input.get(), STDIN_FILENO);
  posix_spawn_file_actions_adddup2(&spawn.files, output.get(), STDOUT_FILENO);
  posix_spawn_file_actions_adddup2(&spawn.files, output.get(), STDERR_FILENO);
  // Whatever a library opened without close-on-exec does not go along either.
  posix_spawn_file_actions_addclosefrom_np(&spawn.files, STDERR_FILENO + 1);
  auto arguments = program.arguments;
  auto environment = environmentOf(program);
  pid_t pid = -1;
  const int error = posix_spawnp(&pid, arguments.front().c_str(), &spawn.files, &spawn.attributes,
                                 pointersTo(arguments).data(), pointersTo(environment).data());
  if (error != 0) throw SystemError("cannot run " + arguments.front(), error);
  return pid;
}

// Cuts what comes into lines.
class Lines {
 public:
  explicit Lines(const std::function<void(std::string_view)>& line) : line_(line) {}

  void take(std::string_view bytes) {
    for (const char c : bytes) {
      if (c == '\n') {
        flush();
      } else if (text_.size() < longestLine) {
        text_ += c;
      }
    }
  }
  void flush() {
    if (!text_.empty() && text_.back() == '\r') text_.pop_back();
    if (!text_.empty() && ++count_ <= mostLines && line_) line_(text_);
    if (!trimmed(text_).empty()) last_.emplace_back(trimmed(text_));
    if (last_.size() > linesKept) last_.erase(last_.begin());
    text_.clear();
  }
  std::vector<std::string> last() && { return std::move(last_); }

 private:
  const std::function<void(std::string_view)>& line_;
  std::string text_;
  int count_ = 0;
  std::vector<std::string> last_;
};

// The child from its start until it was waited for, whatever happens between.
class Child {
 public:
  Child(const Program& program, const Descriptor& input, const Descriptor& output)
      : pid_(start(program, input, output)) {}
  ~Child() {
    if (status_) return;  // an exception of the caller's `line`
    tell(SIGKILL);
    ::waitpid(pid_, nullptr, 0);
  }
  Child(const Child&) = delete;
  Child& operator=(const Child&) = delete;

  // The status of waitpid once the child has ended.
  std::optional<int> ended() {
    if (status_) return status_;
    int status = 0;
    const pid_t found = ::waitpid(pid_, &status, WNOHANG);
    // Nobody to wait for: our parent made us with SIGCHLD ignored, and the status is gone.
    if (found == pid_ || (found < 0 && errno == ECHILD)) status_ = status;
    return status_;
  }
  void tell(int signal) const { ::kill(-pid_, signal); }

 private:
  const pid_t pid_;
  std::optional<int> status_;
};

// Writes what the pipe takes; closes it when all is written or nobody reads.
void feed(Descriptor& to, std::string_view& input) {
  while (!input.empty()) {
    const ssize_t written = ::write(to.get(), input.data(), input.size());
    if (written < 0 && errno == EINTR) continue;
    if (written < 0 && errno == EAGAIN) return;
    if (written <= 0) break;
    input.remove_prefix(static_cast<std::size_t>(written));
  }
  to.reset();
}

// Reads what is there, which is never more than a pipe holds: who writes without end must not keep us from the clock.
// Closes the pipe at its end.
void drain(Descriptor& from, Lines& lines) {
  std::array<char, 4096> buffer{};
  for (int reads = 0; reads < 32; ++reads) {
    const ssize_t got = ::read(from.get(), buffer.data(), buffer.size());
    if (got > 0) {
      lines.take({buffer.data(), static_cast<std::size_t>(got)});
    } else if (got == 0 || errno != EINTR) {
      if (got == 0 || errno != EAGAIN) from.reset();
      return;
    }
  }
}

// A write to a program that does not read ends in EPIPE, not in our death, whatever this process does with SIGPIPE.
class WithoutSigpipe {
 public:
  WithoutSigpipe() {
    sigemptyset(&pipe_);
    sigaddset(&pipe_, SIGPIPE);
    pthread_sigmask(SIG_BLOCK, &pipe_, &before_);
  }
  ~WithoutSigpipe() {
    const timespec now{};
    if (sigismember(&before_, SIGPIPE) == 0) {
      while (sigtimedwait(&pipe_, nullptr, &now) > 0) {
      }
    }
    pthread_sigmask(SIG_SETMASK, &before_, nullptr);
  }
  WithoutSigpipe(const WithoutSigpipe&) = delete;
  WithoutSigpipe& operator=(const WithoutSigpipe&) = delete;

 private:
  sigset_t pipe_{}, before_{};
};

}  // namespace

std::string ProgramEnd::words() const {
  switch (how) {
    case How::Exited: return "exit status " + std::to_string(status);
    case How::Signaled: return "killed by signal " + std::to_string(status);
    case How::TimedOut: return "still running after " + inWords(limit) + ", killed";
    case How::Stopped: return "killed at the stop";
  }
  return "";
}

ProgramEnd runProgram(const Program& program, std::stop_token stop,
                      const std::function<void(std::string_view line)>& line) {
  if (program.arguments.empty()) throw SystemError("cannot run a program without a name", EINVAL);
  const WithoutSigpipe quiet;
  Pipe input, output;
  unblock(input.write);
  unblock(output.read);
  Child child(program, input.read, output.write);
  input.read.reset();
  output.write.reset();

  Lines lines(line);
  std::string_view left = program.input;
  auto deadline = Steady::now() + program.limit;
  bool stopping = false;
  std::optional<ProgramEnd::How> cut;
  std::optional<Steady::time_point> killAt;
  for (;;) {
    if (input.write.get() >= 0) feed(input.write, left);
    // Before the pipe is drained: what an ended child wrote is in it by now.
    const auto status = child.ended();
    if (output.read.get() >= 0) drain(output.read, lines);
    if (status) {
      lines.flush();
      // The rest of the group goes the way of its leader when that was told to go.
      if (cut) child.tell(SIGKILL);
      ProgramEnd end;
      end.limit = program.limit;
      end.lastLines = std::move(lines).last();
      if (cut) {
        end.how = *cut;
      } else if (WIFSIGNALED(*status)) {
        end.how = ProgramEnd::How::Signaled;
        end.status = WTERMSIG(*status);
      } else {
        end.status = WEXITSTATUS(*status);
      }
      return end;
    }
    const auto now = Steady::now();
    if (!stopping && stop.stop_requested()) {
      stopping = true;
      deadline = std::min(deadline, now + program.afterStop);
    }
    if (!cut && now >= deadline) {
      cut = stopping ? ProgramEnd::How::Stopped : ProgramEnd::How::TimedOut;
      child.tell(SIGTERM);
      killAt = now + grace;
    }
    if (killAt && now >= *killAt) {
      child.tell(SIGKILL);
      killAt.reset();
    }
    std::array<pollfd, 2> waiting{pollfd{output.read.get(), POLLIN, 0}, pollfd{input.write.get(), POLLOUT, 0}};
    ::poll(waiting.data(), waiting.size(), lookEvery);  // a descriptor of -1 is passed over
  }
}

}  // namespace postern
