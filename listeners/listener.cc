#include "listeners/listener.h"

#include <unistd.h>

#include <string_view>
#include <unordered_map>
#include <utility>

#include "listeners/acceptor.h"
#include "listeners/connection.h"
#include "listeners/household.h"
#include "listeners/refusal.h"

namespace postern::listeners {

// Three threads' things side by side: `settings` and `sockets` are the owner's, `acceptor` is the first loop's, each
// registry is its loop's.
struct Listener::State final : Household, std::enable_shared_from_this<State> {
  using Registry = std::unordered_map<Connection*, std::shared_ptr<Connection>>;

  explicit State(Environment shared) : Household(shared), registries(static_cast<std::size_t>(shared.loops.count())) {}

  ListenerSettings settings;
  std::vector<ListeningSocketRef> sockets;
  std::unique_ptr<Acceptor> acceptor;
  std::vector<Registry> registries;

  void arrived(int fd, const Endpoint& remote);
  void retire(Connection& connection) override;
  void onAll(void (Connection::*call)() noexcept);
};

void Listener::State::arrived(int fd, const Endpoint& remote) {
  auto now = terms.load();
  const bool ours = environment.isOurs(remote);
  const bool inOwn = limits.enter(ours);
  if (!inOwn || !environment.limits.enter(ours)) {
    if (inOwn) limits.leave();
    ++refused;
    sayTooMany(fd, *now);
    ::close(fd);
    if (const auto leftOut = lines.take()) {
      environment.log.info("connection.refused",
                           {{"listener", now->settings.id},
                            {"peer", remote.text()},
                            {"reason", inOwn ? "max-connections" : "max-connections of the listener"},
                            {"left_out", *leftOut}});
    }
    return;
  }
  const std::size_t index = environment.loops.nextIndex();
  auto connection = std::make_shared<Connection>(shared_from_this(), std::move(now), index, fd, remote);
  EventLoop& loop = environment.loops.at(index);
  const auto begin = [this, index](std::shared_ptr<Connection> one) {
    Connection& begun = *one;
    registries[index].emplace(&begun, std::move(one));
    begun.start();
  };
  if (loop.isHere()) return begin(std::move(connection));
  loop.post([begin, connection = std::move(connection)]() mutable { begin(std::move(connection)); });
}

void Listener::State::retire(Connection& connection) {
  environment.loops.at(connection.loop()).post([self = shared_from_this(), gone = &connection] {
    auto& registry = self->registries[gone->loop()];
    const auto found = registry.find(gone);
    if (found == registry.end()) return;
    gone->closeSocket();
    registry.erase(found);
  });
}

// By way of the first loop, so that connections which it has just dealt out are there before.
void Listener::State::onAll(void (Connection::*call)() noexcept) {
  environment.loops.first().post([self = shared_from_this(), call] {
    for (std::size_t i = 0; i < self->registries.size(); ++i) {
      self->environment.loops.at(i).post([self, call, i] {
        for (auto& [key, connection] : self->registries[i]) (connection.get()->*call)();
      });
    }
  });
}

Listener::Listener(Environment environment, ListenerSettings settings, std::shared_ptr<tls::ServerContext> context,
                   SessionFactory sessions)
    : state_(std::make_shared<State>(environment)) {
  configure(std::move(settings), std::move(context), std::move(sessions));
}

Listener::~Listener() {
  stopAccepting();
  state_->environment.loops.first().run([this] { state_->acceptor.reset(); });
  state_->awaitEmpty();
  state_->terms.store(nullptr);  // the context's own references may be gone before a loop lets go of the state
}

const ListenerSettings& Listener::settings() const {
  return state_->settings;
}

void Listener::configure(ListenerSettings settings, std::shared_ptr<tls::ServerContext> context,
                         SessionFactory sessions) {
  state_->limits.set(settings.maxConnections, settings.maxConnectionsPerIp);
  state_->limits.setHandshakes(settings.maxHandshakes, settings.handshakeRate.value_or(Rate{}));
  state_->settings = settings;
  state_->terms.store(
      std::make_shared<const Terms>(Terms{std::move(settings), std::move(context), std::move(sessions)}));
}

void Listener::listenOn(std::vector<ListeningSocketRef> sockets) {
  State& state = *state_;
  // A reload asks each listener to, and most sockets stay: none of them waits for a busy loop then.
  if (!sockets.empty() && sockets == state.sockets) return;
  state.environment.loops.first().run([&] {
    if (!state.acceptor) {
      if (sockets.empty()) return;
      state.acceptor =
          std::make_unique<Acceptor>(state.environment.loops.first().base(), state.environment.log, state.settings.id,
                                     [&state](int fd, const Endpoint& remote) { state.arrived(fd, remote); });
    }
    state.acceptor->listenOn(sockets);
  });
  state.sockets = std::move(sockets);
}

std::vector<ListeningSocketRef> Listener::sockets() const {
  return state_->sockets;
}

void Listener::shutDown() {
  state_->onAll(&Connection::shutDown);
}

void Listener::abort() {
  state_->onAll(&Connection::abort);
}

Counts Listener::counts() const {
  const State& state = *state_;
  Counts counts;
  counts.accepted = state.accepted;
  counts.refused = state.refused;
  counts.open = state.limits.open();
  counts.handshakesCompleted = state.handshakesCompleted;
  counts.handshakesResumed = state.handshakesResumed;
  counts.handshakesFailed = state.handshakesFailed;
  counts.handshakesRefused = state.handshakesRefused;
  return counts;
}

}  // namespace postern::listeners
