// DataReader: the octets after DATA, up to the one thing that ends them: CRLF "." CRLF (RFC 5321 section 4.1.1.4).
//
// A line feed without its carriage return, or the other way round, neither ends a line nor the message, and spoils it:
// where two servers disagree about the end, the second message of the one is the first one's content (SMTP smuggling,
// CVE-2023-51764 and others). What follows up to the real end is still read, so that none of it is taken for a command.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace postern::smtp {

class DataReader {
 public:
  // Takes bytes, up to the end of the message and no further, and appends what they say, without the leading dots, to
  // `content`. Returns how many it took.
  std::size_t take(std::string_view bytes, std::string& content);

  bool ended() const { return state_ == State::Ended; }
  bool spoiled() const { return spoiled_; }       // a bare CR or LF has been seen
  std::uint64_t size() const { return size_; }    // of the content so far
  std::uint64_t taken() const { return taken_; }  // of the octets so far

 private:
  enum class State { LineStart, Dot, DotCr, Middle, Cr, Ended };
  State state_ = State::LineStart;
  bool spoiled_ = false;
  std::uint64_t size_ = 0, taken_ = 0;
};

}  // namespace postern::smtp
