#include "server/passwd.h"

#include <crypt.h>
#include <termios.h>
#include <unistd.h>

#include <cerrno>
#include <iostream>
#include <optional>
#include <string>

#include "base/error.h"
#include "base/secret.h"

namespace postern::server {

namespace {

// The terminal without echo, for as long as this lives.
class NoEcho {
 public:
  NoEcho() {
    ::tcgetattr(STDIN_FILENO, &before_);
    termios quiet = before_;
    quiet.c_lflag &= ~static_cast<tcflag_t>(ECHO);
    ::tcsetattr(STDIN_FILENO, TCSAFLUSH, &quiet);
  }
  ~NoEcho() {
    ::tcsetattr(STDIN_FILENO, TCSAFLUSH, &before_);
    std::cerr << "\n";
  }
  NoEcho(const NoEcho&) = delete;
  NoEcho& operator=(const NoEcho&) = delete;

 private:
  termios before_{};
};

// Empty at the end of the input.
Secret readLine() {
  std::string line;
  std::getline(std::cin, line);
  return Secret(std::move(line));
}

// Nothing where two were typed that differ, which has been said.
std::optional<Secret> readPassword() {
  if (!::isatty(STDIN_FILENO)) return readLine();
  auto ask = [](const char* prompt) {
    std::cerr << prompt << std::flush;
    NoEcho quiet;
    return readLine();
  };
  Secret first = ask("Password: ");
  if (first.empty() || first == ask("Again: ")) return first;
  std::cerr << "postern passwd: the two passwords differ\n";
  return {};
}

}  // namespace

int passwd() {
  const auto password = readPassword();
  if (!password) return 1;
  if (password->empty()) {
    std::cerr << "postern passwd: an empty password is no password; nothing was printed\n";
    return 1;
  }
  char setting[CRYPT_GENSALT_OUTPUT_SIZE];
  crypt_data data{};
  // No prefix: libcrypt's preferred method (yescrypt on Debian 12), with its default cost and the kernel's randomness.
  if (!::crypt_gensalt_rn(nullptr, 0, nullptr, 0, setting, sizeof setting)) {
    std::cerr << "postern passwd: cannot make a salt: " << errnoText(errno) << "\n";
    return 1;
  }
  const std::string text(password->reveal());
  const char* hash = ::crypt_r(text.c_str(), setting, &data);
  if (!hash || hash[0] == '*') {
    std::cerr << "postern passwd: cannot hash: " << errnoText(errno) << "\n";
    return 1;
  }
  std::cout << hash << "\n";
  return 0;
}

}  // namespace postern::server
