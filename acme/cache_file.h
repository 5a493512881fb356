// CacheFile: single files of the cache directory, with what can go wrong as Storage promises it: failures to write are
// Error "postern:storage", and what cannot be read is set aside with a warning and treated as absent.
//
// Free functions; any thread.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "acme/error.h"
#include "base/error.h"
#include "base/json.h"
#include "base/log.h"

namespace postern::acme {

// Renames `path` to "<path>.damaged-<n>" and warns. Never throws: what cannot even be renamed is warned about, and
// stays.
void setAside(const std::filesystem::path& path, std::string_view why, Log& log) noexcept;

// The file's bytes; nothing when it does not exist, or could not be read and was set aside. Throws Error
// "postern:storage" where the trouble is the process's (descriptors, memory) and the file may be as good as ever.
std::optional<std::string> readOrSetAside(const std::filesystem::path& path, Log& log);
// The same for a JSON object; null for nothing.
Json readJsonOrSetAside(const std::filesystem::path& path, Log& log);

// Creates the folders above (0700) and writes the file whole (0600). Throws Error "postern:storage".
void writeCacheFile(const std::filesystem::path& path, std::string_view bytes);
// Gone from the disk when this returns, also when it was not there. Throws Error "postern:storage".
void removeCacheFile(const std::filesystem::path& path);

// Whether the trouble is the process's or the machine's at this moment, and says nothing about the file.
bool passing(const SystemError& error);

[[noreturn]] void throwStorageError(const std::string& detail);

// Runs `work`, with every failure of the file system as Error "postern:storage".
template <class Work>
auto storing(Work&& work) {
  try {
    return work();
  } catch (const SystemError& error) {
    throwStorageError(error.what());
  } catch (const std::filesystem::filesystem_error& error) {
    throwStorageError(error.what());
  }
}

// A name that a crash left behind: temporary files of base/atomic_file, and our folders not yet whole or half removed.
bool isLeftover(const std::filesystem::path& name);
inline constexpr std::string_view temporaryPrefix = ".tmp.";  // as base/atomic_file names its own

// Something set aside, which nobody reads any more.
bool isSetAside(const std::filesystem::path& name);

// The folders in `folder`, sorted, without those left behind or set aside; none where it cannot be read.
std::vector<std::filesystem::path> foldersIn(const std::filesystem::path& folder);

}  // namespace postern::acme
