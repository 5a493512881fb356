#include "config/files.h"

#include <fcntl.h>
#include <linux/magic.h>
#include <poll.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>

#include "base/error.h"

namespace postern::config {
namespace {

constexpr std::size_t largest = 16U << 20U;         // %{file:/dev/zero}% ends
constexpr auto longest = std::chrono::seconds(10);  // for what somebody has yet to write: a pipe, a terminal

struct Descriptor {
  int number;
  explicit Descriptor(int n) : number(n) {}
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  ~Descriptor() {
    if (number >= 0) ::close(number);
  }
};

// Why there is nothing to be read at `path`; "" where there may be.
std::string whyNoFile(const std::string& path) {
  struct stat facts {};
  if (::stat(path.c_str(), &facts) != 0) return errnoText(errno);
  if (S_ISSOCK(facts.st_mode)) return "it is a socket, and no file";
  struct statfs system {};
  // A shell's <(program) is a pipe, too, but one that has its writer.
  const bool fifo = S_ISFIFO(facts.st_mode) && ::statfs(path.c_str(), &system) == 0 && system.f_type != PIPEFS_MAGIC;
  return fifo ? "it is a FIFO, and no file" : "";
}

}  // namespace

void Files::about(const std::string& path) const {
  if (watcher_) watcher_(path);
}

Files::Content Files::read(const std::string& path) {
  if (access_ == Access::None) return {std::nullopt, "files are not read here"};
  about(path);
  if (std::string why = whyNoFile(path); !why.empty()) return {std::nullopt, std::move(why)};
  const Descriptor file(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK));
  if (file.number < 0) return {std::nullopt, errnoText(errno)};
  std::string text;
  char buffer[16384];
  const auto deadline = std::chrono::steady_clock::now() + longest;
  for (;;) {
    const ssize_t got = ::read(file.number, buffer, sizeof buffer);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0 && errno == EAGAIN) {
      const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline - std::chrono::steady_clock::now());
      if (left.count() <= 0) return {std::nullopt, "it did not end within 10 s"};
      pollfd more{file.number, POLLIN, 0};
      ::poll(&more, 1, static_cast<int>(left.count()));
      continue;
    }
    if (got < 0) return {std::nullopt, errnoText(errno)};
    if (got == 0) break;
    text.append(buffer, static_cast<std::size_t>(got));
    if (text.size() > largest) return {std::nullopt, "larger than 16 MiB"};
  }
  if (std::find(read_.begin(), read_.end(), path) == read_.end()) read_.push_back(path);
  return {std::move(text), ""};
}

std::string Files::whyNotExecutable(const std::string& path) const {
  if (access_ == Access::None) return "";
  about(path);
  struct stat facts {};
  if (::stat(path.c_str(), &facts) != 0) return errnoText(errno);
  if (!S_ISREG(facts.st_mode)) return "not a file";
  if (::access(path.c_str(), X_OK) != 0) return "not executable";
  return "";
}

}  // namespace postern::config
