// What a CA's limits let out still, as the ledgers on disk tell.
#include <cerrno>
#include <cstdlib>
#include <filesystem>
#include <optional>
#include <string>

#include "acme/cache_file.h"
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

}  // namespace

Findings examineLedger(const Examination& of, const acme::Provider& provider, Log& log) {
  lookingAt(provider.cache);
  std::optional<std::string> bytes;
  try {
    bytes = readFile(directoryFolder(provider) / "ledger.jsonl", 256 << 20);
  } catch (const SystemError& error) {
    if (error.error() == ENOTDIR || error.error() == EACCES) return {};  // what examineCache() finds fault with
    throw;
  }
  if (!bytes) return {};
  // A copy is read: LedgerFile mends what it finds damaged.
  std::string name = (fs::temp_directory_path() / "postern-doctor-XXXXXX").string();
  lookingAt(name);
  if (::mkdtemp(name.data()) == nullptr) throw SystemError("cannot make " + name, errno);
  const fs::path copy = name;
  Findings findings;
  try {
    writeFileAtomically(copy / "ledger.jsonl", *bytes);
    for (const auto& limit : acme::LedgerFile(copy, provider.directory, log).left(of.now)) {
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
    fs::remove_all(copy);
    throw;
  }
  fs::remove_all(copy);
  return findings;
}

}  // namespace postern::server
