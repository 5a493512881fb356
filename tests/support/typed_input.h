// What somebody would have typed, to show that nobody was asked: in the place of the process's standard input while it
// lives. Not beside another one.
#pragma once

#include <gtest/gtest.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <array>

namespace postern::support {

class TypedInput {
 public:
  TypedInput() {
    EXPECT_EQ(::pipe(pipe_.data()), 0);
    EXPECT_EQ(::write(pipe_[1], "secret\n", 7), 7);
    before_ = ::dup(STDIN_FILENO);
    EXPECT_EQ(::dup2(pipe_[0], STDIN_FILENO), STDIN_FILENO);
  }
  ~TypedInput() {
    if (before_ < 0) {
      ::close(STDIN_FILENO);
    } else {
      ::dup2(before_, STDIN_FILENO);
      ::close(before_);
    }
    for (const int end : pipe_) ::close(end);
  }
  TypedInput(const TypedInput&) = delete;
  TypedInput& operator=(const TypedInput&) = delete;

  bool wasRead() const {
    int left = 0;
    EXPECT_EQ(::ioctl(pipe_[0], FIONREAD, &left), 0);
    return left != 7;
  }

 private:
  std::array<int, 2> pipe_{-1, -1};
  int before_ = -1;
};

// A certificate in PEM whose body OpenSSL would decrypt, as it would a key's.
inline const char* const encryptedCertificate =
    "-----BEGIN CERTIFICATE-----\nProc-Type: 4,ENCRYPTED\n"
    "DEK-Info: AES-128-CBC,00112233445566778899AABBCCDDEEFF\n\n"
    "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n-----END CERTIFICATE-----\n";

}  // namespace postern::support
