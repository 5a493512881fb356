#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>

#include "acme/cache_file.h"
#include "acme/storage.h"
#include "base/atomic_file.h"
#include "base/text.h"
#include "server/doctor.h"
#include "server/doctor_rights.h"

namespace postern::server {
namespace {

namespace fs = std::filesystem;

constexpr long mostEntries = 20000;  // looked at; a cache of thousands of names has them
constexpr unsigned long long mebi = 1ULL << 20U;

void lookAtSpace(const fs::path& cache, Findings& findings) {
  struct statvfs disk {};
  if (::statvfs(cache.c_str(), &disk) != 0) return;
  const unsigned long long left = static_cast<unsigned long long>(disk.f_bavail) * disk.f_frsize;
  if (left < 100 * mebi) {
    findings.push_back({left < 10 * mebi ? Weight::Error : Weight::Warning, "cache", cache.string(),
                        std::to_string(left / mebi) + " MiB are left on its file system",
                        "make room: nothing is ordered that could not be kept"});
  }
  if (disk.f_files > 0 && disk.f_favail < 1000) {
    findings.push_back({disk.f_favail < 100 ? Weight::Error : Weight::Warning, "cache", cache.string(),
                        std::to_string(disk.f_favail) + " inodes are left on its file system",
                        "remove files there, or make a file system with more inodes"});
  }
}

void lookAtOwners(const fs::path& cache, const Identity& user, Findings& findings) {
  if (user.uid == 0) return;  // who may do everything
  std::string first;
  long foreign = 0, seen = 0;
  std::error_code error;
  fs::recursive_directory_iterator entry(cache, fs::directory_options::skip_permission_denied, error), end;
  for (; !error && entry != end && ++seen <= mostEntries; entry.increment(error)) {
    struct stat found {};
    if (::lstat(entry->path().c_str(), &found) != 0 || found.st_uid == user.uid) continue;
    if (foreign++ == 0) first = entry->path().string();
  }
  if (foreign == 0) return;
  findings.push_back({Weight::Error, "cache", cache.string(),
                      std::to_string(foreign) + " of its files do not belong to " + user.user + ", " + first +
                          " first (" + ownership(first) + ")",
                      "chown -R " + user.user + " " + cache.string()});
}

void lookAtLock(const Examination& of, const fs::path& cache, Findings& findings) {
  const fs::path lock = cache / "lock";
  const int descriptor = ::open(lock.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
  if (descriptor < 0) return;  // there is none, or it is no business of this user's
  const bool held = ::flock(descriptor, LOCK_SH | LOCK_NB) != 0;
  ::close(descriptor);
  if (!held || !of.running.isNull()) return;
  std::string pid;
  try {
    pid = std::string(trimmed(readFile(lock, 64).value_or("")));
  } catch (const SystemError&) {
  }
  findings.push_back({Weight::Error, "cache", cache.string(),
                      "another process" + (pid.empty() ? "" : " (pid " + pid + ")") +
                          " holds its lock, and no server answers at " + of.settings.controlSocket,
                      "end that process, or give one of the two another cache"});
}

fs::path directoryFolder(const acme::Provider& provider) {
  return fs::path(provider.cache) / acme::directoryFolderName(provider.directory);
}

Json readJson(const fs::path& path) {
  const auto text = readFile(path);
  const auto json = text ? Json::parse(*text) : std::nullopt;
  return json ? *json : Json();
}

// The newest certificate of a set and key type in a provider's cache.
tls::CertifiedKeyRef newest(const acme::Provider& provider, const std::vector<std::string>& names,
                            const std::string& keyType, Log& log) {
  tls::CertifiedKeyRef best;
  for (const auto& primary : acme::foldersIn(directoryFolder(provider) / "certificates" / acme::nameSetHash(names))) {
    if (!fs::exists(primary / keyType)) continue;
    for (const auto& each : acme::CertificateFolder(primary / keyType, log).loadAll()) {
      if (!best || each->notAfter() > best->notAfter()) best = each;
    }
  }
  return best;
}

// What the running server says of it, "" when nothing; with what it could not do last.
std::string lastErrorOf(const Examination& of, const std::vector<std::string>& names, const std::string& provider) {
  auto sorted = names;
  std::sort(sorted.begin(), sorted.end());
  for (const auto& one : of.running["certificates"].array()) {
    auto theirs = one["names"].stringList();
    std::sort(theirs.begin(), theirs.end());
    const Json& error = one["last_error"];
    if (theirs != sorted || one["provider"].string() != provider || error.isNull()) continue;
    return error["type"].string() + ": " + error["detail"].string() + ", at " + error["at"].string() +
           "; next attempt " + one["next_attempt"].string("now");
  }
  return "";
}

}  // namespace

Findings examineCache(const Examination& of, const std::string& path) {
  Findings findings;
  const fs::path cache = fs::absolute(path).lexically_normal();
  const Identity user = userOf(of.identity);
  const auto error = [&](const std::string& problem, const std::string& remedy) {
    findings.push_back({Weight::Error, "cache", cache.string(), problem, remedy});
  };
  const fs::path there = nearestExisting(cache);
  const bool made = there == cache;
  // What is missing is made at the start, by root where the server becomes another user.
  if (!made && ::geteuid() != 0 && !may(user, there, W_OK | X_OK)) {
    error("it does not exist, and " + user.user + " cannot make it in " + there.string() + " (" +
              ownership(there.string()) + ")",
          "make it, owned by " + user.user + " with mode 0700, or name another cache");
  }
  if (made && !fs::is_directory(cache)) error("it is no folder", "remove what is there, or name another cache");
  if (made && fs::is_directory(cache)) {
    if (!may(user, cache, R_OK | W_OK | X_OK)) {
      error(user.user + " cannot write there (" + ownership(cache.string()) + ")",
            "chown it to " + user.user + " and chmod it 0700, and let " + user.user + " through the folders above");
    }
    struct stat found {};
    if (::stat(cache.c_str(), &found) == 0 && (found.st_mode & 077U) != 0) {
      findings.push_back({Weight::Warning, "cache", cache.string(),
                          "others may look into it (" + ownership(cache.string()) + "), and it holds private keys",
                          "chmod 0700 " + cache.string()});
    }
    lookAtOwners(cache, user, findings);
    lookAtLock(of, cache, findings);
  }
  lookAtSpace(there, findings);
  return findings;
}

Findings examineAccount(const Examination&, const acme::Provider& provider, DirectoryFacts& facts) {
  Findings findings;
  fs::file_time_type newestTime{};
  std::string deactivated, folder;
  for (const auto& each : acme::foldersIn(directoryFolder(provider) / "accounts")) {
    std::error_code ignored;
    const auto time = fs::last_write_time(each / "privkey.pem", ignored);
    const Json account = readJson(each / "account.json");
    if (!account["rollover_of"].string().empty() || (!folder.empty() && time <= newestTime)) continue;
    newestTime = time;
    folder = each.string();
    facts.accountUrl = account["url"].string();
    deactivated = account["deactivated"].string();
  }
  if (!deactivated.empty()) {
    findings.push_back(
        {Weight::Error, "account", provider.name,
         "the account " + facts.accountUrl + " was deactivated at " + deactivated + ", and nothing is ordered with it",
         "remove " + folder + " to have a new account made, or take the provider out"});
  }
  return findings;
}

Findings examineLedger(const Examination& of, const acme::Provider& provider, Log& log) {
  const auto bytes = readFile(directoryFolder(provider) / "ledger.jsonl", 256 << 20);
  if (!bytes) return {};
  // A copy is read: LedgerFile mends what it finds damaged.
  std::string name = (fs::temp_directory_path() / "postern-doctor-XXXXXX").string();
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

Findings examineCertificates(const Examination& of, Log& log) {
  Findings findings;
  const auto named = [&](const std::string& name) {
    return std::find_if(of.providers.begin(), of.providers.end(), [&](const auto& each) { return each.name == name; });
  };
  for (const auto& wanted : of.plan.certificates) {
    const auto first = named(wanted.provider);
    if (first == of.providers.end()) continue;
    const std::string subject = joined(wanted.names, ", "), error = lastErrorOf(of, wanted.names, wanted.provider);
    if (!error.empty()) {
      findings.push_back({Weight::Error, "certificate", subject, "the last attempt failed: " + error,
                          "mend what it names, then `postern renew " + wanted.names.front() + "`"});
    }
    for (const auto& keyType : first->keyTypes) {
      auto best = newest(*first, wanted.names, keyType, log);
      for (const auto& fallback : first->fallback) {
        const auto other = named(fallback);
        const auto found = other == of.providers.end() ? nullptr : newest(*other, wanted.names, keyType, log);
        if (found && (!best || found->notAfter() > best->notAfter())) best = found;
      }
      if (!best) continue;
      const Duration lifetime = best->notAfter() - best->notBefore(), left = best->notAfter() - of.now;
      // Half of the time is gone in which it was to be renewed (contract, "Renewal time").
      const Duration margin = lifetime < std::chrono::hours(240) ? lifetime / 2 : lifetime / 3;
      if (left >= margin / 2) continue;
      findings.push_back(
          {Weight::Error, "certificate", subject,
           "the " + keyType + " certificate in the cache " +
               (left <= Duration(0) ? "expired at " : "was to be renewed and expires at ") + rfc3339(best->notAfter()),
           of.running.isNull() ? "start the server, and see `postern status`" : "see `postern status` for the reason"});
    }
  }
  return findings;
}

}  // namespace postern::server
