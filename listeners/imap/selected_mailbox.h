// SelectedMailbox: a mailbox as one client knows it: which message has which sequence number, and what it was told of
// each. The disk may be ahead of that; refresh() tells the client the difference, as far as it may be told now.
//
// Belongs to one session. What touches the disk blocks (on a worker only) and throws SystemError.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "listeners/imap/sequence_set.h"
#include "listeners/mail/mailbox.h"

namespace postern::imap {

class SelectedMailbox {
 public:
  SelectedMailbox(std::string name, std::filesystem::path folder, bool readOnly);

  const std::string& name() const { return name_; }
  bool readOnly() const { return readOnly_; }
  // Whether the mailbox is no longer the one that was selected (another UIDVALIDITY): the session must end.
  bool lost() const { return lost_; }
  // The messages by sequence number, the first at 0.
  const std::vector<mail::MessageInfo>& messages() const { return known_; }
  std::uint32_t uidValidity() const { return validity_; }

  // Blocking. The answers to SELECT and EXAMINE.
  void open(std::string& out);
  // Blocking. Looks at the disk and tells the news: EXPUNGE where it may be said now, EXISTS, RECENT, FETCH (FLAGS).
  void refresh(std::string& out, bool mayExpunge);

  // The places in messages() that a set means, in rising order. Nothing for a sequence number that no message has.
  std::optional<std::vector<std::size_t>> resolve(const SequenceSet& set, bool byUid) const;

  // Blocking; false or nothing when the message is gone.
  std::optional<std::string> read(std::size_t at) const;
  bool setFlags(std::size_t at, const mail::Flags& flags);  // the client is told by the caller
  // Blocking. Removes the messages with these UIDs; the client is told by the next refresh.
  void remove(const std::vector<std::uint32_t>& uids);
  // "* 3 FETCH (UID 7 FLAGS (\Seen))"
  void tellFlags(std::string& out, std::size_t at) const;

 private:
  void scan();
  void tellExpunged(std::string& out);

  std::string name_;
  mail::Mailbox mailbox_;
  bool readOnly_, lost_ = false;
  std::uint32_t validity_ = 0;
  std::vector<mail::MessageInfo> known_;  // by UID, as the client knows them
};

}  // namespace postern::imap
