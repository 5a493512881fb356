// Application: the life of a running server: start, reloads, shutdown.
//
// main's thread constructs it and calls run(); listeners are made, changed and ended by that thread alone. What other
// threads want of it (control socket, metrics) is read from snapshots or posted to it.
#pragma once

#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/log.h"
#include "base/snapshot.h"
#include "config/load.h"
#include "listeners/event_loop.h"
#include "listeners/http/session.h"
#include "listeners/limits.h"
#include "listeners/own_visits.h"
#include "listeners/worker_pool.h"
#include "server/challenge_listeners.h"
#include "server/control_socket.h"
#include "server/load_all.h"
#include "server/probe.h"
#include "server/serving.h"
#include "server/signals.h"
#include "server/sockets.h"
#include "server/static_certificates.h"
#include "server/status.h"
#include "server/task_queue.h"

namespace postern::server {

class Application {
 public:
  // `signals` were blocked before any thread started.
  Application(std::string configFile, Signals& signals);
  ~Application();

  // Loads, binds, becomes the run-as user, serves until SIGTERM. Returns the exit status; the reasons for another than
  // 0 are on stderr.
  int run();

 private:
  struct ReloadResult {
    bool ok = false;
    std::string error;                 // every reason, a line each
    std::vector<std::string> changes;  // in words
    std::vector<std::string> restart;  // keys that need a restart
  };

  using Statics = std::map<tls::CertificateId, tls::CertifiedKeyRef>;
  using Bound = std::map<std::string, std::vector<listeners::ListeningSocketRef>>;

  void start();
  void serveUntilTold();
  void handleSignals();
  void everySecond();
  void shutDown();
  bool sessionsOpen() const;
  void takeApart();

  ReloadResult reload();
  ReloadResult reloadFrom(Everything everything);
  void apply(std::shared_ptr<const config::Settings> wanted, Statics statics, Bound sockets);
  std::vector<Held> held() const;
  void retire(std::shared_ptr<listeners::Listener> listener);
  void retireAll();
  void logDiagnostics(const config::Diagnostics& diagnostics);

  listeners::SessionFactory sessionsOf(const config::ListenerConfig& listener, const config::Settings& settings);
  http::Response answerHttp(const http::Request& request, bool metrics);

  Json control(const Json& request, Rights rights, std::stop_token stop);
  Json controlReload(std::stop_token stop);
  Json controlRenew(const Json& request, Rights rights, std::stop_token stop);
  Json controlRevoke(const Json& request, Rights rights, std::stop_token stop);
  Json controlAccount(const Json& request, Rights rights, std::stop_token stop);
  View view() const;

  const std::string configFile_;
  Signals& signals_;
  SystemClock clock_;
  Log log_;
  const Time started_;

  std::shared_ptr<const config::Settings> settings_;
  Snapshot<RunningListeners> running_{std::make_shared<const RunningListeners>()};
  struct LoadState {
    Time loadedAt;
    std::optional<Reloaded> lastReload;
  };
  Snapshot<LoadState> loadState_;

  TaskQueue tasks_;
  std::unique_ptr<ControlSocket> control_;
  std::unique_ptr<listeners::WorkerPool> workers_;
  std::unique_ptr<listeners::EventLoops> loops_;
  listeners::Limits limits_;
  listeners::OwnVisits ownVisits_;
  std::unique_ptr<Prober> prober_;
  std::unique_ptr<Serving> serving_;
  std::unique_ptr<StaticCertificates> statics_;
  std::unique_ptr<ChallengeListeners> challengeListeners_;
  std::vector<std::shared_ptr<listeners::Listener>> ending_;  // removed; their sessions end by themselves
  bool stopping_ = false;
};

}  // namespace postern::server
