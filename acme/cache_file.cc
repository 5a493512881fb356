#include "acme/cache_file.h"

#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "base/atomic_file.h"
#include "base/fault_point.h"

namespace postern::acme {

namespace fs = std::filesystem;

void setAside(const fs::path& path, std::string_view why, Log& log) noexcept {
  try {
    for (int n = 1; n < 1000; ++n) {
      fs::path aside = path;
      aside += ".damaged-" + std::to_string(n);
      if (fs::exists(fs::symlink_status(aside))) continue;
      try {
        renameDurably(path, aside);
      } catch (const SystemError& error) {
        log.warn("acme.cache.damaged", {{"path", path.string()}, {"error", why}, {"aside", error.what()}});
        return;
      }
      log.warn("acme.cache.damaged", {{"path", path.string()}, {"error", why}, {"set-aside", aside.string()}});
      return;
    }
    log.warn("acme.cache.damaged", {{"path", path.string()}, {"error", why}});
  } catch (const std::exception&) {
    // Memory, or a folder that cannot be looked into: whoever asked treats the file as absent all the same.
  }
}

bool passing(const SystemError& error) {
  const int code = error.error();
  return code == EMFILE || code == ENFILE || code == ENOMEM || code == EAGAIN;
}

std::optional<std::string> readOrSetAside(const fs::path& path, Log& log) {
  try {
    return readFile(path);
  } catch (const SystemError& error) {
    if (passing(error)) throwStorageError(error.what());
    setAside(path, error.what(), log);
    return std::nullopt;
  }
}

Json readJsonOrSetAside(const fs::path& path, Log& log) {
  const auto text = readOrSetAside(path, log);
  if (!text) return {};
  auto json = Json::parse(*text);
  if (json && json->isObject()) return std::move(*json);
  setAside(path, "it is not a JSON object", log);
  return {};
}

void writeCacheFile(const fs::path& path, std::string_view bytes) {
  storing([&] {
    createDirectories(path.parent_path(), 0700);
    writeFileAtomically(path, bytes, 0600);
  });
}

void removeCacheFile(const fs::path& path) {
  storing([&] {
    if (!POSTERN_STEP_FAILS("remove") && unlink(path.c_str()) == 0) {
      fsyncDirectory(path.parent_path());
    } else if (errno != ENOENT && errno != ENOTDIR) {
      const int error = errno;
      throw SystemError("cannot remove " + path.string(), error);
    }
  });
}

void throwStorageError(const std::string& detail) {
  throw Error(makeProblem("postern:storage", detail));
}

bool isLeftover(const fs::path& name) {
  const std::string text = name.string();
  return text.starts_with(temporaryPrefix) || text.starts_with(".new.") || text.starts_with(".old.");
}

bool isSetAside(const fs::path& name) {
  return name.string().find(".damaged-") != std::string::npos;
}

std::vector<fs::path> foldersIn(const fs::path& folder) {
  std::vector<fs::path> folders;
  std::error_code error, ignored;
  for (fs::directory_iterator entry(folder, error), end; !error && entry != end; entry.increment(error)) {
    const fs::path name = entry->path().filename();
    if (entry->is_directory(ignored) && !isLeftover(name) && !isSetAside(name)) folders.push_back(entry->path());
  }
  std::sort(folders.begin(), folders.end());
  return folders;
}

}  // namespace postern::acme
