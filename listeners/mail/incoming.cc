#include "listeners/mail/incoming.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstdio>
#include <random>
#include <utility>

#include "base/atomic_file.h"
#include "base/error.h"

namespace postern::mail {
namespace {

std::string hostName() {
  char buffer[256] = {};
  if (gethostname(buffer, sizeof buffer - 1) != 0 || !buffer[0]) return "localhost";
  std::string name;
  for (const char* at = buffer; *at; ++at) {
    // What a Maildir name gives a meaning is escaped the way Maildir says; whatever would break our UID list goes too.
    if (*at == '/')
      name += "\\057";
    else if (*at == ':')
      name += "\\072";
    else if (*at > ' ' && *at != ',' && *at != 0x7f)
      name += *at;
  }
  return name;
}

void makeFolders(const std::filesystem::path& folder) {
  for (const char* name : {"cur", "new", "tmp"}) createDirectories(folder / name, 0700);
}

}  // namespace

std::string uniqueName() {
  static std::atomic<unsigned> count{0};
  static const std::string host = hostName();
  static thread_local std::random_device chance;
  timeval now{};
  gettimeofday(&now, nullptr);
  char name[96];
  std::snprintf(name, sizeof name, "%lld.M%06ldP%ldQ%uR%08x.", static_cast<long long>(now.tv_sec),
                static_cast<long>(now.tv_usec), static_cast<long>(getpid()), count++, chance());
  return name + host;
}

Incoming::Incoming(std::filesystem::path folder) : folder_(std::move(folder)), unique_(uniqueName()) {
  temporary_ = folder_ / "tmp" / unique_;
  descriptor_ = open(temporary_.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
  if (descriptor_ < 0 && errno == ENOENT) {
    makeFolders(folder_);
    descriptor_ = open(temporary_.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
  }
  if (descriptor_ < 0) throw SystemError("cannot create " + temporary_.string(), errno);
}

Incoming::Incoming(Incoming&& other) noexcept
    : folder_(std::move(other.folder_)),
      temporary_(std::exchange(other.temporary_, {})),
      published_(std::move(other.published_)),
      unique_(std::move(other.unique_)),
      name_(std::move(other.name_)),
      descriptor_(std::exchange(other.descriptor_, -1)),
      pendingCr_(other.pendingCr_),
      sealed_(other.sealed_),
      bytes_(other.bytes_),
      counter_(other.counter_) {}

Incoming::~Incoming() {
  if (descriptor_ >= 0) close(descriptor_);
  if (!temporary_.empty()) unlink(temporary_.c_str());
}

void Incoming::append(std::string_view bytes) {
  if (bytes.empty()) return;
  std::string out;
  out.reserve(bytes.size() + 1);
  if (pendingCr_ && bytes.front() != '\n') out += '\r';
  pendingCr_ = bytes.back() == '\r';
  if (pendingCr_) bytes.remove_suffix(1);
  std::size_t from = 0;
  for (std::size_t at = 0; (at = bytes.find("\r\n", from)) != std::string_view::npos; from = at + 1) {
    out.append(bytes, from, at - from);
  }
  out.append(bytes, from);
  write(out);
}

void Incoming::write(std::string_view bytes) {
  counter_.count(bytes);
  bytes_ += bytes.size();
  while (!bytes.empty()) {
    const auto written = ::write(descriptor_, bytes.data(), bytes.size());
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) throw SystemError("cannot write " + temporary_.string(), errno);
    bytes.remove_prefix(static_cast<std::size_t>(written));
  }
}

void Incoming::seal() {
  if (sealed_) return;
  if (std::exchange(pendingCr_, false)) write("\r");
  if (fsync(descriptor_) != 0) throw SystemError("cannot sync " + temporary_.string(), errno);
  name_ = unique_ + ",S=" + std::to_string(bytes_) + ",W=" + std::to_string(counter_.size());
  sealed_ = true;
}

Incoming Incoming::copyTo(std::filesystem::path folder) {
  seal();
  Incoming copy(std::move(folder));
  copy.bytes_ = bytes_;
  copy.counter_ = counter_;
  const auto linked = std::filesystem::path(copy.temporary_).concat("L");
  if (link(temporary_.c_str(), linked.c_str()) == 0) {
    if (std::rename(linked.c_str(), copy.temporary_.c_str()) != 0) {
      const int error = errno;
      unlink(linked.c_str());
      throw SystemError("cannot rename " + linked.string(), error);
    }
    copy.name_ = copy.unique_ + name_.substr(unique_.size());
    copy.sealed_ = true;
  } else {
    copy.copyFrom(temporary_);  // another file system, or one without hard links
  }
  return copy;
}

void Incoming::copyFrom(const std::filesystem::path& other) {
  const int from = open(other.c_str(), O_RDONLY | O_CLOEXEC);
  if (from < 0) throw SystemError("cannot open " + other.string(), errno);
  counter_ = {};
  bytes_ = 0;
  try {
    std::string buffer(64 << 10, '\0');
    for (;;) {
      const auto got = ::read(from, buffer.data(), buffer.size());
      if (got < 0 && errno == EINTR) continue;
      if (got < 0) throw SystemError("cannot read " + other.string(), errno);
      if (got == 0) break;
      write({buffer.data(), static_cast<std::size_t>(got)});
    }
  } catch (...) {
    close(from);
    throw;
  }
  close(from);
  seal();
}

void Incoming::publish(std::optional<Flags> flags, std::optional<std::chrono::sys_seconds> internalDate) {
  seal();
  if (internalDate) {
    const auto seconds = static_cast<time_t>(internalDate->time_since_epoch().count());
    const timespec times[2] = {{seconds, 0}, {seconds, 0}};
    if (utimensat(AT_FDCWD, temporary_.c_str(), times, 0) != 0) {
      throw SystemError("cannot set the time of " + temporary_.string(), errno);
    }
  }
  const auto target = folder_ / (flags ? fileWithFlags(name_, *flags) : "new/" + name_);
  if (std::rename(temporary_.c_str(), target.c_str()) != 0) {
    throw SystemError("cannot rename " + temporary_.string() + " to " + target.string(), errno);
  }
  temporary_.clear();
  published_ = target;
  try {
    fsyncDirectory(target.parent_path());
  } catch (...) {
    withdraw();
    throw;
  }
  close(std::exchange(descriptor_, -1));
}

void Incoming::withdraw() noexcept {
  if (!published_.empty()) unlink(published_.c_str());
  published_.clear();
}

void Incoming::commit(std::optional<Flags> flags, std::optional<std::chrono::sys_seconds> internalDate) {
  seal();
  publish(flags, internalDate);
}

}  // namespace postern::mail
