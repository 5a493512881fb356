#include "listeners/smtp/command.h"

#include <algorithm>

#include "base/text.h"

namespace postern::smtp {
namespace {

bool beginsWith(std::string_view text, std::string_view beginning) {
  return equalsIgnoringCase(text.substr(0, beginning.size()), beginning);
}

}  // namespace

Command parseCommand(std::string_view line) {
  const auto blank = line.find(' ');
  if (blank == std::string_view::npos) return {line, {}};
  return {line.substr(0, blank), trimmed(line.substr(blank))};
}

bool isHttpVerb(std::string_view line) {
  const auto verb = line.substr(0, line.find(' '));
  for (const auto known : {"GET", "POST", "HEAD", "PUT", "CONNECT", "OPTIONS", "DELETE", "PATCH", "TRACE", "PRI"}) {
    if (verb == known) return true;
  }
  return false;
}

std::size_t longestLine(std::string_view beginning) {
  if (beginsWith(beginning, "AUTH ")) return longestAuthLine;
  // SIZE, BODY, AUTH and SMTPUTF8 lengthen MAIL (RFC 1870, 6152, 4954, 6531).
  if (beginsWith(beginning, "MAIL ") || beginsWith(beginning, "RCPT ")) return 512 + 26 + 17 + 500 + 10;
  return 512;
}

bool dropKeyword(std::string_view& argument, std::string_view keyword) {
  if (!beginsWith(argument, keyword)) return false;
  argument.remove_prefix(keyword.size());
  while (!argument.empty() && argument.front() == ' ') argument.remove_prefix(1);  // wrong, but widespread
  return true;
}

std::optional<std::vector<Parameter>> parseParameters(std::string_view text) {
  std::vector<Parameter> parameters;
  if (!text.empty() && text.front() != ' ') return {};
  for (const auto& word : split(text, ' ')) {
    if (word.empty()) continue;
    Parameter parameter;
    const auto equals = word.find('=');
    parameter.keyword = word.substr(0, equals);
    parameter.hasValue = equals != std::string::npos;
    if (parameter.hasValue) parameter.value = word.substr(equals + 1);
    if (parameter.keyword.empty() || (parameter.hasValue && parameter.value.empty())) return {};
    for (char& c : parameter.keyword) {
      if (c >= 'a' && c <= 'z') c = static_cast<char>(c - 'a' + 'A');
      if (!((c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-')) return {};
    }
    const bool twice = std::any_of(parameters.begin(), parameters.end(),
                                   [&](const Parameter& other) { return other.keyword == parameter.keyword; });
    if (twice) return {};
    parameters.push_back(std::move(parameter));
  }
  return parameters;
}

}  // namespace postern::smtp
