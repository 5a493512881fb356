// CommandReader: puts commands together from bytes as they come, and stops wherever somebody has to decide: at a
// complete command, and at every literal that is announced (RFC 3501 section 4.3, LITERAL+ of RFC 7888).
//
// Holds everything the client has sent and the session has not used. Lines end with CRLF; a bare LF is taken too, as
// people type it into openssl s_client.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "listeners/imap/scanner.h"

namespace postern::imap {

class CommandReader {
 public:
  static constexpr std::size_t longestCommand = 64 << 10;  // lines of one command
  static constexpr std::size_t largestLiteral = 64 << 10;  // literals of one command, in all

  enum class Found {
    Nothing,  // more bytes are needed
    Command,  // text() is complete
    Literal,  // text() ends with the announcement of literal(): acceptLiteral(), or take it by takeBytes(), or drop()
    TooLong,  // no end of the line in sight: there is nothing to do but to hang up
  };

  void add(std::string_view bytes);
  Found next();
  std::string_view text() const { return command_; }
  Scanner::LiteralSize literal() const { return literal_; }
  // Makes the literal part of the command. False where it is too large for that.
  bool acceptLiteral();
  // Forgets the command that is under way, literals and all; wiped, since it may be a LOGIN.
  void drop();

  // Raw access between commands: a line without its end, or up to `most` bytes; nothing when they are not there yet.
  // A line longer than `longestCommand` comes as an empty one with tooLong() set.
  std::optional<std::string> takeLine();
  std::string_view takeBytes(std::size_t most);  // valid until the next call that is not const
  std::size_t waiting() const { return input_.size() - at_; }
  bool tooLong() const { return tooLong_; }
  bool between() const { return command_.empty() && literalLeft_ == 0; }
  // What stands before the next command, as far as it is there.
  std::string_view ahead() const { return std::string_view(input_).substr(at_); }
  // Forgets everything.
  void clear();

 private:
  void compact();

  std::string input_;
  std::size_t at_ = 0;       // what lies before is used
  std::size_t scanned_ = 0;  // up to here no line feed was found
  std::string command_;
  Scanner::LiteralSize literal_;
  std::size_t literalLeft_ = 0, literalsTaken_ = 0;
  bool tooLong_ = false;
};

}  // namespace postern::imap
