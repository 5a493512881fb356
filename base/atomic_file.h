// AtomicFile: files and folders that appear whole or not at all, and are on disk when the call returns.
//
// Any thread; two writers of the same path: one of the two contents stands in the end, whole. Every failure throws
// SystemError, with the file that was there before untouched.
#pragma once

#include <sys/types.h>

#include <cstddef>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>

namespace postern {

// Writes beside `path`, fsyncs, renames over it and fsyncs the folder. `mode` is exact, whatever the umask; `group`,
// where given, is the file's before anybody of it may read.
void writeFileAtomically(const std::filesystem::path& path, std::string_view bytes, mode_t mode = 0600,
                         std::optional<gid_t> group = {});

// Writes a new file (never over one that exists) and fsyncs it; for files inside a folder that is renamed as a whole.
void writeNewFile(const std::filesystem::path& path, std::string_view bytes, mode_t mode = 0600);

// The whole file; nothing when it does not exist. Anything else that fails, what is no regular file (a FIFO is not
// waited for), or more than `limit` bytes, throws.
std::optional<std::string> readFile(const std::filesystem::path& path, std::size_t limit = 16 << 20);

// Creates the missing folders of `path` with exactly `mode` and fsyncs their parents; existing ones stay as they are.
void createDirectories(const std::filesystem::path& path, mode_t mode = 0700);

// rename(2) and fsync of the folders concerned.
void renameDurably(const std::filesystem::path& from, const std::filesystem::path& to);

// Makes `link` point to `target` (a relative name) by renaming a new link over it, and fsyncs the folder.
void flipLink(const std::filesystem::path& link, const std::filesystem::path& target);

void fsyncDirectory(const std::filesystem::path& path);

}  // namespace postern
