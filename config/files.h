// Files: reading of whole small files, and the list of those that were read (a reload, as another user, reads them
// again).
//
// One thread at a time; lives for one load().
#pragma once

#include <optional>
#include <string>
#include <vector>

namespace postern::config {

class Files {
 public:
  enum class Access { All, None };  // None: what is loaded from memory touches no file
  explicit Files(Access access = Access::All) : access_(access) {}

  struct Content {
    std::optional<std::string> text;
    std::string why;  // when there is none: "Permission denied"
  };
  Content read(const std::string& path);
  // Why `path` is not a program that this process may run; "" when it is one, and always without access to files.
  std::string whyNotExecutable(const std::string& path) const;

  Access access() const { return access_; }
  const std::vector<std::string>& wereRead() const { return read_; }  // each once, in order

 private:
  Access access_;
  std::vector<std::string> read_;
};

}  // namespace postern::config
