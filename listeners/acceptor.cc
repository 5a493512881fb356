#include "listeners/acceptor.h"

#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "base/error.h"

namespace postern::listeners {

namespace {
constexpr std::chrono::milliseconds pauseTime{100};
constexpr int maxPerTurn = 256;  // then the other events of this loop have their turn; the rest is still there after it
}  // namespace

Acceptor::Acceptor(event_base* base, Log& log, std::string listener, Arrived arrived)
    : base_(base),
      log_(log),
      listener_(std::move(listener)),
      arrived_(std::move(arrived)),
      resume_(evtimer_new(base, onResume, this)) {
  if (!resume_) throw SystemError("cannot make a timer", ENOMEM);
}

Acceptor::~Acceptor() = default;

void Acceptor::onReady(evutil_socket_t, short, void* source) noexcept {
  auto& from = *static_cast<Source*>(source);
  from.owner.accept(from);
}
void Acceptor::onResume(evutil_socket_t, short, void* self) noexcept {
  static_cast<Acceptor*>(self)->resume();
}

void Acceptor::listenOn(const std::vector<ListeningSocketRef>& sockets) {
  std::vector<std::unique_ptr<Source>> next;
  for (const auto& socket : sockets) {
    const auto kept = std::find_if(sources_.begin(), sources_.end(),
                                   [&](const auto& source) { return source && source->socket == socket; });
    if (kept != sources_.end()) {
      next.push_back(std::move(*kept));
      continue;
    }
    auto source = std::make_unique<Source>(Source{*this, socket, nullptr});
    source->event.reset(event_new(base_, socket->descriptor(), EV_READ | EV_PERSIST, onReady, source.get()));
    if (!source->event || (!paused_ && event_add(source->event.get(), nullptr) != 0)) {
      throw SystemError("cannot watch " + socket->bound().text(), ENOMEM);
    }
    next.push_back(std::move(source));
  }
  sources_ = std::move(next);  // the others' events go before their sockets
}

void Acceptor::accept(Source& source) {
  for (int turn = 0; turn < maxPerTurn; ++turn) {
    sockaddr_storage address{};
    socklen_t length = sizeof address;
    const int fd = ::accept4(source.socket->descriptor(), reinterpret_cast<sockaddr*>(&address), &length,
                             SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd >= 0) {
      short_ = false;
      arrived_(fd, endpointOf(address));
      continue;
    }
    switch (errno) {
      case EAGAIN: return;
      case EMFILE:
      case ENFILE:
      case ENOBUFS:
      case ENOMEM: return pause(errno);
      default: continue;  // that one connection's error (ECONNABORTED, EPROTO, EINTR...); the next may be well
    }
  }
}

void Acceptor::pause(int error) {
  if (!std::exchange(short_, true)) {
    log_.warn("listener.accept.paused",
              {{"listener", listener_},
               {"error", errnoText(error)},
               {"remedy", "raise the limit of open files (LimitNOFILE=, ulimit -n) or lower max-connections"}});
  }
  paused_ = true;
  for (const auto& source : sources_) event_del(source->event.get());
  const auto wait = toTimeval(pauseTime);
  evtimer_add(resume_.get(), &wait);
}

void Acceptor::resume() {
  paused_ = false;
  for (const auto& source : sources_) event_add(source->event.get(), nullptr);
}

}  // namespace postern::listeners
