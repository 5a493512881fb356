// Dates as IMAP writes them (RFC 3501 section 9, date and date-time). Pure functions. Days are those of UTC.
#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <string_view>

namespace postern::imap {

std::optional<std::chrono::sys_days> parseDate(std::string_view text);         // "1-Feb-1994"
std::optional<std::chrono::sys_seconds> parseDateTime(std::string_view text);  // " 7-Jul-1996 02:44:25 -0700"
std::string formatDateTime(std::chrono::sys_seconds at);                       // "17-Jul-1996 09:44:25 +0000"

}  // namespace postern::imap
