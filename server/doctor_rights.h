// What a user may do with a path, told from owners and modes alone: so root can say what the server's user may.
//
// Access control lists are not looked at. Any thread.
#pragma once

#include <sys/types.h>

#include <filesystem>
#include <optional>
#include <string>

#include "server/privileges.h"

namespace postern::server {

// The identity given, else this process.
Identity userOf(const std::optional<Identity>& identity);

// Whom a process runs as; nothing when it is not there or cannot be looked at.
std::optional<Identity> userOfProcess(long pid);

// `wanted` of R_OK, W_OK, X_OK. Every folder on the way must let the user through. False for what does not exist.
bool may(const Identity& user, const std::filesystem::path& path, int wanted);

// The path itself where it exists, else the nearest folder above it that does.
std::filesystem::path nearestExisting(std::filesystem::path path);

}  // namespace postern::server
