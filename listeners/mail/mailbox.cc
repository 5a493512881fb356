#include "listeners/mail/mailbox.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <ctime>
#include <unordered_map>
#include <unordered_set>
#include <utility>

#include "base/atomic_file.h"
#include "base/error.h"
#include "listeners/mail/uid_list.h"

namespace postern::mail {
namespace {

using Listing = std::unordered_map<std::string, std::string>;  // base name → "cur/..." or "new/..."

// What tells whether a folder has changed without reading it.
struct Stamp {
  std::int64_t cur = 0, fresh = 0, list = 0;
  ino_t listFile = 0;
  bool operator==(const Stamp&) const = default;
};

std::int64_t nanoseconds(const timespec& time) {
  return std::int64_t{time.tv_sec} * 1'000'000'000 + time.tv_nsec;
}

Stamp stampOf(const std::filesystem::path& folder) {
  Stamp stamp;
  struct stat status {};
  const auto look = [&](const std::filesystem::path& path) {
    if (stat(path.c_str(), &status) != 0) throw SystemError("cannot look at " + path.string(), errno);
    return nanoseconds(status.st_mtim);
  };
  stamp.cur = look(folder / "cur");
  stamp.fresh = look(folder / "new");
  if (stat(uidListPath(folder).c_str(), &status) == 0) {
    stamp.list = nanoseconds(status.st_mtim);
    stamp.listFile = status.st_ino;
  }
  return stamp;
}

// A file's time is only as fine as the kernel's tick: a stamp younger than this proves nothing.
bool settled(const Stamp& stamp, std::int64_t at) {
  return at - std::max({stamp.cur, stamp.fresh, stamp.list}) > 1'000'000'000;
}

std::int64_t nowNanoseconds() {
  timespec now{};
  clock_gettime(CLOCK_REALTIME, &now);
  return nanoseconds(now);
}

void list(const std::filesystem::path& folder, const std::string& part, Listing& into) {
  const auto path = folder / part;
  const std::unique_ptr<DIR, int (*)(DIR*)> directory(opendir(path.c_str()), closedir);
  if (!directory) throw SystemError("cannot read " + path.string(), errno);
  for (;;) {
    errno = 0;
    const dirent* entry = readdir(directory.get());
    if (!entry) break;
    const std::string_view name = entry->d_name;
    if (name.starts_with('.') || name.find('\n') != std::string_view::npos) continue;
    if (entry->d_type != DT_REG && entry->d_type != DT_UNKNOWN && entry->d_type != DT_LNK) continue;
    const auto base = baseName(name);
    if (!base.empty()) into.insert_or_assign(std::string(base), part + '/' + std::string(name));
  }
  if (errno != 0) throw SystemError("cannot read " + path.string(), errno);
}

// new/ first: a message that moves to cur/ meanwhile is then seen twice rather than never, and cur/ wins.
void listAll(const std::filesystem::path& folder, Listing& into) {
  list(folder, "new", into);
  list(folder, "cur", into);
}

// Nothing when the file is gone.
std::optional<std::uint64_t> measure(const std::filesystem::path& path) {
  const int file = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (file < 0 && errno == ENOENT) return {};
  if (file < 0) throw SystemError("cannot open " + path.string(), errno);
  CrlfCounter counter;
  std::string buffer(64 << 10, '\0');
  for (;;) {
    const auto got = ::read(file, buffer.data(), buffer.size());
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) {
      const int error = errno;
      close(file);
      throw SystemError("cannot read " + path.string(), error);
    }
    if (got == 0) break;
    counter.count({buffer.data(), static_cast<std::size_t>(got)});
  }
  close(file);
  return counter.size();
}

// What a program that died left in tmp/ may go after 36 hours, as Maildir says: files, and folders whose removal it
// began.
void sweepTemporary(const std::filesystem::path& folder) {
  const auto limit = std::time(nullptr) - 36 * 60 * 60;
  std::error_code ignored;  // a sweep that fails harms nobody
  std::vector<std::filesystem::path> left;
  for (std::filesystem::directory_iterator at(folder / "tmp", ignored), end; !ignored && at != end;
       at.increment(ignored)) {
    left.push_back(at->path());
  }
  for (const auto& path : left) {
    struct stat status {};
    if (lstat(path.c_str(), &status) != 0) continue;
    if (std::max(status.st_atim.tv_sec, status.st_mtim.tv_sec) >= limit) continue;
    if (S_ISREG(status.st_mode)) unlink(path.c_str());
    const bool removed = path.filename().string().starts_with("removed-");
    if (S_ISDIR(status.st_mode) && removed) std::filesystem::remove_all(path, ignored);
  }
}

}  // namespace

struct Mailbox::State {
  std::filesystem::path folder;
  std::uint32_t validity = 0, next = 1;
  std::vector<MessageInfo> messages;
  std::unordered_set<std::string> recent;  // claimed by this session
  std::optional<Stamp> seen;               // of the last scan, if it proves that nothing has changed
  bool unclaimed = false;                  // the last scan left messages in new/
  bool swept = false;

  MessageInfo* find(std::uint32_t uid) {
    const auto at =
        std::lower_bound(messages.begin(), messages.end(), uid,
                         [](const MessageInfo& message, std::uint32_t wanted) { return message.uid < wanted; });
    return at != messages.end() && at->uid == uid ? &*at : nullptr;
  }

  // Where the message's file is now, after somebody renamed it.
  std::optional<std::string> locate(std::string_view file) const {
    Listing listing;
    listAll(folder, listing);
    const auto at = listing.find(std::string(baseName(file)));
    if (at == listing.end()) return {};
    return at->second;
  }

  void claim(Listing& listing) {
    for (auto at = listing.begin(); at != listing.end();) {
      if (!at->second.starts_with("new/")) {
        ++at;
        continue;
      }
      const auto target = fileWithFlags(at->second, flagsOf(at->second));
      if (std::rename((folder / at->second).c_str(), (folder / target).c_str()) == 0) {
        recent.insert(at->first);
        at->second = target;
        ++at;
      } else if (errno == ENOENT) {
        at = listing.erase(at);  // another program was faster; the next scan sees what it did
      } else {
        throw SystemError("cannot rename " + (folder / at->second).string(), errno);
      }
    }
  }

  // Gives every listed message its UID; saves the list where it has changed.
  UidList number(Listing& listing) {
    UidList uids = loadUidList(folder);
    const auto missing = [&](const UidEntry& entry) { return !listing.contains(entry.base); };
    if (std::any_of(uids.entries.begin(), uids.entries.end(), missing)) {
      listAll(folder, listing);  // readdir may miss what is renamed while it reads: gone is what two looks did not see
    }
    bool changed = std::erase_if(uids.entries, missing) > 0;
    std::unordered_set<std::string_view> known;
    for (const auto& entry : uids.entries) known.insert(entry.base);
    std::vector<std::string> fresh;
    for (const auto& entry : listing) {
      if (!known.contains(entry.first)) fresh.push_back(entry.first);
    }
    std::sort(fresh.begin(), fresh.end());  // names begin with the time of delivery
    for (auto& base : fresh) {
      auto size = sizeInName(base);
      if (!size) size = measure(folder / listing[base]);
      if (!size) continue;
      uids.entries.push_back({uids.next++, *size, std::move(base)});
      changed = true;
    }
    if (changed) saveUidList(folder, uids);
    return uids;
  }

  void scan(bool claimRecent) {
    const FolderLock lock(folder);
    const auto stamp = stampOf(folder);
    const auto at = nowNanoseconds();
    if (seen == stamp && !(claimRecent && unclaimed)) return;
    Listing listing;
    listAll(folder, listing);
    const UidList uids = number(listing);
    if (claimRecent) claim(listing);

    std::unordered_map<std::uint32_t, std::chrono::sys_seconds> dates;  // never change: need no second stat(2)
    if (uids.validity == validity) {
      for (const auto& message : messages) dates.emplace(message.uid, message.internalDate);
    }
    std::vector<MessageInfo> next_;
    next_.reserve(uids.entries.size());
    bool left = false;
    for (const auto& entry : uids.entries) {
      const auto file = listing.find(entry.base);
      if (file == listing.end()) continue;
      MessageInfo message;
      message.uid = entry.uid;
      message.size = entry.size;
      message.file = file->second;
      message.flags = flagsOf(message.file);
      const bool fresh = message.file.starts_with("new/");
      message.recent = fresh || recent.contains(entry.base);
      left = left || fresh;
      if (const auto date = dates.find(entry.uid); date != dates.end()) {
        message.internalDate = date->second;
      } else {
        struct stat status {};
        if (stat((folder / message.file).c_str(), &status) != 0) continue;  // gone between two calls
        message.internalDate = std::chrono::sys_seconds(std::chrono::seconds(status.st_mtim.tv_sec));
      }
      next_.push_back(std::move(message));
    }
    messages = std::move(next_);
    validity = uids.validity;
    next = uids.next;
    unclaimed = left;
    seen.reset();
    if (settled(stamp, at)) seen = stamp;
  }
};

Mailbox::Mailbox(std::filesystem::path folder) : state_(std::make_shared<State>()) {
  state_->folder = std::move(folder);
  for (const char* name : {"cur", "new", "tmp"}) createDirectories(state_->folder / name, 0700);
}

void Mailbox::scan(bool claimRecent) {
  if (claimRecent && !std::exchange(state_->swept, true)) sweepTemporary(state_->folder);
  state_->scan(claimRecent);
}

std::uint32_t Mailbox::uidValidity() const {
  return state_->validity;
}
std::uint32_t Mailbox::uidNext() const {
  return state_->next;
}
const std::vector<MessageInfo>& Mailbox::messages() const {
  return state_->messages;
}

std::optional<std::string> Mailbox::read(const MessageInfo& message) const {
  std::string file = message.file;
  for (int attempt = 0; attempt < 3; ++attempt) {
    if (const auto bytes = readFile(state_->folder / file, std::size_t{1} << 31)) return withCrlf(*bytes);
    const auto now = state_->locate(file);
    if (!now) return {};
    file = *now;
  }
  return {};
}

bool Mailbox::setFlags(std::uint32_t uid, const Flags& flags) {
  MessageInfo* message = state_->find(uid);
  if (!message) return false;
  const FolderLock lock(state_->folder);
  for (int attempt = 0; attempt < 3; ++attempt) {
    const auto target = fileWithFlags(message->file, flags);
    const auto from = state_->folder / message->file;
    if (std::rename(from.c_str(), (state_->folder / target).c_str()) == 0) {
      if (message->file.starts_with("new/") && message->recent) state_->recent.insert(std::string(baseName(target)));
      message->file = target;
      message->flags = flags;
      return true;
    }
    if (errno != ENOENT) throw SystemError("cannot rename " + from.string(), errno);
    const auto now = state_->locate(message->file);
    if (!now) return false;
    message->file = *now;
  }
  return false;
}

bool Mailbox::remove(std::uint32_t uid) {
  MessageInfo* message = state_->find(uid);
  if (!message) return false;
  const FolderLock lock(state_->folder);
  for (int attempt = 0; attempt < 3; ++attempt) {
    const auto path = state_->folder / message->file;
    if (unlink(path.c_str()) == 0) return true;
    if (errno != ENOENT) throw SystemError("cannot remove " + path.string(), errno);
    const auto now = state_->locate(message->file);
    if (!now) return false;
    message->file = *now;
  }
  return false;
}

}  // namespace postern::mail
