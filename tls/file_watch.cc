#include "tls/file_watch.h"

#include <climits>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <deque>
#include <map>
#include <optional>
#include <set>
#include <string_view>
#include <utility>

#include "base/error.h"
#include "base/text.h"

namespace postern::tls {
namespace {

using Clock = std::chrono::steady_clock;

constexpr std::uint32_t ofFiles = IN_CREATE | IN_MOVED_TO | IN_CLOSE_WRITE | IN_ATTRIB;
constexpr std::uint32_t ofFolder = IN_DELETE_SELF | IN_MOVE_SELF;
constexpr int mostLinks = 40;  // as the kernel follows

// The folders in which something must happen for a file to change, with the names in them that matter. Made anew after
// every change, because a link that has flipped leads through other folders.
class Folders {
 public:
  Folders() : descriptor_(::inotify_init1(IN_NONBLOCK | IN_CLOEXEC)) {
    if (descriptor_ < 0) failed("/", errno);
  }
  ~Folders() {
    if (descriptor_ >= 0) ::close(descriptor_);
  }
  Folders(const Folders&) = delete;
  Folders& operator=(const Folders&) = delete;

  int descriptor() const { return descriptor_; }
  // The first folder that cannot be listened to, and why; "" when all can be.
  const std::string& failure() const { return failure_; }

  void follow(const std::string& file) {
    std::deque<std::string> rest;
    prepend(rest, file);
    std::string folder;  // "" is the root
    int links = 0;
    while (!rest.empty()) {
      const std::string name = std::move(rest.front());
      rest.pop_front();
      if (name.empty() || name == ".") continue;
      if (name == "..") {
        folder.erase(std::min(folder.rfind('/'), folder.size()));
        continue;
      }
      const std::string path = folder + "/" + name;
      struct stat about {};
      const bool there = ::lstat(path.c_str(), &about) == 0;
      const bool further = there && S_ISDIR(about.st_mode) && !rest.empty();
      listen(folder.empty() ? "/" : folder, name, !further);
      if (further) {
        folder = path;
        continue;
      }
      if (!there || !S_ISLNK(about.st_mode) || ++links > mostLinks) return;
      std::array<char, PATH_MAX> target{};
      const auto size = ::readlink(path.c_str(), target.data(), target.size());
      if (size <= 0) return;
      if (target[0] == '/') folder.clear();
      prepend(rest, {target.data(), static_cast<std::size_t>(size)});
    }
  }

  // Takes what the kernel has to tell. True when some of it matters.
  bool heard() {
    alignas(inotify_event) std::array<char, 16384> bytes;
    bool matters = false;
    for (;;) {
      const auto got = ::read(descriptor_, bytes.data(), bytes.size());
      if (got <= 0) return matters;
      for (const char* at = bytes.data(); at < bytes.data() + got;) {
        const auto* event = reinterpret_cast<const inotify_event*>(at);
        at += sizeof *event + event->len;
        if ((event->mask & (IN_Q_OVERFLOW | ofFolder)) != 0) matters = true;
        if (event->len == 0) continue;
        const auto names = names_.find(event->wd);
        matters = matters || (names != names_.end() && names->second.contains(std::string_view(event->name)));
      }
    }
  }

 private:
  static void prepend(std::deque<std::string>& rest, const std::string& path) {
    const auto parts = split(path, '/');
    rest.insert(rest.begin(), parts.begin(), parts.end());
  }
  // `needed`: something of the way itself, a file or a link, stands there. Of a folder that is only passed through, it
  // is enough to hear when another takes its place, and it need not be readable.
  void listen(const std::string& folder, const std::string& name, bool needed) {
    if (descriptor_ < 0) return;
    const int number = ::inotify_add_watch(descriptor_, folder.c_str(), ofFiles | ofFolder | IN_ONLYDIR);
    if (number < 0) {
      if (needed || errno != EACCES) failed(folder, errno);
      return;
    }
    names_[number].insert(name);
  }
  void failed(const std::string& folder, int error) {
    if (failure_.empty()) failure_ = folder + ": " + errnoText(error);
  }

  const int descriptor_;
  std::map<int, std::set<std::string, std::less<>>> names_;
  std::string failure_;
};

}  // namespace

FileWatch::FileWatch(Log& log, std::function<void()> look, Times times)
    : log_(log), look_(std::move(look)), times_(times), wake_(::eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC)) {
  if (wake_ < 0) throw SystemError("cannot watch files", errno);
}

FileWatch::~FileWatch() {
  thread_.request_stop();
  [[maybe_unused]] const auto ignored = ::eventfd_write(wake_, 1);
  if (thread_.joinable()) thread_.join();
  ::close(wake_);
}

void FileWatch::watch(std::vector<std::string> files) {
  std::lock_guard lock(mutex_);
  files_ = std::move(files);
  others_ = true;
  if (!thread_.joinable() && !files_.empty()) thread_ = std::jthread([this](std::stop_token stop) { run(stop); });
  [[maybe_unused]] const auto ignored = ::eventfd_write(wake_, 1);
}

void FileWatch::run(std::stop_token stop) {
  std::optional<Folders> folders;
  std::optional<Clock::time_point> firstSign, due;
  auto nextPoll = Clock::now() + times_.poll;
  std::string said;
  while (!stop.stop_requested()) {
    std::vector<std::string> files;
    {
      std::lock_guard lock(mutex_);
      files = files_;
      if (std::exchange(others_, false)) due = Clock::now();
    }
    if ((due && Clock::now() >= *due) || Clock::now() >= nextPoll) {
      // First listen, then look: what comes between is heard.
      folders.emplace();
      for (const auto& file : files) folders->follow(file);
      if (folders->failure() != std::exchange(said, folders->failure()) && !said.empty()) {
        log_.warn("tls.files.polled", {{"reason", said},
                                       {"every", inWords(times_.poll)},
                                       {"remedy",
                                        "raise fs.inotify.max_user_watches or max_user_instances, or let the "
                                        "server's user read the folder"}});
      }
      if (!files.empty()) look_();
      firstSign.reset();
      due.reset();
      nextPoll = Clock::now() + times_.poll;
    }
    const auto until = due ? std::min(*due, nextPoll) : nextPoll;
    const auto wait = std::chrono::ceil<std::chrono::milliseconds>(until - Clock::now()).count();
    pollfd events[] = {{wake_, POLLIN, 0}, {folders ? folders->descriptor() : -1, POLLIN, 0}};
    if (::poll(events, 2, static_cast<int>(std::clamp<std::int64_t>(wait, 0, INT_MAX))) <= 0) continue;
    eventfd_t ignored;
    if (events[0].revents != 0) ::eventfd_read(wake_, &ignored);
    if (events[1].revents == 0 || !folders->heard()) continue;
    const auto now = Clock::now();
    if (!firstSign) firstSign = now;
    due = std::min(now + times_.quiet, *firstSign + times_.longest);
  }
}

}  // namespace postern::tls
