#include "base/atomic_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "base/error.h"
#include "base/fault_point.h"

namespace postern {
namespace {

namespace fs = std::filesystem;

class Descriptor {
 public:
  explicit Descriptor(int fd) : fd_(fd) {}
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  ~Descriptor() {
    if (fd_ >= 0) close(fd_);
  }
  int get() const { return fd_; }
  // close(2) may be the first to tell of a failed write (NFS, quotas).
  int closeNow() { return close(std::exchange(fd_, -1)); }

 private:
  int fd_;
};

// Removes what was begun, unless it was kept.
class Unfinished {
 public:
  explicit Unfinished(fs::path path) : path_(std::move(path)) {}
  Unfinished(const Unfinished&) = delete;
  Unfinished& operator=(const Unfinished&) = delete;
  ~Unfinished() {
    if (!path_.empty()) unlink(path_.c_str());
  }
  void keep() { path_.clear(); }

 private:
  fs::path path_;
};

[[noreturn]] void failed(std::string_view doing, const fs::path& path) {
  const int error = errno;
  throw SystemError(std::string("cannot ") + std::string(doing) + " " + path.string(), error);
}

fs::path folderOf(const fs::path& path) {
  const fs::path folder = path.parent_path();
  return folder.empty() ? fs::path(".") : folder;
}

// `named` is the path that errors speak of: where the bytes were to go in the end.
void fill(Descriptor& file, std::string_view bytes, mode_t mode, const fs::path& named) {
  if (fchmod(file.get(), mode) != 0) failed("set the mode of", named);
  while (!bytes.empty()) {
    const ssize_t written = POSTERN_STEP_FAILS("write") ? -1 : write(file.get(), bytes.data(), bytes.size());
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) failed("write", named);
    bytes.remove_prefix(static_cast<std::size_t>(written));
  }
  if (POSTERN_STEP_FAILS("sync") || fsync(file.get()) != 0) failed("sync", named);
  if (POSTERN_STEP_FAILS("close") || file.closeNow() != 0) failed("write", named);
}

}  // namespace

void writeFileAtomically(const fs::path& path, std::string_view bytes, mode_t mode, std::optional<gid_t> group) {
  // The name does not grow with the path's, which may have the full length already.
  std::string temporary = (folderOf(path) / ".tmp.XXXXXX").string();
  Descriptor file(POSTERN_STEP_FAILS("create") ? -1 : mkostemp(temporary.data(), O_CLOEXEC));
  if (file.get() < 0) failed("write", path);
  Unfinished unfinished(temporary);
  if (group && fchown(file.get(), static_cast<uid_t>(-1), *group) != 0) failed("set the group of", path);
  fill(file, bytes, mode, path);
  if (POSTERN_STEP_FAILS("rename") || rename(temporary.c_str(), path.c_str()) != 0) failed("write", path);
  unfinished.keep();
  fsyncDirectory(folderOf(path));
}

void writeNewFile(const fs::path& path, std::string_view bytes, mode_t mode) {
  constexpr int flags = O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC;
  Descriptor file(POSTERN_STEP_FAILS("create") ? -1 : open(path.c_str(), flags, mode));
  if (file.get() < 0) failed("create", path);
  Unfinished unfinished(path);
  fill(file, bytes, mode, path);
  unfinished.keep();
}

std::optional<std::string> readFile(const fs::path& path, std::size_t limit) {
  // A FIFO in its place would be waited for until somebody writes: opened so, it is not.
  Descriptor file(open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK));
  if (file.get() < 0) {
    if (errno == ENOENT) return std::nullopt;
    failed("open", path);
  }
  struct stat found {};
  if (fstat(file.get(), &found) != 0) failed("look at", path);
  if (!S_ISREG(found.st_mode) && !S_ISDIR(found.st_mode)) {
    throw SystemError("cannot read " + path.string() + ", which is no regular file", EINVAL);
  }
  std::string bytes;
  for (std::size_t piece = 4 << 10;; piece = std::min<std::size_t>(2 * piece, 64 << 10)) {  // most are small
    const std::size_t before = bytes.size();
    bytes.resize(before + piece);
    const ssize_t got = read(file.get(), bytes.data() + before, piece);
    bytes.resize(before + static_cast<std::size_t>(got > 0 ? got : 0));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) failed("read", path);
    if (bytes.size() > limit) {
      throw SystemError("cannot read " + path.string() + ", which has more than " + std::to_string(limit) + " bytes",
                        EFBIG);
    }
    if (got == 0) return bytes;
  }
}

void createDirectories(const fs::path& path, mode_t mode) {
  struct stat found {};
  if (path.empty()) return;
  if (stat(path.c_str(), &found) == 0) {
    if (S_ISDIR(found.st_mode)) return;
    errno = ENOTDIR;
    failed("create the folder", path);
  }
  if (path.filename().empty()) return createDirectories(path.parent_path(), mode);  // "a/b/"
  createDirectories(path.parent_path(), mode);
  if (POSTERN_STEP_FAILS("make the folder") || mkdir(path.c_str(), mode) != 0) {
    // Somebody may have been quicker, which is as good.
    if (errno == EEXIST && stat(path.c_str(), &found) == 0 && S_ISDIR(found.st_mode)) return;
    failed("create the folder", path);
  }
  if (POSTERN_STEP_FAILS("set its mode") || chmod(path.c_str(), mode) != 0) failed("set the mode of", path);
  fsyncDirectory(folderOf(path));
}

void renameDurably(const fs::path& from, const fs::path& to) {
  if (POSTERN_STEP_FAILS("rename") || rename(from.c_str(), to.c_str()) != 0)
    failed("rename " + from.string() + " to", to);
  fsyncDirectory(folderOf(to));
  if (folderOf(from) != folderOf(to)) fsyncDirectory(folderOf(from));
}

void flipLink(const fs::path& link, const fs::path& target) {
  // symlink(2) makes no unique names itself: take those of mkostemp until one was free.
  for (;;) {
    std::string temporary = (folderOf(link) / ".tmp.XXXXXX").string();
    Descriptor placeholder(POSTERN_STEP_FAILS("create") ? -1 : mkostemp(temporary.data(), O_CLOEXEC));
    if (placeholder.get() < 0) failed("write the link", link);
    if (unlink(temporary.c_str()) != 0) failed("write the link", link);
    if (POSTERN_STEP_FAILS("link") || symlink(target.c_str(), temporary.c_str()) != 0) {
      if (errno == EEXIST) continue;
      failed("write the link", link);
    }
    Unfinished unfinished(temporary);
    if (POSTERN_STEP_FAILS("flip the link") || rename(temporary.c_str(), link.c_str()) != 0) {
      failed("write the link", link);
    }
    unfinished.keep();
    break;
  }
  fsyncDirectory(folderOf(link));
}

void fsyncDirectory(const fs::path& path) {
  Descriptor folder(open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (folder.get() < 0) failed("open", path);
  // Some network file systems know no sync of folders and say EINVAL: their renames are as durable as they get.
  if (POSTERN_STEP_FAILS("sync the folder") || (fsync(folder.get()) != 0 && errno != EINVAL)) failed("sync", path);
  POSTERN_FAULT_POINT("the folder is synced");
}

}  // namespace postern
