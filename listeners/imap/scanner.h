// Scanner: the tokens of one complete command, read from left to right (RFC 3501 section 9).
//
// Works on the text a CommandReader has put together: a literal stands in it as "{n}\r\n" and its n bytes. Every
// function takes its token and returns it, or returns nothing (false, empty) where another thing stands; it may then
// have moved on, since a command with a mistake in it is refused whole. A value type; the text must outlive it.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "listeners/mail/message.h"

namespace postern::imap {

bool isAtomChar(char c);
// Whether this may be said again as a tag.
bool isTag(std::string_view text);

class Scanner {
 public:
  explicit Scanner(std::string_view text) : text_(text) {}

  bool atEnd() const { return at_ == text_.size(); }
  char peek() const { return atEnd() ? '\0' : text_[at_]; }
  bool take(char c);
  bool space() { return take(' '); }
  // An atom as it stands; empty where none does.
  std::string_view atom();
  // A run of letters, digits, '.' and '-', in capitals: names of commands, fetch items and search keys.
  std::string word();
  std::optional<std::string> string();  // quoted or literal
  std::optional<std::string> astring();
  std::optional<std::string> mailbox();      // "inbox" in any case is "INBOX"
  std::optional<std::string> listMailbox();  // with % and *
  std::optional<std::uint32_t> number();
  std::optional<std::uint64_t> number64();
  // "(\Seen \Draft)", or without parentheses where `bare`. Keywords and \Recent are passed over: Maildir has no place
  // for them.
  std::optional<mail::Flags> flags(bool bare = false);
  // The size of a literal that the text ends with: "{n}" or "{n+}". Taken only when nothing follows it.
  struct LiteralSize {
    std::uint64_t bytes = 0;
    bool synchronizing = true;
  };
  std::optional<LiteralSize> openLiteral();
  // What is left, without moving.
  std::string_view rest() const { return text_.substr(at_); }

 private:
  template <class Predicate>
  std::string_view run(Predicate wanted);
  std::optional<std::string> quoted();
  std::optional<std::string> literal();

  std::string_view text_;
  std::size_t at_ = 0;
};

}  // namespace postern::imap
