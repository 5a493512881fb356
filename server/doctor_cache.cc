#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>

#include "acme/cache_file.h"
#include "acme/error.h"
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
  if ((disk.f_flag & ST_RDONLY) != 0) {
    const std::string point = mountPointOf(cache.string());
    findings.push_back({Weight::Error, "cache", cache.string(), "its file system is mounted read-only",
                        "`mount -o remount,rw " + point +
                            "` (`dmesg` tells whether the disk is broken), or name "
                            "another cache"});
  }
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

void lookAtOwners(const fs::path& cache, const Identity& user, const std::stop_token& stop, Findings& findings) {
  if (user.uid == 0) return;  // who may do everything
  std::string first;
  long foreign = 0, seen = 0;
  std::error_code error;
  fs::recursive_directory_iterator entry(cache, fs::directory_options::skip_permission_denied, error), end;
  for (; !error && entry != end && ++seen <= mostEntries; entry.increment(error)) {
    if (stop.stop_requested()) throw acme::Stopped();
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

}  // namespace

Findings examineCache(const Examination& of, const std::string& path, std::stop_token stop) {
  Findings findings;
  lookingAt(path);
  const fs::path cache = fs::absolute(path).lexically_normal();
  const Identity user = userOf(of.identity);
  struct stat found {};
  if (::stat(cache.c_str(), &found) != 0 && errno == EACCES) {
    const std::string self = userOf({}).user;
    findings.push_back({of.identity && self == user.user ? Weight::Error : Weight::Warning, "cache", cache.string(),
                        self + ", who looks, may not go there",
                        "run postern doctor as root; where the server runs as " + self + ", let " + self +
                            " through the folders above"});
    return findings;
  }
  // Without run-as, and from somebody who is not root, one cannot tell whom the server will run as.
  const bool sure = of.identity || ::geteuid() == 0;
  const auto error = [&](const std::string& problem, const std::string& remedy) {
    findings.push_back(
        {sure ? Weight::Error : Weight::Warning, "cache", cache.string(), problem,
         (sure ? "" : "run postern doctor as the user whom the server runs as; where that is " + user.user + ", ") +
             remedy});
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
    if ((found.st_mode & 077U) != 0) {
      findings.push_back({Weight::Warning, "cache", cache.string(),
                          "others may look into it (" + ownership(cache.string()) + "), and it holds private keys",
                          "chmod 0700 " + cache.string()});
    }
    lookAtOwners(cache, user, stop, findings);
    lookAtLock(of, cache, findings);
  }
  lookAtSpace(there, findings);
  return findings;
}

Findings examineAccount(const Examination&, const acme::Provider& provider, DirectoryFacts& facts) {
  Findings findings;
  lookingAt(provider.cache);
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

}  // namespace postern::server
