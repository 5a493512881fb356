// Error text: what the system said, in words a person can act on.
#pragma once

#include <stdexcept>
#include <string>
#include <string_view>

namespace postern {

// "Permission denied" for EACCES; thread-safe, unlike strerror.
std::string errnoText(int error);

// A call to the system that failed: "cannot open /etc/x: Permission denied".
class SystemError : public std::runtime_error {
 public:
  SystemError(std::string_view doing, int error);
  int error() const { return error_; }

 private:
  int error_;
};

}  // namespace postern
