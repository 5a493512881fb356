// Append: a message that a client puts into a mailbox (RFC 3501 section 6.3.11), written to disk as it comes, so that
// its size is never held in memory.
//
// Belongs to one session. begin(), write() and commit() block (on a worker only) and throw SystemError.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "listeners/imap/scanner.h"
#include "listeners/mail/maildir.h"

namespace postern::imap {

struct AppendRequest {
  std::string mailbox;
  std::optional<mail::Flags> flags;
  std::optional<std::chrono::sys_seconds> date;
  Scanner::LiteralSize literal;
};
// Everything behind "APPEND ", which ends with the announcement of the message. Nothing for anything else.
std::optional<AppendRequest> parseAppend(Scanner& from);

class Append {
 public:
  static constexpr std::uint64_t largestMessage = 50 << 20;
  static constexpr std::size_t pieceBytes = 256 << 10;

  Append(std::string tag, AppendRequest request)
      : tag_(std::move(tag)), request_(std::move(request)), left_(request_.literal.bytes) {}

  const std::string& tag() const { return tag_; }
  const AppendRequest& request() const { return request_; }
  // The octets of the literal that have not come yet.
  std::uint64_t left() const { return left_; }
  void took(std::size_t bytes) { left_ -= bytes; }

  // Why there will be no message; the literal is passed over then.
  bool refused() const { return !refusal_.empty(); }
  const std::string& refusal() const { return refusal_; }  // "NO [TRYCREATE] ..."
  void refuse(std::string why);

  bool begin(const mail::Maildir& maildir);  // false, and refused, when there is no such mailbox
  void write(std::string_view bytes);
  std::string commit(const mail::Maildir& maildir);  // "[APPENDUID 1 2] "

 private:
  std::string tag_;
  AppendRequest request_;
  std::uint64_t left_;
  std::string refusal_;
  std::optional<mail::Incoming> incoming_;
};

}  // namespace postern::imap
