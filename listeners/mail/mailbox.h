// Mailbox: one folder of a Maildir, as one session sees it.
//
// One thread at a time; every call blocks on the disk: on a worker only. Other mailboxes and other programs may work on
// the same folder meanwhile. Failures throw SystemError. What a session has been told changes only with scan(), except
// that setFlags() is seen at once.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "listeners/mail/message.h"

namespace postern::mail {

class Mailbox {
 public:
  explicit Mailbox(std::filesystem::path folder);  // cur, new and tmp are made where missing

  // Looks at the disk: numbers what is new, drops what is gone, renews flags. `claimRecent` moves new/ to cur/ and
  // marks those as recent for this session (SELECT; not EXAMINE or STATUS). Costs three stat(2) where nothing has
  // changed.
  void scan(bool claimRecent);
  std::uint32_t uidValidity() const;
  std::uint32_t uidNext() const;
  const std::vector<MessageInfo>& messages() const;  // by UID, ascending, as of the last scan
  // The message's bytes with CRLF line ends. Nothing when it is gone.
  std::optional<std::string> read(const MessageInfo& message) const;
  // False when the message is gone.
  bool setFlags(std::uint32_t uid, const Flags& flags);
  bool remove(std::uint32_t uid);

 private:
  struct State;
  std::shared_ptr<State> state_;
};

}  // namespace postern::mail
