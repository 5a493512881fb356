// Stage: loops, workers, a log in a file and one listener on a free port, for tests with real sockets on loopback.
//
// Used by one thread, the test's. A condition that does not come true within a minute is a failure.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/log.h"
#include "listeners/listener.h"
#include "tests/support/temporary_folder.h"
#include "tests/support/test_certificates.h"
#include "tls/server_context.h"

namespace postern::listeners::testing {

// True as soon as `condition` is; false after a minute.
bool eventually(const std::function<bool()>& condition);

// A ServerContext with a certificate for mail.example.org.
class Tls {
 public:
  explicit Tls(bool challengesOnly = false);
  std::shared_ptr<tls::ServerContext> context() const { return context_; }
  // Puts up the answer to a challenge for `name`.
  void present(const std::string& name);

 private:
  SystemClock clock_;
  Log log_;
  postern::testing::TestCa ca_;
  tls::CertificateStore store_;
  tls::TicketKeys tickets_{clock_};
  tls::AlpnChallenges challenges_;
  std::shared_ptr<tls::ServerContext> context_;
};

class Stage {
 public:
  // `settings.bind` is filled in; the sessions are ScriptSessions unless told otherwise.
  explicit Stage(ListenerSettings settings = {}, std::shared_ptr<tls::ServerContext> context = nullptr,
                 SessionFactory sessions = nullptr);
  ~Stage();

  Listener& listener() { return *listener_; }
  Limits& limits() { return limits_; }
  OwnVisits& ownVisits() { return ownVisits_; }
  Environment environment() { return {loops_, workers_, limits_, log_, &ownVisits_}; }
  ListeningSocketRef socket() const { return socket_; }
  std::uint16_t port() const { return socket_->bound().port; }
  // Ends the listener and waits for its connections, as its owner would.
  void close() { listener_.reset(); }

  std::string logText() const;
  bool logged(const std::string& text) {
    return eventually([&] { return logText().find(text) != std::string::npos; });
  }
  bool empties() {
    return eventually([&] { return listener_->counts().open == 0; });
  }

 private:
  support::TemporaryFolder folder_;
  Log log_;
  EventLoops loops_{2};
  WorkerPool workers_{2};
  Limits limits_;
  OwnVisits ownVisits_;
  ListeningSocketRef socket_;
  std::unique_ptr<Listener> listener_;
};

// A listener that speaks plain text to ScriptSessions, with times short enough for a test to wait for.
ListenerSettings plainSettings(Protocol protocol = Protocol::Smtp);
ListenerSettings implicitSettings();
ListenerSettings startTlsSettings();

}  // namespace postern::listeners::testing
