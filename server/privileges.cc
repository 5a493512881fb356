#include "server/privileges.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <grp.h>
#include <pwd.h>
#include <sys/capability.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <deque>
#include <filesystem>
#include <memory>

#include "base/atomic_file.h"
#include "base/error.h"

namespace postern::server {

namespace fs = std::filesystem;

namespace {

struct CapabilitiesFree {
  void operator()(cap_t capabilities) const { cap_free(capabilities); }
};
using Capabilities = std::unique_ptr<std::remove_pointer_t<cap_t>, CapabilitiesFree>;

void keepOnlyBinding() {
  Capabilities capabilities(cap_init());  // empty
  cap_value_t keep[] = {CAP_NET_BIND_SERVICE};
  if (!capabilities || cap_set_flag(capabilities.get(), CAP_PERMITTED, 1, keep, CAP_SET) != 0 ||
      cap_set_flag(capabilities.get(), CAP_EFFECTIVE, 1, keep, CAP_SET) != 0 || cap_set_proc(capabilities.get()) != 0) {
    throw PrivilegeError("cannot keep CAP_NET_BIND_SERVICE alone: " + errnoText(errno));
  }
}

// Creates the folder that `key` names, with its missing parents; the new ones belong to `identity`.
void makeDirectory(const std::string& key, const fs::path& wanted, mode_t mode,
                   const std::optional<Identity>& identity) {
  const fs::path path = fs::absolute(wanted);
  std::vector<fs::path> missing;
  for (fs::path at = path; !at.empty() && !fs::exists(at); at = at.parent_path()) missing.push_back(at);
  try {
    createDirectories(path, mode);
  } catch (const SystemError& error) {
    throw PrivilegeError(fmt::format("{}: {}; {} is {}: create the directory, or choose another", key, error.what(),
                                     missing.empty() ? path.string() : missing.back().parent_path().string(),
                                     ownership(missing.empty() ? path : missing.back().parent_path())));
  }
  if (!identity) return;
  for (const auto& made : missing) {
    if (::chown(made.c_str(), identity->uid, identity->gid) != 0) {
      throw PrivilegeError(fmt::format("cannot give {} to {}: {}", made.string(), identity->user, errnoText(errno)));
    }
  }
}

void makeLogFile(const std::string& file, const std::optional<Identity>& identity) {
  const fs::path path = fs::absolute(file);
  if (path.has_parent_path()) makeDirectory("global.tracing.path", path.parent_path(), 0750, identity);
  const bool fresh = !fs::exists(path);
  int descriptor = ::open(path.c_str(), O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0640);
  if (descriptor < 0) {
    throw PrivilegeError(fmt::format("global.tracing.path: cannot open the log file {}: {}; its directory is {}",
                                     path.string(), errnoText(errno), ownership(path.parent_path())));
  }
  const bool given = !fresh || !identity || ::fchown(descriptor, identity->uid, identity->gid) == 0;
  const int reason = errno;
  ::close(descriptor);
  if (!given) throw PrivilegeError("cannot give " + file + " to " + identity->user + ": " + errnoText(reason));
}

// What keeps this user from a file: the first folder on the way to it that he may not pass, links followed as the
// kernel does, or the file itself. certbot's live/ leads through two folders that only root may pass.
struct Barrier {
  fs::path path;
  bool isFolder;
};
Barrier barrierBefore(const fs::path& file) {
  constexpr int mostLinks = 40;
  const fs::path whole = fs::absolute(file);
  std::deque<fs::path> ahead(whole.begin(), whole.end());
  fs::path at = "/";
  for (int links = 0; !ahead.empty();) {
    const fs::path part = ahead.front();
    ahead.pop_front();
    if (part.has_root_directory()) {
      at = "/";
      continue;
    }
    if (::access(at.c_str(), X_OK) != 0) return {at, true};
    if (part.empty() || part == ".") continue;
    if (part == "..") {
      at = at.parent_path();
      continue;
    }
    std::error_code noLink;
    const fs::path target = fs::read_symlink(at / part, noLink);
    if (noLink || ++links > mostLinks) {
      at /= part;
    } else {
      ahead.insert(ahead.begin(), target.begin(), target.end());
    }
  }
  return {at, false};
}

}  // namespace

std::string ownership(const std::string& path) {
  struct stat info {};
  if (::stat(path.c_str(), &info) != 0) return errnoText(errno);
  std::array<char, 16384> buffer{};  // the r forms: postern doctor asks on several threads
  passwd user{};
  passwd* foundUser = nullptr;
  ::getpwuid_r(info.st_uid, &user, buffer.data(), buffer.size(), &foundUser);
  const std::string owner = foundUser ? user.pw_name : std::to_string(info.st_uid);
  group members{};
  group* foundGroup = nullptr;
  ::getgrgid_r(info.st_gid, &members, buffer.data(), buffer.size(), &foundGroup);
  return fmt::format("owned by {}:{}, mode {:04o}", owner, foundGroup ? members.gr_name : std::to_string(info.st_gid),
                     info.st_mode & 07777U);
}

std::optional<Identity> identityNamed(const config::RunAs& runAs) {
  if (runAs.user.empty()) return {};
  const passwd* user = ::getpwnam(runAs.user.c_str());
  if (!user) {
    throw PrivilegeError("server.run-as.user: there is no user " + runAs.user + "; create it (adduser --system " +
                         runAs.user + "), or name another");
  }
  Identity identity{runAs.user, user->pw_uid, user->pw_gid, {}};
  if (!runAs.group.empty()) {
    const group* named = ::getgrnam(runAs.group.c_str());
    if (!named)
      throw PrivilegeError("server.run-as.group: there is no group " + runAs.group + "; create it, or name another");
    identity.gid = named->gr_gid;
  }
  int count = 0;
  ::getgrouplist(runAs.user.c_str(), identity.gid, nullptr, &count);
  identity.groups.resize(static_cast<std::size_t>(count));
  ::getgrouplist(runAs.user.c_str(), identity.gid, identity.groups.data(), &count);
  return identity;
}

std::optional<Identity> identityOf(const config::RunAs& runAs) {
  auto identity = identityNamed(runAs);
  if (identity && ::geteuid() != 0 && ::geteuid() != identity->uid) {
    throw PrivilegeError("server.run-as.user: only root can become " + runAs.user +
                         "; start as root, or remove the key");
  }
  return identity;
}

void prepareDirectories(const config::Settings& settings, const std::optional<Identity>& identity) {
  for (const auto& provider : settings.providers) {
    makeDirectory("acme." + provider.name + ".cache", provider.cache, 0700, identity);
  }
  if (!settings.maildir.empty()) makeDirectory("storage.maildir", settings.maildir, 0700, identity);
  if (!settings.log.file.empty()) makeLogFile(settings.log.file, identity);
  makeDirectory("control.socket", fs::absolute(settings.controlSocket).parent_path(), 0755, identity);
}

void become(const Identity& identity) {
  if (::geteuid() != 0) return;  // started as that user
  if (::prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0) != 0 || ::setgroups(identity.groups.size(), identity.groups.data()) != 0 ||
      ::setresgid(identity.gid, identity.gid, identity.gid) != 0 ||
      ::setresuid(identity.uid, identity.uid, identity.uid) != 0) {
    throw PrivilegeError("cannot become " + identity.user + ": " + errnoText(errno));
  }
  if (identity.uid != 0) keepOnlyBinding();
}

std::vector<std::string> unreadableFiles(const std::vector<std::string>& files) {
  std::vector<std::string> failures;
  for (const auto& file : files) {
    int descriptor = ::open(file.c_str(), O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    if (descriptor >= 0) {
      ::close(descriptor);
      continue;
    }
    const int reason = errno;
    const passwd* user = ::getpwuid(::geteuid());
    const std::string who = user ? user->pw_name : std::to_string(::geteuid());
    std::string failure =
        fmt::format("{}: {} cannot read it, so every reload would fail: {}; ", file, who, errnoText(reason));
    const Barrier barrier = reason == EACCES ? barrierBefore(file) : Barrier{fs::absolute(file).parent_path(), true};
    const std::string path = barrier.path.string();
    if (reason != EACCES) {
      failure += fmt::format("its directory {} is {}", path, ownership(path));
    } else if (barrier.isFolder) {
      failure += fmt::format("on the way, the directory {0} is {1}; give it to a group of {2} with mode 0750", path,
                             ownership(path), who);
    } else {
      failure +=
          fmt::format("the file {0} is {1}; give it to a group of {2} with mode 0640", path, ownership(path), who);
    }
    failures.push_back(std::move(failure));
  }
  return failures;
}

}  // namespace postern::server
