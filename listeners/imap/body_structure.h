// ENVELOPE, BODY and BODYSTRUCTURE (RFC 3501 section 7.4.2) of a message, appended to `out`. Pure functions.
#pragma once

#include <string>
#include <string_view>

#include "listeners/imap/message_structure.h"

namespace postern::imap {

void appendEnvelope(std::string& out, std::string_view header);
// `extended`: BODYSTRUCTURE, with the extension data; else BODY.
void appendBodyStructure(std::string& out, const Part& part, bool extended);

}  // namespace postern::imap
