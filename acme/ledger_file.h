// LedgerFile: the ledger of one directory on disk, `ledger.jsonl` in the directory's folder of the cache.
//
// Any thread may call anything here; writers wait for one another and for the disk. What happens is appended, one JSON
// object a line, synced; the file is written anew, condensed to what the limits still remember, when it has grown to
// several times that. A torn last line is passed over; a damaged file is set aside with a warning and what was readable
// in it kept. The constructor and the questions never throw for the disk: what cannot be read is tried again.
#pragma once

#include <cstddef>
#include <filesystem>
#include <mutex>
#include <string>
#include <vector>

#include "acme/ledger.h"
#include "base/log.h"

namespace postern::acme {

class LedgerFile {
 public:
  // `directoryFolder`: Storage's folder of this directory; created with the first record. `log` outlives this.
  LedgerFile(std::filesystem::path directoryFolder, std::string directoryUrl, Log& log);
  LedgerFile(const LedgerFile&) = delete;
  LedgerFile& operator=(const LedgerFile&) = delete;

  // On disk before they return. Throw Error postern:storage; what happened counts all the same while we run.
  void record(LedgerEntry entry, Time now);
  void told(Time until, std::vector<std::string> names, Time now);

  // The ledger as it is now, and a number that changes with it.
  Ledger copy() const;
  unsigned long version() const;
  // As Ledger's.
  Time earliest(const std::vector<std::string>& names, OrderKind kind, Time now) const;
  Time earliestAccount(Time now) const;
  std::vector<LimitState> left(Time now) const;
  bool issuedBefore(const std::vector<std::string>& names, Time now) const;
  // Renewal where exactly these names were issued before, else First. Ari is for the caller to know.
  OrderKind kindOf(const std::vector<std::string>& names, Time now) const;

  const std::filesystem::path& path() const { return path_; }

 private:
  const Ledger& ready() const;  // the ledger, read; with the lock held
  void load() const;
  template <class Change>
  void change(Change change);  // of the ledger in memory, then of the file by the line it returns
  void append(const std::string& line);
  void writeAnew(const std::string& text) const;

  const std::filesystem::path path_;
  Log& log_;
  std::mutex writing_;        // one at a time; taken before mutex_
  mutable std::mutex mutex_;  // of the ledger in memory
  unsigned long version_ = 0;
  mutable Ledger ledger_;
  mutable bool loaded_ = false;
  mutable bool mustWriteAnew_ = false;  // the file is torn or damaged
  mutable std::size_t size_ = 0;        // of the file
  mutable std::size_t condensed_ = 0;   // of the file when it was last written anew
};

}  // namespace postern::acme
