// What a command line of SMTP says: verb, argument, and the parameters behind a path. Pure functions (RFC 5321
// section 4.1).
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace postern::smtp {

struct Command {
  std::string_view verb;      // as typed; up to the first blank
  std::string_view argument;  // behind it, without blanks at both ends
};
Command parseCommand(std::string_view line);

// The first word of a request of HTTP: a browser, or somebody who makes one talk to a mail port.
bool isHttpVerb(std::string_view line);

// How long a line that begins so may be, CRLF included: 512 octets, more where an extension says so.
std::size_t longestLine(std::string_view beginning);
inline constexpr std::size_t longestAuthLine = 12288;  // RFC 4954 section 4

// Drops "FROM:" (any case) and blanks behind it; false where it does not stand there.
bool dropKeyword(std::string_view& argument, std::string_view keyword);

// "SIZE=100 BODY=8BITMIME SMTPUTF8"; keywords in upper case. Nothing where one is malformed or given twice.
struct Parameter {
  std::string keyword, value;
  bool hasValue = false;
};
std::optional<std::vector<Parameter>> parseParameters(std::string_view text);

}  // namespace postern::smtp
