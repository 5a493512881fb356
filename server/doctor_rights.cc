#include "server/doctor_rights.h"

#include <pwd.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <fstream>
#include <sstream>

namespace postern::server {
namespace {

namespace fs = std::filesystem;

bool alone(const Identity& user, const fs::path& path, int wanted) {
  struct stat found {};
  if (::stat(path.c_str(), &found) != 0) return false;
  if (user.uid == 0) return (wanted & X_OK) == 0 || S_ISDIR(found.st_mode) || (found.st_mode & 0111U) != 0;
  unsigned bits = found.st_mode & 7U;
  const bool member =
      found.st_gid == user.gid || std::find(user.groups.begin(), user.groups.end(), found.st_gid) != user.groups.end();
  if (found.st_uid == user.uid) {
    bits = (found.st_mode >> 6U) & 7U;
  } else if (member) {
    bits = (found.st_mode >> 3U) & 7U;
  }
  return (static_cast<unsigned>(wanted) & ~bits) == 0;
}

std::string nameOf(uid_t uid) {
  std::array<char, 4096> buffer{};
  passwd entry{};
  passwd* found = nullptr;
  ::getpwuid_r(uid, &entry, buffer.data(), buffer.size(), &found);
  return found != nullptr ? found->pw_name : std::to_string(uid);
}

}  // namespace

Identity userOf(const std::optional<Identity>& identity) {
  if (identity) return *identity;
  Identity self;
  self.uid = ::geteuid();
  self.gid = ::getegid();
  self.user = nameOf(self.uid);
  std::array<gid_t, 256> groups{};
  const int count = ::getgroups(static_cast<int>(groups.size()), groups.data());
  self.groups.assign(groups.begin(), groups.begin() + std::max(count, 0));
  return self;
}

std::optional<Identity> userOfProcess(long pid) {
  std::ifstream status("/proc/" + std::to_string(pid) + "/status");
  Identity identity;
  bool known = false;
  for (std::string line; std::getline(status, line);) {
    std::istringstream words(line);
    std::string heading;
    long real = 0, effective = 0;
    words >> heading;
    if (heading == "Uid:" && words >> real >> effective) {
      identity.uid = static_cast<uid_t>(effective);
      known = true;
    } else if (heading == "Gid:" && words >> real >> effective) {
      identity.gid = static_cast<gid_t>(effective);
    } else if (heading == "Groups:") {
      for (gid_t group = 0; words >> group;) identity.groups.push_back(group);
    }
  }
  if (!known) return {};
  identity.user = nameOf(identity.uid);
  return identity;
}

bool may(const Identity& user, const fs::path& path, int wanted) {
  const fs::path whole = fs::absolute(path).lexically_normal();
  fs::path at;
  for (auto part = whole.begin(); part != whole.end(); ++part) {
    if (part->empty()) continue;  // a slash at the end
    at /= *part;
    if (at != whole && !alone(user, at, X_OK)) return false;
  }
  return alone(user, whole, wanted);
}

fs::path nearestExisting(fs::path path) {
  path = fs::absolute(path).lexically_normal();
  struct stat found {};
  while (::lstat(path.c_str(), &found) != 0 && path.has_relative_path()) path = path.parent_path();
  return path;
}

}  // namespace postern::server
