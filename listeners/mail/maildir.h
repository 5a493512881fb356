// Maildir: the mail of one account on disk, as Maildir++ folders (INBOX is the root, "Sent" is ".Sent"), with the UIDs
// and UIDVALIDITY of IMAP kept beside the messages so that they survive restarts.
//
// Every call blocks on the disk: on a worker only. Several connections, and other programs, may use one Maildir at a
// time: delivery is by rename, the UID list is changed under a lock file held with flock. Failures throw SystemError.
#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace postern::mail {

// Flags as IMAP has them; Maildir's letters D F R S T, and \Recent for what was new when this mailbox looked.
struct Flags {
  bool seen = false, answered = false, flagged = false, deleted = false, draft = false;
  bool operator==(const Flags&) const = default;
};

struct MessageInfo {
  std::uint32_t uid = 0;
  Flags flags;
  bool recent = false;
  std::uint64_t size = 0;                                 // bytes as IMAP counts them: lines end with CRLF
  std::chrono::sys_seconds internalDate;                  // when it was delivered or as APPEND said
  std::string file;                                       // name below the folder, as it was at the last scan
};

// A message on its way in: written to tmp/ piece by piece, there for good after commit(), gone without it.
class Incoming {
 public:
  explicit Incoming(std::filesystem::path folder);        // of the mailbox; made where missing
  ~Incoming();
  Incoming(Incoming&&) noexcept;
  void append(std::string_view bytes);
  // fsync, rename into new/ (or cur/ where flags are given), fsync of the folder.
  void commit(std::optional<Flags> flags = {}, std::optional<std::chrono::sys_seconds> internalDate = {});

 private:
  std::filesystem::path folder_, temporary_;
  int descriptor_ = -1;
};

// One mailbox (folder), as one session sees it.
class Mailbox {
 public:
  explicit Mailbox(std::filesystem::path folder);

  // Looks at the disk: numbers what is new, drops what is gone, renews flags. `claimRecent` moves new/ to cur/ and marks
  // those as recent for this session (SELECT; not EXAMINE or STATUS).
  void scan(bool claimRecent);
  std::uint32_t uidValidity() const;
  std::uint32_t uidNext() const;
  const std::vector<MessageInfo>& messages() const;       // by UID, ascending, as of the last scan
  // The message's bytes with CRLF line ends. Nothing when it is gone.
  std::optional<std::string> read(const MessageInfo& message) const;
  // False when the message is gone.
  bool setFlags(std::uint32_t uid, const Flags& flags);
  bool remove(std::uint32_t uid);
  // The UID that an appended message got (APPENDUID); call after Incoming::commit with a scan.

 private:
  struct State;
  std::shared_ptr<State> state_;
};

// All folders of one account below `storage.maildir`/<account name>.
class Maildir {
 public:
  explicit Maildir(std::filesystem::path root);
  // IMAP names, "INBOX" first; hierarchy separator "." ; in modified UTF-7 as on disk.
  std::vector<std::string> folders() const;
  bool exists(std::string_view name) const;
  bool create(std::string_view name);                     // false when it exists or the name is impossible
  bool remove(std::string_view name);
  bool rename(std::string_view from, std::string_view to);
  std::optional<std::filesystem::path> path(std::string_view name) const;  // nothing for an impossible name ("..", "/")
  bool subscribed(std::string_view name) const;
  void subscribe(std::string_view name, bool yes);
  const std::filesystem::path& root() const { return root_; }

 private:
  std::filesystem::path root_;
};

}  // namespace postern::mail
