#include "acme/storage.h"

#include <fcntl.h>
#include <openssl/evp.h>
#include <pwd.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>

#include "acme/cache_file.h"
#include "base/atomic_file.h"
#include "base/encoding.h"
#include "base/fault_point.h"
#include "base/on_all_cores.h"
#include "base/text.h"

namespace postern::acme {
namespace {

namespace fs = std::filesystem;

std::string sha256(std::string_view bytes) {
  std::array<unsigned char, 32> digest{};
  if (EVP_Digest(bytes.data(), bytes.size(), digest.data(), nullptr, EVP_sha256(), nullptr) != 1) {
    tls::fail("cannot hash");
  }
  return std::string(digest.begin(), digest.end());
}

std::string userName(uid_t id) {
  std::array<char, 4096> buffer{};
  passwd entry{};
  passwd* found = nullptr;
  if (getpwuid_r(id, &entry, buffer.data(), buffer.size(), &found) != 0 || found == nullptr) return std::to_string(id);
  return found->pw_name;
}

// The nearest folder that exists, with its owner and mode, and what to do about it.
std::string rightsAndRemedy(fs::path path) {
  struct stat found {};
  while (stat(path.c_str(), &found) != 0 && path.has_relative_path()) path = path.parent_path();
  std::array<char, 8> mode{};
  std::snprintf(mode.data(), mode.size(), "%04o", static_cast<unsigned>(found.st_mode & 07777U));
  return path.string() + " belongs to " + userName(found.st_uid) + " with mode " + mode.data() + "; Postern runs as " +
         userName(geteuid()) + ", which must be able to write there: chown or chmod it, or name another cache";
}

// One component of a path: whatever stands in a name, it stays one folder.
std::string asFolderName(std::string name) {
  std::replace(name.begin(), name.end(), '/', '_');
  if (name.starts_with('.') || name.empty()) name.insert(0, "_");
  return name;
}

std::string hostOf(std::string_view url) {
  if (const auto scheme = url.find("://"); scheme != std::string_view::npos) url.remove_prefix(scheme + 3);
  url = url.substr(0, url.find_first_of("/?#"));
  if (const auto user = url.rfind('@'); user != std::string_view::npos) url.remove_prefix(user + 1);
  if (url.starts_with('[')) return lower(url.substr(1, url.find(']') - 1));
  return lower(url.substr(0, url.find(':')));
}

// Without those below folders of sets of names where they are asked for.
void removeLeftoversIn(const fs::path& top, std::vector<std::string>* sets) noexcept {
  try {
    std::error_code error, ignored;
    std::vector<fs::path> leftovers;
    fs::recursive_directory_iterator entry(top, fs::directory_options::skip_permission_denied, error), end;
    for (; !error && entry != end; entry.increment(error)) {
      const fs::path& path = entry->path();
      if (isLeftover(path.filename())) {
        leftovers.push_back(path);
        entry.disable_recursion_pending();
      } else if (sets != nullptr && entry.depth() == 2 && path.parent_path().filename() == "certificates") {
        sets->push_back(path.string());
        entry.disable_recursion_pending();
      } else if (path.parent_path().filename() == "generations") {
        entry.disable_recursion_pending();  // each is whole, or is called otherwise
      }
    }
    for (const auto& path : leftovers) fs::remove_all(path, ignored);
  } catch (const std::exception&) {
    // Memory: what is left over stays until the next start, and nobody reads it.
  }
}

}  // namespace

std::string directoryFolderName(const std::string& directoryUrl) {
  return asFolderName(hostOf(directoryUrl)) + "-" + hex(sha256(directoryUrl)).substr(0, 8);
}

std::string nameSetHash(std::vector<std::string> names) {
  std::sort(names.begin(), names.end());
  names.erase(std::unique(names.begin(), names.end()), names.end());
  return hex(sha256(joined(names, "\n"))).substr(0, 16);
}

Storage::Storage(fs::path cache, Log& log) : cache_(std::move(cache)), log_(log) {
  try {
    createDirectories(cache_, 0700);
  } catch (const SystemError& error) {
    throw StorageUnavailable("cache " + cache_.string() + ": " + error.what() + "; " + rightsAndRemedy(cache_));
  }
  if (access(cache_.c_str(), R_OK | W_OK | X_OK) != 0) {
    const int error = errno;
    throw StorageUnavailable("cache " + cache_.string() + ": " + errnoText(error) + "; " + rightsAndRemedy(cache_));
  }
  takeLock();
  removeLeftovers();
}

Storage::~Storage() {
  close(lock_);
}

void Storage::takeLock() {
  const fs::path file = cache_ / "lock";
  std::error_code ignored;
  if (const auto found = fs::symlink_status(file, ignored); fs::exists(found) && !fs::is_regular_file(found)) {
    setAside(file, "it is not a file", log_);
  }
  POSTERN_FAULT_POINT("create the lock");
  lock_ = open(file.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
  if (lock_ < 0) {
    const int error = errno;
    throw StorageUnavailable("cache " + cache_.string() + ": cannot open " + file.string() + ": " + errnoText(error) +
                             "; " + rightsAndRemedy(file));
  }
  if (flock(lock_, LOCK_EX | LOCK_NB) != 0) {
    const int error = errno;
    std::array<char, 32> text{};
    const ssize_t length = pread(lock_, text.data(), text.size() - 1, 0);
    close(lock_);
    if (error != EWOULDBLOCK) {
      throw StorageUnavailable("cache " + cache_.string() + ": cannot lock " + file.string() + ": " + errnoText(error));
    }
    const std::string holder(
        trimmed(std::string_view(text.data(), static_cast<std::size_t>(std::max<ssize_t>(length, 0)))));
    throw StorageUnavailable("cache " + cache_.string() + " is in use by another process" +
                             (holder.empty() ? "" : " (pid " + holder + ")") + ", which holds the lock of " +
                             file.string() + "; end it, or name another cache");
  }
  // For people only: what counts is the kernel's lock, which a dead process cannot hold. So a full disk is no error.
  const std::string pid = std::to_string(getpid()) + "\n";
  POSTERN_FAULT_POINT("write the process id into the lock");
  const bool noted =
      fchmod(lock_, 0600) == 0 && ftruncate(lock_, 0) == 0 && pwrite(lock_, pid.data(), pid.size(), 0) > 0;
  if (!noted) log_.debug("acme.cache.lock", {{"path", file.string()}, {"error", errnoText(errno)}});
}

// What is below the folder of each set of names is looked through on all cores: there may be thousands.
void Storage::removeLeftovers() const {
  std::vector<std::string> sets;
  removeLeftoversIn(cache_, &sets);
  constexpr std::size_t worthAThread = 256;
  onAllCores(sets.size(), worthAThread, [&](std::size_t i) { removeLeftoversIn(sets[i], nullptr); });
}

void Storage::probeWritable() const {
  const fs::path probe = cache_ / (std::string(temporaryPrefix) + "probe." + std::to_string(getpid()));
  // As long as a key with its chain, so that the last free block does not count as space.
  writeCacheFile(probe, std::string(16 << 10, '\n'));
  removeCacheFile(probe);
}

fs::path Storage::directoryFolder(const std::string& directoryUrl) const {
  return cache_ / directoryFolderName(directoryUrl);
}

Json Storage::directoryMeta(const std::string& directoryUrl) const {
  std::lock_guard lock(mutex_);
  return readJsonOrSetAside(directoryFolder(directoryUrl) / "directory.json", log_)["meta"];
}

void Storage::saveDirectoryMeta(const std::string& directoryUrl, const Json& meta) {
  std::lock_guard lock(mutex_);
  Json json;
  json["url"] = directoryUrl;
  json["meta"] = meta;
  writeCacheFile(directoryFolder(directoryUrl) / "directory.json", json.pretty());
}

std::shared_ptr<LedgerFile> Storage::ledger(const std::string& directoryUrl) {
  std::lock_guard lock(mutex_);
  auto& known = ledgers_[directoryUrl];
  auto ledger = known.lock();
  if (!ledger) known = ledger = std::make_shared<LedgerFile>(directoryFolder(directoryUrl), directoryUrl, log_);
  return ledger;
}

std::shared_ptr<CertificateFolder> Storage::certificate(const std::string& directoryUrl,
                                                        const std::vector<std::string>& names,
                                                        const std::string& keyType) {
  const fs::path set = directoryFolder(directoryUrl) / "certificates" / nameSetHash(names);
  // The primary name is that of the first order: whatever comes first in the set today, its folder stays.
  fs::path primary = set / asFolderName(names.front());
  const auto existing = foldersIn(set);
  if (!existing.empty() && std::find(existing.begin(), existing.end(), primary) == existing.end()) {
    primary = existing.front();
  }
  const fs::path path = primary / asFolderName(keyType);
  std::lock_guard lock(mutex_);
  auto& known = folders_[path.string()];
  auto folder = known.lock();
  if (!folder) known = folder = std::make_shared<CertificateFolder>(path, log_);
  return folder;
}

std::vector<std::pair<std::string, tls::CertifiedKeyRef>> Storage::everythingByDirectory() const {
  std::vector<std::pair<std::string, tls::CertifiedKeyRef>> all;
  for (const auto& directory : foldersIn(cache_)) {
    for (const auto& set : foldersIn(directory / "certificates")) {
      for (const auto& primary : foldersIn(set)) {
        for (const auto& keyType : foldersIn(primary)) {
          for (auto& each : CertificateFolder(keyType, log_).loadAll()) {
            all.emplace_back(directory.filename().string(), std::move(each));
          }
        }
      }
    }
  }
  return all;
}

std::vector<tls::CertifiedKeyRef> Storage::everything() const {
  std::vector<tls::CertifiedKeyRef> all;
  for (auto& each : everythingByDirectory()) all.push_back(std::move(each.second));
  return all;
}

}  // namespace postern::acme
