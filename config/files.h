// Files: reading of whole small files, and the list of those that were read (a reload, as another user, reads them
// again).
//
// A file that never ends or never answers holds nobody up: a FIFO or socket where a file is expected is refused, and
// what a caller hands over as /dev/stdin or /dev/fd/N has ten seconds to come to its end. (The kernel waits for a
// network file system that hangs, and nothing here can.)
//
// One thread at a time; lives for one load().
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace postern::config {

class Files {
 public:
  enum class Access { All, None };  // None: what is loaded from memory touches no file
  using Watcher = std::function<void(const std::string& path)>;
  // `watcher`, where there is one, is told of each path before it is touched.
  explicit Files(Access access = Access::All, Watcher watcher = {}) : access_(access), watcher_(std::move(watcher)) {}

  struct Content {
    std::optional<std::string> text;
    std::string why;  // when there is none: "Permission denied"
  };
  Content read(const std::string& path);
  void about(const std::string& path) const;  // tells the watcher
  // Why `path` is not a program that this process may run; "" when it is one, and always without access to files.
  std::string whyNotExecutable(const std::string& path) const;

  Access access() const { return access_; }
  const std::vector<std::string>& wereRead() const { return read_; }  // each once, in order

 private:
  Access access_;
  Watcher watcher_;
  std::vector<std::string> read_;
};

}  // namespace postern::config
