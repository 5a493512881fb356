// Listener: accepts on its sockets and carries each connection to its end.
//
// Made, changed and ended by one thread (server/'s); counts may be read by any. Sockets are accepted on the first loop,
// connections dealt to all. A change applies to connections accepted from then on; open ones go on as they began.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include "base/log.h"
#include "listeners/event_loop.h"
#include "listeners/limits.h"
#include "listeners/own_visits.h"
#include "listeners/session.h"
#include "listeners/settings.h"
#include "listeners/socket.h"
#include "listeners/worker_pool.h"
#include "tls/server_context.h"

namespace postern::listeners {

// What all listeners share; outlives them.
struct Environment {
  EventLoops& loops;
  WorkerPool& workers;
  Limits& limits;  // over all listeners
  Log& log;
  const OwnVisits* ownVisits = nullptr;

  bool isOurs(const Endpoint& peer) const { return ownVisits != nullptr && ownVisits->include(peer); }
};

// Makes the engine of one connection. Called on a loop's thread.
using SessionFactory = std::function<std::shared_ptr<Session>(const Peer& peer)>;

struct Counts {
  std::uint64_t accepted = 0, refused = 0;  // connections since the start
  std::uint64_t open = 0;
  std::uint64_t handshakesCompleted = 0, handshakesResumed = 0, handshakesFailed = 0;
  std::uint64_t handshakesRefused = 0;  // for a limit, before they began; `refused` counts them too
};

class Listener {
 public:
  // `context` is null for a listener without TLS; it may be set later by configure(). Does not accept yet.
  Listener(Environment environment, ListenerSettings settings, std::shared_ptr<tls::ServerContext> context,
           SessionFactory sessions);
  // Stops accepting and waits until the open connections are gone: call shutDown() or abort() before, or let them end.
  ~Listener();
  Listener(const Listener&) = delete;
  Listener& operator=(const Listener&) = delete;

  const ListenerSettings& settings() const;
  // For connections from now on.
  void configure(ListenerSettings settings, std::shared_ptr<tls::ServerContext> context, SessionFactory sessions);

  // Accepts on exactly these from now on; those left out are given up (closed when nobody else holds them).
  void listenOn(std::vector<ListeningSocketRef> sockets);
  std::vector<ListeningSocketRef> sockets() const;
  void stopAccepting() { listenOn({}); }

  // Tells every session good-bye (after the step it is in) and closes; handshakes under way are cut.
  void shutDown();
  // Closes every connection now.
  void abort();

  Counts counts() const;

 private:
  struct State;
  std::shared_ptr<State> state_;
};

}  // namespace postern::listeners
