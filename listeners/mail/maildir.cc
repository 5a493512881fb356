#include "listeners/mail/maildir.h"

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <utility>

#include "base/atomic_file.h"
#include "base/error.h"
#include "base/text.h"
#include "listeners/mail/uid_list.h"

namespace postern::mail {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t longestName = 200;  // a file name has 255 bytes

bool isInbox(std::string_view name) {
  return equalsIgnoringCase(name, "INBOX");
}

// Each name is one folder below the root, so whatever could lead elsewhere is no name.
bool possible(std::string_view name) {
  if (name.empty() || name.size() > longestName || name.front() == '.' || name.back() == '.') return false;
  if (name.find("..") != std::string_view::npos) return false;
  return std::all_of(name.begin(), name.end(),
                     [](char c) { return c >= ' ' && c < 0x7f && c != '/' && c != '%' && c != '*' && c != '\\'; });
}

void makeFolder(const fs::path& folder) {
  // cur last: with it the folder exists for others.
  for (const char* part : {"tmp", "new", "cur"}) createDirectories(folder / part, 0700);
  if (!readFile(folder / "maildirfolder")) writeFileAtomically(folder / "maildirfolder", "");
}

void renameOrThrow(const fs::path& from, const fs::path& to) {
  if (std::rename(from.c_str(), to.c_str()) != 0) {
    throw SystemError("cannot rename " + from.string() + " to " + to.string(), errno);
  }
}

void moveMessages(const fs::path& from, const fs::path& to) {
  const FolderLock lock(from);
  for (const char* part : {"new", "cur"}) {
    std::vector<fs::path> files;
    std::error_code error;
    for (fs::directory_iterator at(from / part, error), end; !error && at != end; at.increment(error)) {
      files.push_back(at->path());
    }
    if (error) throw SystemError("cannot read " + (from / part).string(), error.value());
    for (const auto& file : files) renameOrThrow(file, to / part / file.filename());
    fsyncDirectory(to / part);
  }
}

}  // namespace

Maildir::Maildir(fs::path root) : root_(std::move(root)) {}

std::vector<std::string> Maildir::folders() const {
  std::vector<std::string> names;
  std::error_code error;
  for (fs::directory_iterator at(root_, error), end; !error && at != end; at.increment(error)) {
    const auto name = at->path().filename().string();
    if (!name.starts_with('.') || !possible(std::string_view(name).substr(1))) continue;
    std::error_code ignored;
    if (fs::is_directory(at->path() / "cur", ignored)) names.push_back(name.substr(1));
  }
  if (error && error.value() != ENOENT) throw SystemError("cannot read " + root_.string(), error.value());
  std::erase_if(names, isInbox);  // it would hide the real one
  std::sort(names.begin(), names.end());
  names.insert(names.begin(), "INBOX");
  return names;
}

std::optional<fs::path> Maildir::path(std::string_view name) const {
  if (isInbox(name)) return root_;
  if (!possible(name)) return {};
  return root_ / ("." + std::string(name));
}

bool Maildir::exists(std::string_view name) const {
  if (isInbox(name)) return true;
  const auto folder = path(name);
  std::error_code ignored;
  return folder && fs::is_directory(*folder / "cur", ignored);
}

bool Maildir::create(std::string_view name) {
  const auto folder = path(name);
  if (!folder || exists(name)) return false;
  for (std::size_t at = 0; (at = name.find('.', at)) != std::string_view::npos; ++at) {
    const auto superior = name.substr(0, at);
    if (!exists(superior)) makeFolder(*path(superior));
  }
  makeFolder(*folder);
  return true;
}

bool Maildir::remove(std::string_view name) {
  if (isInbox(name) || !exists(name)) return false;
  const auto folder = *path(name);
  createDirectories(root_ / "tmp", 0700);
  // Gone from sight in one step; what a crash leaves in tmp/ is nobody's mail any more.
  const auto aside = root_ / "tmp" / ("removed-" + uniqueName());
  renameOrThrow(folder, aside);
  std::error_code error;
  fs::remove_all(aside, error);
  if (error) throw SystemError("cannot remove " + aside.string(), error.value());
  return true;
}

bool Maildir::rename(std::string_view from, std::string_view to) {
  if (!path(to) || isInbox(to) || exists(to) || !exists(from)) return false;
  if (isInbox(from)) {
    if (!create(to)) return false;
    for (const char* part : {"cur", "new", "tmp"}) createDirectories(root_ / part, 0700);
    moveMessages(root_, *path(to));
    return true;
  }
  const auto inferiors = std::string(from) + '.';
  if (to.starts_with(inferiors)) return false;  // below itself
  std::vector<std::pair<std::string, std::string>> moves{{std::string(from), std::string(to)}};
  for (const auto& name : folders()) {
    if (!name.starts_with(inferiors)) continue;
    auto target = std::string(to) + name.substr(from.size());
    if (!path(target) || exists(target)) return false;
    moves.emplace_back(name, std::move(target));
  }
  if (const auto dot = to.rfind('.'); dot != std::string_view::npos) create(to.substr(0, dot));
  for (const auto& move : moves) renameOrThrow(*path(move.first), *path(move.second));
  fsyncDirectory(root_);
  return true;
}

std::vector<std::string> Maildir::subscriptions() const {
  std::vector<std::string> names;
  if (const auto text = readFile(root_ / "subscriptions")) {
    for (auto& name : split(*text, '\n')) {
      if (!name.empty()) names.push_back(std::move(name));
    }
  }
  return names;
}

bool Maildir::subscribed(std::string_view name) const {
  const auto names = subscriptions();
  return std::any_of(names.begin(), names.end(),
                     [&](const std::string& known) { return known == name || (isInbox(known) && isInbox(name)); });
}

void Maildir::subscribe(std::string_view name, bool yes) {
  if (!path(name)) return;
  createDirectories(root_, 0700);
  const FolderLock lock(root_);
  auto names = subscriptions();
  const std::string wanted = isInbox(name) ? "INBOX" : std::string(name);
  std::erase_if(names, [&](const std::string& known) { return known == wanted; });
  if (yes) names.push_back(wanted);
  writeFileAtomically(root_ / "subscriptions", names.empty() ? "" : joined(names, "\n") + "\n");
}

}  // namespace postern::mail
