// What a CA's limits let out still, as the ledgers on disk tell.
#include <cerrno>
#include <cstdlib>
#include <filesystem>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "acme/cache_file.h"
#include "acme/ledger_limits.h"
#include "acme/storage.h"
#include "base/atomic_file.h"
#include "base/error.h"
#include "server/doctor.h"

namespace postern::server {
namespace {

namespace fs = std::filesystem;

fs::path directoryFolder(const acme::Provider& provider) {
  return fs::path(provider.cache) / acme::directoryFolderName(provider.directory);
}

// The ledgers of all caches that order where `provider` does, its own first (empty where there is none yet); none where
// there is nothing to read. One that cannot be read is its own provider's finding.
std::vector<std::string> ledgersBeside(const Examination& of, const acme::Provider& provider) {
  const auto read = [](const acme::Provider& from) {
    lookingAt(from.cache);
    return readFile(directoryFolder(from) / "ledger.jsonl", 256 << 20);
  };
  std::vector<std::string> ledgers{read(provider).value_or("")};
  std::set<fs::path> seen{directoryFolder(provider)};
  for (const auto& other : of.providers) {
    if (acme::limitsNameOf(other.directory) != acme::limitsNameOf(provider.directory)) continue;
    if (!seen.insert(directoryFolder(other)).second) continue;
    try {
      if (auto bytes = read(other)) ledgers.push_back(std::move(*bytes));
    } catch (const SystemError&) {
    }
  }
  if (ledgers.size() == 1 && ledgers.front().empty()) ledgers.clear();
  return ledgers;
}

}  // namespace

Findings examineLedger(const Examination& of, const acme::Provider& provider, Log& log) {
  std::vector<std::string> ledgers;
  try {
    ledgers = ledgersBeside(of, provider);
  } catch (const SystemError& error) {
    if (error.error() == ENOTDIR || error.error() == EACCES) return {};  // what examineCache() finds fault with
    throw;
  }
  if (ledgers.empty()) return {};
  // Copies are read: LedgerFile mends what it finds damaged.
  std::string name = (fs::temp_directory_path() / "postern-doctor-XXXXXX").string();
  lookingAt(name);
  if (::mkdtemp(name.data()) == nullptr) throw SystemError("cannot make " + name, errno);
  const fs::path copies = name;
  Findings findings;
  try {
    std::vector<std::shared_ptr<acme::LedgerFile>> all;
    for (const auto& bytes : ledgers) {
      const fs::path copy = copies / std::to_string(all.size());
      fs::create_directory(copy);
      writeFileAtomically(copy / "ledger.jsonl", bytes);
      all.push_back(std::make_shared<acme::LedgerFile>(copy, provider.directory, log));
    }
    acme::LedgerFile::acquaint(all, of.now);
    for (const auto& limit : all.front()->left(of.now)) {
      const std::string again = limit.refillAt ? rfc3339(*limit.refillAt) : "";
      if (limit.left > 0) {
        findings.push_back({Weight::Note, "ledger", provider.name,
                            std::to_string(limit.left) + " left of the limit: " + limit.limit +
                                (again.empty() ? "" : "; one more at " + again),
                            "nothing is to be done: an order that would pass it waits, and goes out by itself"});
        continue;
      }
      findings.push_back(
          {Weight::Warning, "ledger", provider.name,
           "nothing is left of the limit: " + limit.limit +
               (again.empty() ? "" : "; the next order it lets out is at " + again),
           "wait; orders go out by themselves then. Put several names into one certificate, or ask the CA for more"});
    }
  } catch (...) {
    fs::remove_all(copies);
    throw;
  }
  fs::remove_all(copies);
  return findings;
}

}  // namespace postern::server
