// UidList: which UID a message of a folder has, and the folder's UIDVALIDITY, as the file `postern-uidlist` keeps them.
//
// Keyed by base name, so flags may change under it. The file is replaced whole; whoever reads it to change it holds the
// folder's FolderLock. A damaged file is set aside as `postern-uidlist.damaged` and numbering begins anew under another
// UIDVALIDITY, as IMAP requires. Blocking; failures throw SystemError.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace postern::mail {

struct UidEntry {
  std::uint32_t uid = 0;
  std::uint64_t size = 0;  // with CRLF line ends
  std::string base;
};

struct UidList {
  std::uint32_t validity = 0, next = 1;
  std::vector<UidEntry> entries;  // by UID, ascending
};

// The kernel's lock on a folder (flock): a dead process cannot hold it. Also keeps two threads apart.
class FolderLock {
 public:
  explicit FolderLock(const std::filesystem::path& folder);  // waits
  ~FolderLock();
  FolderLock(const FolderLock&) = delete;
  FolderLock& operator=(const FolderLock&) = delete;

 private:
  int descriptor_;
};

// Under the lock. A folder without a list gets an empty one with a UIDVALIDITY that no folder of the account had
// before.
UidList loadUidList(const std::filesystem::path& folder);
void saveUidList(const std::filesystem::path& folder, const UidList& list);
std::filesystem::path uidListPath(const std::filesystem::path& folder);

std::optional<UidList> parseUidList(std::string_view text);
std::string formatUidList(const UidList& list);

}  // namespace postern::mail
