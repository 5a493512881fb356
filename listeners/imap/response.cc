#include "listeners/imap/response.h"

#include <algorithm>

#include "listeners/imap/scanner.h"

namespace postern::imap {
namespace {

constexpr std::size_t longestQuoted = 1000;

}  // namespace

void appendLiteral(std::string& out, std::string_view bytes) {
  out += '{' + std::to_string(bytes.size()) + "}\r\n";
  out += bytes;
}

void appendString(std::string& out, std::string_view text) {
  const bool quotable = text.size() <= longestQuoted && std::all_of(text.begin(), text.end(), [](char c) {
                          return c != '\r' && c != '\n' && c > 0;  // CHAR: seven bits, no NUL
                        });
  if (!quotable) {
    if (text.find('\0') == std::string_view::npos) return appendLiteral(out, text);
    std::string clean(text);  // CHAR8 has no NUL either
    std::replace(clean.begin(), clean.end(), '\0', '?');
    return appendLiteral(out, clean);
  }
  out += '"';
  for (const char c : text) {
    if (c == '"' || c == '\\') out += '\\';
    out += c;
  }
  out += '"';
}

void appendNString(std::string& out, const std::optional<std::string>& text) {
  if (text) {
    appendString(out, *text);
  } else {
    out += "NIL";
  }
}

void appendAString(std::string& out, std::string_view text) {
  if (!text.empty() && std::all_of(text.begin(), text.end(), isAtomChar)) {
    out += text;
  } else {
    appendString(out, text);
  }
}

void appendFlags(std::string& out, const mail::Flags& flags, bool recent) {
  out += '(';
  const std::size_t start = out.size();
  const auto add = [&](bool set, std::string_view name) {
    if (!set) return;
    if (out.size() > start) out += ' ';
    out += name;
  };
  add(flags.answered, "\\Answered");
  add(flags.flagged, "\\Flagged");
  add(flags.deleted, "\\Deleted");
  add(flags.seen, "\\Seen");
  add(flags.draft, "\\Draft");
  add(recent, "\\Recent");
  out += ')';
}

}  // namespace postern::imap
