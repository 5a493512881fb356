#include "server/control_socket.h"

#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <stdexcept>
#include <utility>
#include <vector>

#include "base/error.h"

namespace postern::server {

namespace {

constexpr std::size_t longestLine = 64 << 10;  // of a request; answers may be longer
constexpr std::size_t mostClients = 32;

class Descriptor {
 public:
  explicit Descriptor(int descriptor) : descriptor_(descriptor) {}
  ~Descriptor() {
    if (descriptor_ >= 0) ::close(descriptor_);
  }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  int get() const { return descriptor_; }
  int release() { return std::exchange(descriptor_, -1); }

 private:
  int descriptor_;
};

sockaddr_un addressOf(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof address.sun_path) {
    throw SystemError("control.socket " + path + " is longer than " + std::to_string(sizeof address.sun_path - 1) +
                          " bytes; choose a shorter path",
                      ENAMETOOLONG);
  }
  std::memcpy(address.sun_path, path.c_str(), path.size() + 1);
  return address;
}

int connectTo(const std::string& path) {  // the descriptor, or -errno
  const sockaddr_un address = addressOf(path);
  Descriptor descriptor(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (descriptor.get() < 0) return -errno;
  if (::connect(descriptor.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) return -errno;
  return descriptor.release();
}

void sendAll(int descriptor, std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t sent = ::send(descriptor, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (sent < 0 && errno == EINTR) continue;
    if (sent <= 0) throw SystemError("cannot write to the control socket", errno);
    bytes.remove_prefix(static_cast<std::size_t>(sent));
  }
}

// Waits for the descriptor to be readable, looking at `stop` a few times a second: poll knows nothing of stop tokens.
bool readable(int descriptor, std::stop_token stop) {
  while (!stop.stop_requested()) {
    pollfd waiting{descriptor, POLLIN, 0};
    if (::poll(&waiting, 1, 200) > 0) return true;
  }
  return false;
}

// One line without its line feed; nothing at the end of input, on a stop, or past `limit`.
std::optional<std::string> readLine(int descriptor, std::size_t limit, std::stop_token stop) {
  std::string line;
  char buffer[4096];
  while (readable(descriptor, stop)) {
    const ssize_t got = ::recv(descriptor, buffer, sizeof buffer, 0);
    if (got <= 0) return {};
    line.append(buffer, static_cast<std::size_t>(got));
    const auto end = line.find('\n');
    if (end != std::string::npos) return line.substr(0, end);
    if (line.size() > limit) return {};
  }
  return {};
}

Rights rightsOf(int descriptor, uid_t uid, gid_t gid) {
  ucred peer{};
  socklen_t length = sizeof peer;
  if (::getsockopt(descriptor, SOL_SOCKET, SO_PEERCRED, &peer, &length) != 0) return Rights::None;
  if (peer.uid == 0 || peer.uid == uid) return Rights::All;
  if (peer.gid == gid) return Rights::Group;
  std::vector<gid_t> groups(1024);
  socklen_t bytes = static_cast<socklen_t>(groups.size() * sizeof(gid_t));
  if (::getsockopt(descriptor, SOL_SOCKET, SO_PEERGROUPS, groups.data(), &bytes) != 0) return Rights::None;
  groups.resize(bytes / sizeof(gid_t));
  return std::find(groups.begin(), groups.end(), gid) != groups.end() ? Rights::Group : Rights::None;
}

}  // namespace

ControlSocket::ControlSocket(std::string path, const std::optional<Identity>& owner)
    : path_(std::move(path)), uid_(owner ? owner->uid : ::geteuid()), gid_(owner ? owner->gid : ::getegid()) {
  const sockaddr_un address = addressOf(path_);
  const int answer = connectTo(path_);
  if (answer >= 0) {
    ::close(answer);
    throw PrivilegeError("another server answers at control.socket " + path_ +
                         "; stop it, or give this one a control.socket of its own");
  }
  struct stat info {};
  const bool stale = answer == -ECONNREFUSED && ::stat(path_.c_str(), &info) == 0 && S_ISSOCK(info.st_mode);
  if (stale) ::unlink(path_.c_str());
  Descriptor made(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  const mode_t before = ::umask(0117);  // nobody may connect before the mode is right
  const bool bound =
      made.get() >= 0 && ::bind(made.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0;
  const int reason = errno;
  ::umask(before);
  if (!bound) {
    throw SystemError("cannot bind control.socket " + path_ + " (its directory is " +
                          ownership(path_.substr(0, path_.rfind('/') + 1)) + ")",
                      reason);
  }
  if (::chmod(path_.c_str(), 0660) != 0 || (owner && ::geteuid() == 0 && ::chown(path_.c_str(), uid_, gid_) != 0) ||
      ::listen(made.get(), 64) != 0 || ::stat(path_.c_str(), &info) != 0) {
    const int failed = errno;
    ::unlink(path_.c_str());
    throw SystemError("cannot set up control.socket " + path_, failed);
  }
  device_ = info.st_dev;
  inode_ = info.st_ino;
  descriptor_ = made.release();
}

ControlSocket::~ControlSocket() {
  thread_ = {};  // requests a stop and joins; the clients' threads end with the list
  clients_.clear();
  ::close(descriptor_);
  struct stat info {};
  if (::stat(path_.c_str(), &info) == 0 && info.st_dev == device_ && info.st_ino == inode_) ::unlink(path_.c_str());
}

void ControlSocket::serve(ControlHandler handler, Log& log) {
  handler_ = std::move(handler);
  log_ = &log;
  thread_ = std::jthread([this](std::stop_token stop) { accept(stop); });
}

void ControlSocket::accept(std::stop_token stop) {
  while (readable(descriptor_, stop)) {
    clients_.remove_if([](const Client& client) { return client.done.load(); });
    Descriptor connection(::accept4(descriptor_, nullptr, nullptr, SOCK_CLOEXEC));
    if (connection.get() < 0) {
      // EMFILE leaves the connection in the queue: without a pause this loop would spin.
      if (errno != EAGAIN && errno != EINTR && errno != ECONNABORTED) ::poll(nullptr, 0, 200);
      continue;
    }
    if (clients_.size() >= mostClients) continue;
    Client& client = clients_.emplace_back();
    client.thread = std::jthread([this, &client, descriptor = connection.release()](std::stop_token clientStop) {
      answer(descriptor, clientStop);
      client.done = true;
    });
  }
}

void ControlSocket::answer(int descriptor, std::stop_token stop) {
  Descriptor connection(descriptor);
  try {
    const Rights rights = rightsOf(descriptor, uid_, gid_);
    while (auto line = readLine(descriptor, longestLine, stop)) {
      Json reply;
      const auto request = Json::parse(*line);
      if (!request || !request->isObject()) {
        reply = Json::Object{{"ok", false}, {"error", "a request is one JSON object on one line"}};
      } else if (rights == Rights::None) {
        reply =
            Json::Object{{"ok", false}, {"error", "only root, the server's user and its group may ask this server"}};
      } else {
        reply = handler_(*request, rights, stop);
      }
      sendAll(descriptor, reply.dump() + "\n");
    }
  } catch (const std::exception& error) {
    log_->debug("control.failed", {{"error", error.what()}});
  }
}

Json askServer(const std::string& path, const Json& request, std::stop_token stop) {
  const int connected = connectTo(path);
  if (connected < 0) {
    const std::string remedy = connected == -EACCES ? "become root, the server's user, or a member of its group"
                                                    : "is the server running, and with this control.socket?";
    throw SystemError("cannot reach the server at " + path + " (" + remedy + ")", -connected);
  }
  Descriptor connection(connected);
  sendAll(connected, request.dump() + "\n");
  const auto line = readLine(connected, 256 << 20, std::move(stop));
  if (!line) throw std::runtime_error("the server at " + path + " closed the connection without an answer");
  const auto answer = Json::parse(*line);
  if (!answer) throw std::runtime_error("the server at " + path + " did not answer in JSON");
  return *answer;
}

}  // namespace postern::server
