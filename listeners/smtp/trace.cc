#include "listeners/smtp/trace.h"

#include <fmt/format.h>

#include <algorithm>
#include <ctime>

#include "base/text.h"

namespace postern::smtp {

std::string withProtocol(const Trace& trace) {
  if (!trace.esmtp) return "SMTP";
  std::string name = trace.utf8 ? "UTF8SMTP" : "ESMTP";
  if (trace.encrypted) name += 'S';
  if (trace.authenticated) name += 'A';
  return name;
}

std::string rfc5322Date(Time at) {
  // Not strftime: days and months are English whatever the locale.
  static constexpr const char* days[] = {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
  static constexpr const char* months[] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                           "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
  const auto seconds = static_cast<time_t>(std::chrono::floor<std::chrono::seconds>(at).time_since_epoch().count());
  tm parts{};
  gmtime_r(&seconds, &parts);
  return fmt::format("{}, {} {} {} {:02}:{:02}:{:02} +0000", days[parts.tm_wday], parts.tm_mday, months[parts.tm_mon],
                     parts.tm_year + 1900, parts.tm_hour, parts.tm_min, parts.tm_sec);
}

std::string traceFields(const Trace& trace) {
  const bool v6 = trace.peerAddress.find(':') != std::string::npos;
  std::string fields = fmt::format("Return-Path: <{}>\r\nReceived: from {} ([{}{}])\r\n", trace.sender,
                                   trace.helo.empty() ? "unknown" : trace.helo, v6 ? "IPv6:" : "", trace.peerAddress);
  if (trace.encrypted) fields += fmt::format("\t(using {} with cipher {})\r\n", trace.tls.version, trace.tls.cipher);
  fields += fmt::format("\tby {} with {} id {}", trace.hostname, withProtocol(trace), trace.id);
  if (!trace.onlyRecipient.empty()) fields += fmt::format("\r\n\tfor <{}>", trace.onlyRecipient);
  fields += fmt::format(";\r\n\t{}\r\n", rfc5322Date(trace.at));
  return fields;
}

bool beginsWithHeader(std::string_view beginning) {
  if (beginning.empty() || beginning.starts_with("\r\n")) return true;
  const auto colon = beginning.find_first_of(":\r");
  if (colon == std::string_view::npos || beginning[colon] != ':') return false;
  auto name = beginning.substr(0, colon);
  while (name.ends_with(' ') || name.ends_with('\t')) name.remove_suffix(1);  // RFC 5322 section 4.5
  return !name.empty() && std::all_of(name.begin(), name.end(), [](char c) { return c > ' ' && c < 0x7f; });
}

std::string missingFields(std::string_view beginning, const Trace& trace) {
  bool date = false, messageId = false, whole = false;
  for (std::size_t at = 0; at < beginning.size();) {
    const auto end = beginning.find("\r\n", at);
    if (end == std::string_view::npos) break;
    const auto line = beginning.substr(at, end - at);
    at = end + 2;
    if (!line.empty() && (line.front() == ' ' || line.front() == '\t')) continue;  // goes on with the field above
    // An empty line ends the header; so does one that belongs to no header at all.
    if (line.find(':') == std::string_view::npos) {
      whole = true;
      break;
    }
    const auto name = trimmed(line.substr(0, line.find(':')));
    date = date || equalsIgnoringCase(name, "Date");
    messageId = messageId || equalsIgnoringCase(name, "Message-ID");
  }
  if (!whole) return {};
  std::string fields;
  if (!date) fields += fmt::format("Date: {}\r\n", rfc5322Date(trace.at));
  if (!messageId) fields += fmt::format("Message-ID: <{}@{}>\r\n", trace.id, trace.hostname);
  return fields;
}

}  // namespace postern::smtp
