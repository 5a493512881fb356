#include "acme/export.h"

#include <grp.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <optional>
#include <utility>

#include "base/atomic_file.h"
#include "base/error.h"
#include "base/text.h"

namespace postern::acme {
namespace {

namespace fs = std::filesystem;

constexpr mode_t fileMode = 0640, folderMode = 0750;

std::optional<gid_t> groupOf(const std::string& name) {
  if (name.empty()) return {};
  std::array<char, 16384> buffer{};
  group entry{};
  group* found = nullptr;
  const int error = getgrnam_r(name.c_str(), &entry, buffer.data(), buffer.size(), &found);
  if (found == nullptr) throw SystemError("cannot find the group " + name, error != 0 ? error : ENOENT);
  return found->gr_gid;
}

void own(const fs::path& folder, std::optional<gid_t> group) {
  struct stat found {};
  if (stat(folder.c_str(), &found) != 0) throw SystemError("cannot look at " + folder.string(), errno);
  if (group && found.st_gid != *group && chown(folder.c_str(), static_cast<uid_t>(-1), *group) != 0) {
    throw SystemError("cannot set the group of " + folder.string(), errno);
  }
  if ((found.st_mode & 07777U) != folderMode && chmod(folder.c_str(), folderMode) != 0) {
    throw SystemError("cannot set the mode of " + folder.string(), errno);
  }
}

// The export folder is the administrator's where it was there before us; what is below it is ours.
void makeFolders(const fs::path& top, const fs::path& folder, std::optional<gid_t> group) {
  if (!fs::exists(top)) {
    createDirectories(top.parent_path(), 0755);
    createDirectories(top, 0700);  // nobody looks in before the group is right
    own(top, group);
  }
  fs::path at = top;
  for (const auto& part : folder.lexically_relative(top)) {
    at /= part;
    createDirectories(at, 0700);
    own(at, group);
  }
}

bool isSo(const fs::path& file, std::string_view bytes, std::optional<gid_t> group) {
  struct stat found {};
  if (lstat(file.c_str(), &found) != 0 || !S_ISREG(found.st_mode)) return false;
  if ((found.st_mode & 07777U) != fileMode || (group && found.st_gid != *group)) return false;
  const auto there = readFile(file);
  return there && *there == bytes;
}

// A path without a slash at its end, so that its parent is what stands above it.
fs::path topOf(const Provider& provider) {
  const fs::path top = fs::absolute(provider.exportTo).lexically_normal();
  return top.filename().empty() ? top.parent_path() : top;
}

}  // namespace

fs::path Exporter::folderOf(const Provider& provider, const std::vector<std::string>& names,
                            const std::string& keyType) {
  std::string primary = names.front();
  std::replace(primary.begin(), primary.end(), '*', '_');
  std::replace(primary.begin(), primary.end(), '/', '_');
  fs::path folder = topOf(provider) / primary;
  if (!provider.keyTypes.empty() && provider.keyTypes.front() != keyType) folder /= keyType;
  return folder;
}

void Exporter::write(const Provider& provider, const std::vector<std::string>& names, const std::string& keyType,
                     const tls::CertifiedKey& certificate) noexcept {
  if (provider.exportTo.empty() || names.empty()) return;
  std::lock_guard lock(mutex_);
  try {
    copy(provider, names, keyType, certificate);
  } catch (const std::exception& error) {
    log_.error("acme.export.failed",
               {{"names", joined(names)},
                {"provider", provider.name},
                {"error", error.what()},
                {"next", "with the next certificate, the next reload and the next start"},
                {"remedy", "make " + provider.exportTo + " writable for the server's user" +
                               (provider.exportGroup.empty()
                                    ? std::string()
                                    : ", and that user a member of the group " + provider.exportGroup)}});
  }
}

// Under mutex_.
void Exporter::copy(const Provider& provider, const std::vector<std::string>& names, const std::string& keyType,
                    const tls::CertifiedKey& certificate) {
  const auto group = groupOf(provider.exportGroup);
  const fs::path folder = folderOf(provider, names, keyType);
  noteSharing(folder, names);
  makeFolders(topOf(provider), folder, group);

  const std::string chain = certificate.chainPem();
  static constexpr std::string_view end = "-----END CERTIFICATE-----\n";
  const auto cut = chain.find(end) + end.size();
  const Secret key = tls::keyToPem(certificate.key());
  std::string keyAndChain;
  keyAndChain.reserve(key.reveal().size() + chain.size());  // the key's bytes are nowhere but in the end
  const Secret both(std::move(keyAndChain.append(key.reveal()).append(chain)));
  const std::pair<const char*, std::string_view> files[] = {{"chain.pem", std::string_view(chain).substr(cut)},
                                                            {"cert.pem", std::string_view(chain).substr(0, cut)},
                                                            {"fullchain.pem", chain},
                                                            {"privkey.pem", key.reveal()},
                                                            {"tls.pem", both.reveal()}};
  int written = 0;
  for (const auto& [name, bytes] : files) {
    if (isSo(folder / name, bytes, group)) continue;
    writeFileAtomically(folder / name, bytes, fileMode, group);
    ++written;
  }
  if (written == 0) return;
  log_.info("acme.export.written", {{"names", joined(names)},
                                    {"provider", provider.name},
                                    {"folder", folder.string()},
                                    {"serial", certificate.serial()},
                                    {"not_after", rfc3339(certificate.notAfter())}});
}

// Under mutex_.
void Exporter::noteSharing(const fs::path& folder, std::vector<std::string> names) {
  std::sort(names.begin(), names.end());
  auto& before = names_[folder];
  if (!before.empty() && before != names) {
    log_.warn("acme.export.shared", {{"folder", folder.string()},
                                     {"names", joined(names)},
                                     {"before", joined(before)},
                                     {"remedy", "if both are still wanted, give each a first name of its own"}});
  }
  before = std::move(names);
}

}  // namespace postern::acme
