// Paths of MAIL and RCPT: "<local-part@domain>" as RFC 5321 section 4.1.2 spells it, RFC 6531 with SMTPUTF8. Pure
// functions.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace postern::smtp {

struct Path {
  std::string text;     // between the brackets, without a source route; empty for "<>"
  std::string mailbox;  // what to look up: the local part without needless quotes, "@", the domain
  std::string domain;   // as given; "[192.0.2.1]" for a literal, empty for "<>" and "<postmaster>"
  bool ascii = true;
  bool null() const { return text.empty(); }
};

// Takes a path off the front of `text`. Nothing when it is none: wrong syntax, a part that is too long, no UTF-8.
// "<postmaster>" without a domain is one; other local parts need theirs.
std::optional<Path> takePath(std::string_view& text);

// A domain or address literal, as EHLO brings it. Lenient about underscores, strict about everything that could mean
// something in a header.
bool isDomainOrLiteral(std::string_view text);

}  // namespace postern::smtp
