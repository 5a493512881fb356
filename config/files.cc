#include "config/files.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "base/error.h"

namespace postern::config {
namespace {

constexpr std::size_t largest = 16U << 20U;  // %{file:/dev/zero}% ends

struct Descriptor {
  int number;
  explicit Descriptor(int n) : number(n) {}
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  ~Descriptor() {
    if (number >= 0) ::close(number);
  }
};

}  // namespace

Files::Content Files::read(const std::string& path) {
  if (access_ == Access::None) return {std::nullopt, "files are not read here"};
  const Descriptor file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (file.number < 0) return {std::nullopt, errnoText(errno)};
  std::string text;
  char buffer[16384];
  for (;;) {
    const ssize_t got = ::read(file.number, buffer, sizeof buffer);
    if (got < 0 && errno == EINTR) continue;
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
  struct stat facts {};
  if (::stat(path.c_str(), &facts) != 0) return errnoText(errno);
  if (!S_ISREG(facts.st_mode)) return "not a file";
  if (::access(path.c_str(), X_OK) != 0) return "not executable";
  return "";
}

}  // namespace postern::config
