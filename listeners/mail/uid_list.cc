#include "listeners/mail/uid_list.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstdio>
#include <ctime>

#include "base/atomic_file.h"
#include "base/error.h"

namespace postern::mail {
namespace {

constexpr std::string_view heading = "postern-uidlist 1 ";
constexpr std::size_t largest = std::size_t{1} << 30;

// Takes a decimal number and the character behind it off `text`.
template <class Number>
bool take(std::string_view& text, Number& number, char behind) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc() || end == text.data() + text.size() || *end != behind) return false;
  text.remove_prefix(static_cast<std::size_t>(end - text.data()) + 1);
  return true;
}

// One counter for all folders of an account, so that a folder deleted and made again within a second, or renamed onto
// an old name, never shows an old UIDVALIDITY with other messages.
std::uint32_t newValidity(const std::filesystem::path& folder) {
  const bool sub = folder.filename().string().starts_with('.');
  const auto path = (sub ? folder.parent_path() : folder) / "postern-uidvalidity";
  const int lock = open((path.string() + ".lock").c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  if (lock < 0) throw SystemError("cannot open " + path.string() + ".lock", errno);
  try {
    while (flock(lock, LOCK_EX) != 0) {
      if (errno != EINTR) throw SystemError("cannot lock " + path.string() + ".lock", errno);
    }
    std::uint32_t last = 0;
    if (const auto text = readFile(path)) std::from_chars(text->data(), text->data() + text->size(), last);
    const auto now = static_cast<std::uint32_t>(std::time(nullptr));
    const auto validity = std::max(now, last + 1);
    writeFileAtomically(path, std::to_string(validity) + "\n");
    close(lock);
    return validity;
  } catch (...) {
    close(lock);
    throw;
  }
}

}  // namespace

FolderLock::FolderLock(const std::filesystem::path& folder) {
  const auto path = folder / "postern-uidlist.lock";
  descriptor_ = open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  if (descriptor_ < 0) throw SystemError("cannot open " + path.string(), errno);
  while (flock(descriptor_, LOCK_EX) != 0) {
    const int error = errno;
    if (error == EINTR) continue;
    close(descriptor_);
    throw SystemError("cannot lock " + path.string(), error);
  }
}

FolderLock::~FolderLock() {
  close(descriptor_);
}

std::filesystem::path uidListPath(const std::filesystem::path& folder) {
  return folder / "postern-uidlist";
}

std::optional<UidList> parseUidList(std::string_view text) {
  if (!text.starts_with(heading)) return {};
  text.remove_prefix(heading.size());
  UidList list;
  std::size_t count = 0;
  if (!take(text, list.validity, ' ') || !take(text, list.next, ' ') || !take(text, count, '\n')) return {};
  if (list.validity == 0 || list.next == 0) return {};
  list.entries.reserve(std::min(count, text.size() / 8));
  std::uint32_t last = 0;
  while (!text.empty()) {
    UidEntry entry;
    if (!take(text, entry.uid, ' ') || !take(text, entry.size, ' ')) return {};
    const auto end = text.find('\n');
    if (end == std::string_view::npos || end == 0 || entry.uid <= last || entry.uid >= list.next) return {};
    last = entry.uid;
    entry.base = text.substr(0, end);
    text.remove_prefix(end + 1);
    list.entries.push_back(std::move(entry));
  }
  if (list.entries.size() != count) return {};
  return list;
}

std::string formatUidList(const UidList& list) {
  std::string text(heading);
  text += std::to_string(list.validity) + ' ' + std::to_string(list.next) + ' ' + std::to_string(list.entries.size()) +
          '\n';
  for (const auto& entry : list.entries) {
    text += std::to_string(entry.uid) + ' ' + std::to_string(entry.size) + ' ' + entry.base + '\n';
  }
  return text;
}

UidList loadUidList(const std::filesystem::path& folder) {
  const auto path = uidListPath(folder);
  if (const auto text = readFile(path, largest)) {
    if (auto list = parseUidList(*text)) return *std::move(list);
    const auto aside = path.string() + ".damaged";
    if (std::rename(path.c_str(), aside.c_str()) != 0) throw SystemError("cannot set aside " + path.string(), errno);
  }
  UidList list;
  list.validity = newValidity(folder);
  saveUidList(folder, list);  // at once: a second look at an empty folder must tell the same UIDVALIDITY
  return list;
}

void saveUidList(const std::filesystem::path& folder, const UidList& list) {
  writeFileAtomically(uidListPath(folder), formatUidList(list));
}

}  // namespace postern::mail
