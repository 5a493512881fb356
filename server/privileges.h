// Privileges: from root to the run-as user, once, before any thread starts.
//
// Called by main's thread only, at the start. What fails throws PrivilegeError, whose text names path, owner, mode and
// the remedy.
#pragma once

#include <sys/types.h>

#include <optional>
#include <stdexcept>
#include <string>
#include <vector>

#include "config/settings.h"

namespace postern::server {

struct PrivilegeError : std::runtime_error {
  using runtime_error::runtime_error;
};

struct Identity {
  std::string user;
  uid_t uid = 0;
  gid_t gid = 0;
  std::vector<gid_t> groups;
};

// The user to become; nothing without `server.run-as.user`. Throws when user or group does not exist, or when this
// process is neither root nor that user.
std::optional<Identity> identityOf(const config::RunAs& runAs);
// The same, whoever this process is: to look at things with that user's eyes.
std::optional<Identity> identityNamed(const config::RunAs& runAs);

// Creates the missing cache, maildir, log and control directories and the log file, owned by `identity` where given.
// What exists stays as it is.
void prepareDirectories(const config::Settings& settings, const std::optional<Identity>& identity);

// Becomes the user for good, keeping only CAP_NET_BIND_SERVICE, so that a reload may bind ports below 1024.
void become(const Identity& identity);

// Reads, as the user we are now, everything that a reload will read. Returns every failure, a line each.
std::vector<std::string> unreadableFiles(const std::vector<std::string>& files);

// "owned by alice:users, mode 0640", or the reason why that cannot be told.
std::string ownership(const std::string& path);

}  // namespace postern::server
