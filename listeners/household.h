// Household: what the connections of one listener share with it: limits, counts, the log.
//
// Kept alive by each connection. Counts and limits: any thread.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>

#include "base/snapshot.h"
#include "listeners/limits.h"
#include "listeners/listener.h"
#include "listeners/log_budget.h"

namespace postern::listeners {

class Connection;

// What the configuration says about connections from now on; one that began keeps what it began with.
struct Terms {
  ListenerSettings settings;
  std::shared_ptr<tls::ServerContext> context;
  SessionFactory sessions;

  // A challenge-only listener is implicit TLS whatever else its settings say.
  bool implicitTls() const { return settings.tls == TlsMode::Implicit || settings.protocol == Protocol::ChallengeOnly; }
};

struct Household {
  explicit Household(Environment shared) : environment(shared) {}
  virtual ~Household() = default;

  // The connection wants to be freed, once whoever calls it now has returned. On its loop.
  virtual void retire(Connection& connection) = 0;

  const Environment environment;
  Snapshot<Terms> terms;  // of now
  Limits limits;          // of this listener
  LogBudget lines;
  std::atomic<std::uint64_t> accepted{0}, refused{0};
  std::atomic<std::uint64_t> handshakesCompleted{0}, handshakesResumed{0}, handshakesFailed{0}, handshakesRefused{0};

  // Connections that exist, with those whose work has outlived their socket.
  void arrived() {
    std::lock_guard lock(mutex_);
    ++living_;
  }
  void departed() {
    std::lock_guard lock(mutex_);
    if (--living_ == 0) empty_.notify_all();
  }
  void awaitEmpty() {
    std::unique_lock lock(mutex_);
    empty_.wait(lock, [this] { return living_ == 0; });
  }

 private:
  std::mutex mutex_;
  std::condition_variable empty_;
  std::size_t living_ = 0;
};

}  // namespace postern::listeners
