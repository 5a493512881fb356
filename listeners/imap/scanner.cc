#include "listeners/imap/scanner.h"

#include <algorithm>
#include <limits>

#include "base/text.h"

namespace postern::imap {
namespace {

bool isDigit(char c) {
  return c >= '0' && c <= '9';
}

bool isWordChar(char c) {
  return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || isDigit(c) || c == '.' || c == '-';
}

char upper(char c) {
  return c >= 'a' && c <= 'z' ? static_cast<char>(c - 'a' + 'A') : c;
}

}  // namespace

bool isAtomChar(char c) {
  return c > ' ' && c < 0x7f && std::string_view("(){%*\"\\]").find(c) == std::string_view::npos;
}

bool isTag(std::string_view text) {
  constexpr std::size_t longest = 32;
  return !text.empty() && text.size() <= longest && std::all_of(text.begin(), text.end(), [](char c) {
    // '<' and '>' are allowed to tags but used by none; a browser would make markup of them.
    return (isAtomChar(c) || c == ']') && c != '+' && c != '<' && c != '>';
  });
}

bool Scanner::take(char c) {
  if (atEnd() || text_[at_] != c) return false;
  ++at_;
  return true;
}

template <class Predicate>
std::string_view Scanner::run(Predicate wanted) {
  const std::size_t from = at_;
  while (at_ < text_.size() && wanted(text_[at_])) ++at_;
  return text_.substr(from, at_ - from);
}

std::string_view Scanner::atom() {
  return run(isAtomChar);
}

std::string Scanner::word() {
  std::string word(run(isWordChar));
  std::transform(word.begin(), word.end(), word.begin(), upper);
  return word;
}

std::optional<std::string> Scanner::quoted() {
  if (!take('"')) return {};
  std::string value;
  while (!atEnd()) {
    char c = text_[at_++];
    if (c == '"') return value;
    if (c == '\\') {
      if (peek() != '"' && peek() != '\\') return {};
      c = text_[at_++];
    }
    if (c == '\r' || c == '\n' || c == '\0') return {};
    value += c;
  }
  return {};
}

std::optional<std::string> Scanner::literal() {
  if (!take('{')) return {};
  const auto size = number64();
  if (!size) return {};
  take('+');
  if (!take('}') || !take('\r') || !take('\n') || *size > text_.size() - at_) return {};
  std::string value(text_.substr(at_, static_cast<std::size_t>(*size)));
  at_ += value.size();
  if (value.find('\0') != std::string::npos) return {};
  return value;
}

std::optional<std::string> Scanner::string() {
  return peek() == '"' ? quoted() : literal();
}

std::optional<std::string> Scanner::astring() {
  if (peek() == '"' || peek() == '{') return string();
  const auto value = run([](char c) { return isAtomChar(c) || c == ']'; });
  if (value.empty()) return {};
  return std::string(value);
}

std::optional<std::string> Scanner::mailbox() {
  auto name = astring();
  if (name && equalsIgnoringCase(*name, "INBOX")) name = "INBOX";
  return name;
}

std::optional<std::string> Scanner::listMailbox() {
  if (peek() == '"' || peek() == '{') return string();
  const auto value = run([](char c) { return isAtomChar(c) || c == ']' || c == '%' || c == '*'; });
  if (value.empty()) return {};
  return std::string(value);
}

std::optional<std::uint64_t> Scanner::number64() {
  const auto digits = run(isDigit);
  if (digits.empty() || digits.size() > 18) return {};
  std::uint64_t value = 0;
  for (const char c : digits) value = value * 10 + static_cast<std::uint64_t>(c - '0');
  return value;
}

std::optional<std::uint32_t> Scanner::number() {
  const auto value = number64();
  if (!value || *value > std::numeric_limits<std::uint32_t>::max()) return {};
  return static_cast<std::uint32_t>(*value);
}

std::optional<mail::Flags> Scanner::flags(bool bare) {
  const bool list = take('(');
  if (!list && !bare) return {};
  mail::Flags flags;
  if (list && take(')')) return flags;
  do {
    const bool system = take('\\');
    const std::string name = lower(atom());
    if (name.empty()) return {};
    if (!system) continue;
    if (name == "seen") flags.seen = true;
    if (name == "answered") flags.answered = true;
    if (name == "flagged") flags.flagged = true;
    if (name == "deleted") flags.deleted = true;
    if (name == "draft") flags.draft = true;
  } while (space());
  if (list && !take(')')) return {};
  return flags;
}

std::optional<Scanner::LiteralSize> Scanner::openLiteral() {
  if (!take('{')) return {};
  const auto size = number64();
  if (!size) return {};
  const bool synchronizing = !take('+');
  if (!take('}') || !atEnd()) return {};
  return LiteralSize{*size, synchronizing};
}

}  // namespace postern::imap
