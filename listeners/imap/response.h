// What responses are written with: strings as quoted or literal, flags (RFC 3501 section 9). Pure functions that append
// to `out`.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "listeners/mail/message.h"

namespace postern::imap {

void appendString(std::string& out, std::string_view text);  // quoted where that is allowed, else literal
void appendNString(std::string& out, const std::optional<std::string>& text);
void appendAString(std::string& out, std::string_view text);  // as an atom where that is allowed
void appendLiteral(std::string& out, std::string_view bytes);
void appendFlags(std::string& out, const mail::Flags& flags, bool recent);  // "(\Seen \Recent)"

}  // namespace postern::imap
