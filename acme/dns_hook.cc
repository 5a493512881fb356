#include "acme/dns_hook.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <deque>
#include <optional>
#include <utility>
#include <vector>

#include "base/error.h"
#include "base/text.h"

namespace postern::acme {
namespace {

using std::chrono::milliseconds;
using Steady = std::chrono::steady_clock;

constexpr milliseconds slice(100);  // how soon a stop request and the program's end are noticed
constexpr Duration cleanUpAfterStop = std::chrono::seconds(10);
constexpr std::size_t longestLine = 500, mostLines = 200, linesInError = 3;

// What the program writes: to the log line by line, the last lines kept for an error.
class Output {
 public:
  Output(Log& log, std::string record, std::string value)
      : log_(log), record_(std::move(record)), value_(std::move(value)) {}

  void write(std::string_view bytes) {
    for (const char byte : bytes) {
      if (byte == '\n') {
        endLine();
      } else if (line_.size() < longestLine) {
        line_ += byte;
      }
    }
  }
  void endLine() {
    std::string text(trimmed(line_));
    line_.clear();
    if (text.empty()) return;
    for (auto at = text.find(value_); at != std::string::npos; at = text.find(value_)) {
      text.replace(at, value_.size(), "(value)");  // no part of a challenge goes to the log
    }
    if (++lines_ <= mostLines) log_.info("acme.dns.hook.output", {{"record", record_}, {"line", text}});
    last_.push_back(std::move(text));
    if (last_.size() > linesInError) last_.pop_front();
  }
  std::string lastLines() const {
    return last_.empty() ? "it wrote nothing" : "its last words: " + joined({last_.begin(), last_.end()}, " / ");
  }

 private:
  Log& log_;
  const std::string record_, value_;
  std::string line_;
  std::size_t lines_ = 0;
  std::deque<std::string> last_;
};

class Pipe {
 public:
  Pipe() {
    if (::pipe2(ends_.data(), O_CLOEXEC) != 0) throw SystemError("cannot make a pipe", errno);
    ::fcntl(ends_[0], F_SETFL, O_NONBLOCK);
  }
  Pipe(const Pipe&) = delete;
  Pipe& operator=(const Pipe&) = delete;
  ~Pipe() {
    ::close(ends_[0]);
    closeWriting();
  }
  int reading() const { return ends_[0]; }
  int writing() const { return ends_[1]; }
  void closeWriting() {
    if (ends_[1] >= 0) ::close(std::exchange(ends_[1], -1));
  }

 private:
  std::array<int, 2> ends_{};
};

// posix_spawn's two kinds of settings.
struct SpawnSettings {
  SpawnSettings() {
    posix_spawn_file_actions_init(&files);
    posix_spawnattr_init(&attributes);
  }
  SpawnSettings(const SpawnSettings&) = delete;
  SpawnSettings& operator=(const SpawnSettings&) = delete;
  ~SpawnSettings() {
    posix_spawn_file_actions_destroy(&files);
    posix_spawnattr_destroy(&attributes);
  }
  posix_spawn_file_actions_t files{};
  posix_spawnattr_t attributes{};
};

std::vector<char*> pointersTo(std::vector<std::string>& strings) {
  std::vector<char*> pointers;
  for (std::string& one : strings) pointers.push_back(one.data());
  pointers.push_back(nullptr);
  return pointers;
}

// The process id of the started program, which leads a group of its own. Throws SystemError.
pid_t spawn(const std::string& program, std::vector<std::string> arguments, std::vector<std::string> environment,
            const Pipe& output) {
  SpawnSettings settings;
  posix_spawn_file_actions_addopen(&settings.files, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
  posix_spawn_file_actions_adddup2(&settings.files, output.writing(), STDOUT_FILENO);
  posix_spawn_file_actions_adddup2(&settings.files, output.writing(), STDERR_FILENO);
  // The server blocks signals in every thread and ignores SIGPIPE; a program expects neither.
  sigset_t none, ordinary;
  sigemptyset(&none);
  sigfillset(&ordinary);
  sigdelset(&ordinary, SIGKILL);
  sigdelset(&ordinary, SIGSTOP);
  posix_spawnattr_setsigmask(&settings.attributes, &none);
  posix_spawnattr_setsigdefault(&settings.attributes, &ordinary);
  posix_spawnattr_setpgroup(&settings.attributes, 0);
  posix_spawnattr_setflags(&settings.attributes,
                           POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETPGROUP);
  pid_t id = 0;
  const int error = ::posix_spawn(&id, program.c_str(), &settings.files, &settings.attributes,
                                  pointersTo(arguments).data(), pointersTo(environment).data());
  if (error != 0) throw SystemError("cannot run it", error);
  return id;
}

void drain(const Pipe& pipe, Output& output) {
  std::array<char, 4096> buffer{};
  for (int turns = 0; turns < 64; ++turns) {  // one that writes without end must not hold us
    const ssize_t got = ::read(pipe.reading(), buffer.data(), buffer.size());
    if (got <= 0) return;
    output.write({buffer.data(), static_cast<std::size_t>(got)});
  }
}

std::string endOf(int status) {
  if (WIFSIGNALED(status)) return fmt::format("was ended by signal {}", WTERMSIG(status));
  return fmt::format("ended with status {}", WEXITSTATUS(status));
}

}  // namespace

DnsHook::DnsHook(std::string program, std::map<std::string, std::string> environment, Log& log, Duration longest)
    : program_(std::move(program)), environment_(std::move(environment)), log_(log), longest_(longest) {}

void DnsHook::add(const TxtRecord& record, std::stop_token stop) {
  if (stop.stop_requested()) throw Stopped();
  run("present", record, longest_, Duration(0), stop);
  log_.info("acme.dns.record.added", {{"record", record.name}, {"hook", program_}});
}

void DnsHook::remove(const TxtRecord& record, std::stop_token stop) {
  run("cleanup", record, longest_, cleanUpAfterStop, stop);
  log_.info("acme.dns.record.removed", {{"record", record.name}, {"hook", program_}});
}

void DnsHook::run(const std::string& action, const TxtRecord& record, Duration longest, Duration afterStop,
                  const std::stop_token& stop) {
  const auto failed = [&](const std::string& why) {
    return makeProblem("postern:dns",
                       fmt::format("the hook program {} {} for {} {}", program_, action, record.name, why),
                       record.name);
  };
  std::vector<std::string> environment;
  const char* path = std::getenv("PATH");
  environment.push_back(std::string("PATH=") +
                        (path ? path : "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"));
  for (const auto& [name, value] : environment_) environment.push_back(name + "=" + value);
  environment.push_back("POSTERN_TTL=" + std::to_string(record.ttl));

  Output output(log_, record.name, record.value);
  int status = 0;
  std::string killed;
  try {
    Pipe pipe;
    const pid_t id = spawn(program_, {program_, action, record.name, record.value}, environment, pipe);
    pipe.closeWriting();
    auto until = Steady::now() + longest;
    bool stopping = false, open = true;
    while (::waitpid(id, &status, WNOHANG) != id) {
      pollfd waiting{open ? pipe.reading() : -1, POLLIN, 0};
      // The end of the program is no event of the pipe's: something it left behind may hold the other end.
      ::poll(&waiting, 1, static_cast<int>(slice.count()));
      if (waiting.revents & POLLIN) drain(pipe, output);
      open = open && !(waiting.revents & POLLHUP && !(waiting.revents & POLLIN));
      if (!stopping && stop.stop_requested()) {
        stopping = true;
        until = std::min(until, Steady::now() + afterStop);
      }
      if (Steady::now() < until) continue;
      killed =
          stopping ? "was killed: the order was stopped" : "did not end within " + inWords(longest) + " and was killed";
      ::kill(-id, SIGKILL);
      ::waitpid(id, &status, 0);
      break;
    }
    drain(pipe, output);
  } catch (const SystemError& error) {
    throw NothingChanged(failed(std::string("could not be started: ") + error.what()));
  }
  output.endLine();
  if (!killed.empty() && action == "present" && stop.stop_requested()) throw Stopped();
  if (!killed.empty()) throw Error(failed(killed + "; " + output.lastLines()));
  if (status != 0) throw Error(failed(endOf(status) + "; " + output.lastLines()));
}

}  // namespace postern::acme
