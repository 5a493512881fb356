// LIST, LSUB and STATUS: what there is to tell of folders (RFC 3501 section 6.3, RFC 6154). Blocking, on a worker only;
// throws SystemError. The hierarchy separator is ".".
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "listeners/imap/scanner.h"
#include "listeners/mail/maildir.h"

namespace postern::imap {

struct ListRequest {
  bool subscribed = false;  // LSUB
  std::string reference, pattern;
};
void list(std::string& out, const mail::Maildir& maildir, const ListRequest& request);

// Whether a name is meant by a pattern, where * is anything and % anything without a separator. Takes time of the
// product of their lengths at most.
bool matchesPattern(std::string_view pattern, std::string_view name);

struct StatusRequest {
  std::string name;
  std::vector<std::string> items;  // in capitals, all known
};
std::optional<StatusRequest> parseStatus(Scanner& from);
// False when there is no such folder.
bool status(std::string& out, const mail::Maildir& maildir, const StatusRequest& request);

}  // namespace postern::imap
