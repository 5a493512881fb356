// A message as a Maildir knows it: its flags, its facts, and the spelling of both in file names. Values and pure
// functions. A message's base name, what stands before ":2,", is its identity; flags and folder of the file may change.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

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
  std::uint64_t size = 0;                 // bytes as IMAP counts them: lines end with CRLF
  std::chrono::sys_seconds internalDate;  // when it was delivered or as APPEND said
  std::string file;                       // name below the folder, as it was at the last scan
};

// "cur/1700000000.M1P2.host,S=10,W=11:2,S" → "1700000000.M1P2.host,S=10,W=11"
std::string_view baseName(std::string_view file);
Flags flagsOf(std::string_view file);
// "cur/<base>:2,<letters>"; letters of `file` that are no IMAP flag of ours (P, keywords) are kept.
std::string fileWithFlags(std::string_view file, const Flags& flags);
// The size with CRLF line ends as the name tells it (W=), if it does.
std::optional<std::uint64_t> sizeInName(std::string_view base);

// Counts bytes on disk as they will be read: a line feed without a CR before it counts two.
class CrlfCounter {
 public:
  void count(std::string_view bytes);
  std::uint64_t size() const { return size_; }

 private:
  std::uint64_t size_ = 0;
  bool afterCr_ = false;
};
// The same bytes with those CRs put in.
std::string withCrlf(std::string_view bytes);

}  // namespace postern::mail
