// Maildir: the mail of one account on disk, as Maildir++ folders (INBOX is the root, "Sent" is ".Sent"), with the UIDs
// and UIDVALIDITY of IMAP kept beside the messages so that they survive restarts.
//
// Every call blocks on the disk: on a worker only. Several connections, and other programs, may use one Maildir at a
// time: delivery is by rename, the UID list is changed under a lock file held with flock. Failures throw SystemError.
// A message coming in is an Incoming (incoming.h), an open folder a Mailbox (mailbox.h).
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "listeners/mail/incoming.h"
#include "listeners/mail/mailbox.h"
#include "listeners/mail/message.h"

namespace postern::mail {

// All folders of one account below `storage.maildir`/<account name>.
class Maildir {
 public:
  explicit Maildir(std::filesystem::path root);
  // IMAP names, "INBOX" first; hierarchy separator "." ; in modified UTF-7 as on disk.
  std::vector<std::string> folders() const;
  bool exists(std::string_view name) const;
  bool create(std::string_view name);  // false when it exists or the name is impossible; makes superior folders too
  bool remove(std::string_view name);  // false for INBOX and what does not exist; inferior folders stay
  // Inferior folders move along. INBOX gives its messages to the new folder and stays, empty (RFC 3501 section 6.3.5).
  bool rename(std::string_view from, std::string_view to);
  std::optional<std::filesystem::path> path(std::string_view name) const;  // nothing for an impossible name ("..", "/")
  bool subscribed(std::string_view name) const;
  void subscribe(std::string_view name, bool yes);
  std::vector<std::string> subscriptions() const;  // whether they exist or not, as RFC 3501 wants it
  const std::filesystem::path& root() const { return root_; }

 private:
  std::filesystem::path root_;
};

}  // namespace postern::mail
