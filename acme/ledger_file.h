// LedgerFile: the ledger of one directory on disk, `ledger.jsonl` in the directory's folder of the cache.
//
// Any thread may call anything here; writers wait for one another and for the disk. What happens is appended, one JSON
// object a line, synced; the file is written anew, condensed to what the limits still remember, when it has grown to
// several times that. A torn last line is passed over; a damaged file is set aside with a warning and what was readable
// in it kept. The constructor and the questions never throw for the disk: what cannot be read is tried again.
//
// What is entered elsewhere, into the ledger of another cache of the same CA, is noted here and goes to disk with what
// happens here next: so the file that was written last knows the most, and the disk of one cache holds no other one up.
#pragma once

#include <cstddef>
#include <filesystem>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "acme/ledger.h"
#include "base/log.h"

namespace postern::acme {

class LedgerFile {
 public:
  // `directoryFolder`: Storage's folder of this directory; created with the first record. `log` outlives this.
  LedgerFile(const std::filesystem::path& directoryFolder, std::string directoryUrl, Log& log);
  LedgerFile(const LedgerFile&) = delete;
  LedgerFile& operator=(const LedgerFile&) = delete;

  // On disk before they return. Throw Error postern:storage; what happened counts all the same while we run.
  void record(const LedgerEntry& entry, Time now);
  void told(Time until, std::vector<std::string> names, Time now);
  // The two halves of record(): it counts, and it is on disk. The first waits for no disk.
  void note(const LedgerEntry& entry, Time now);
  void flush();

  // From now on all of them, which are of one CA, know the same of the limits that are everybody's, and are to be told
  // of each other's entries. Nobody may enter anything meanwhile. True when what they knew adds up to more: then
  // flush() is due at each, so that it adds up but once.
  static bool acquaint(const std::vector<std::shared_ptr<LedgerFile>>& all, Time now);

  // As Ledger's.
  Time earliest(const std::vector<std::string>& names, OrderKind kind, Time now) const;
  Time earliestAccount(Time now) const;
  std::vector<LimitState> left(Time now) const;
  bool concernsEverybody(LedgerEntry::Kind kind) const;
  Ledger about(const std::vector<std::string>& names, Time now) const;
  bool issuedBefore(const std::vector<std::string>& names, Time now) const;
  // Renewal where exactly these names were issued before, else First. Ari is for the caller to know.
  OrderKind kindOf(const std::vector<std::string>& names, Time now) const;

  const std::filesystem::path& path() const { return path_; }

 private:
  const Ledger& ready(Time now) const;  // the ledger, read; with the lock held
  void load(Time now) const;
  void keep(const std::string& line);  // with the lock held
  void append(const std::string& lines);
  void writeAnew(const std::string& text) const;

  const std::filesystem::path path_;
  const std::string directory_;
  Log& log_;
  std::mutex writing_;        // one at a time; taken before mutex_
  mutable std::mutex mutex_;  // of the ledger in memory
  mutable Ledger ledger_;
  mutable bool loaded_ = false;
  bool noted_ = false;                  // anything; before the file is read nothing is
  std::string unwritten_;               // lines that the file lacks
  mutable bool behind_ = false;         // it lacks more than those
  mutable bool mustWriteAnew_ = false;  // the file is torn or damaged
  mutable std::size_t size_ = 0;        // of the file
  mutable std::size_t condensed_ = 0;   // of the file when it was last written anew
};

}  // namespace postern::acme
