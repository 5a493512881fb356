// Serving: what all listeners serve: the store of certificates, the manager that fills it, the contexts that show it.
//
// The application's thread changes it; a certificate that the manager publishes reaches the contexts on the manager's
// thread. Contexts are listed in a snapshot, so that neither waits for the other.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "acme/http_challenges.h"
#include "acme/manager.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/snapshot.h"
#include "server/events.h"
#include "server/status.h"
#include "tls/alpn_challenges.h"
#include "tls/certificate_store.h"
#include "tls/server_context.h"
#include "tls/ticket_keys.h"

namespace postern::server {

class Serving {
 public:
  // `swapped` is called with a listener's id after it went over to another certificate, its own or a further name's.
  // Any thread.
  Serving(Clock& clock, Log& log, std::function<void(const std::string& listener)> swapped);
  ~Serving();

  acme::Manager& manager() { return *manager_; }
  // Ends the orders and with them every swap; manager() is gone. For the end of the server.
  void stop() { manager_.reset(); }
  tls::CertificateStore& store() { return store_; }
  const acme::HttpChallenges& httpChallenges() const { return httpChallenges_; }
  EventHook& events() { return events_; }

  // The context of a listener, built aside and listed nowhere yet; or `before`, the one that the listener had until now
  // (null: none), where nothing of it changes: else each reload that a session outlives would cost the memory of all
  // names once more. Throws tls::Error.
  std::shared_ptr<tls::ServerContext> build(const config::ListenerConfig& listener, const config::Settings& settings,
                                            const std::shared_ptr<tls::ServerContext>& before);
  // A context that answers challenges and speaks to nobody else.
  std::shared_ptr<tls::ServerContext> buildChallengeOnly(const std::string& id);

  // The contexts that follow the store from now on.
  void follow(std::shared_ptr<const RunningListeners> running);
  // What time alone changes: self-signed certificates that run out within a day are renewed; one of two key types that
  // has expired is no longer preferred; one of another source that is served expired is an error in the log, once.
  void lookAtExpiry();

 private:
  tls::Served meanwhile(const tls::ServingPlan& plan, const tls::Served& before);
  tls::Served selfSigned(const tls::ServingPlan& plan);
  void refresh();
  void saySwapped(const RunningListener& one);

  Clock& clock_;
  Log& log_;
  std::function<void(const std::string&)> swapped_;
  tls::CertificateStore store_;
  tls::AlpnChallenges challenges_;
  acme::HttpChallenges httpChallenges_;
  tls::TicketKeys tickets_;
  Snapshot<RunningListeners> running_{std::make_shared<const RunningListeners>()};
  EventHook events_;
  std::unique_ptr<acme::Manager> manager_;
  std::uint64_t subscription_;
  // What the caches hold, read when the first listener needs it and forgotten when all are built.
  std::optional<std::vector<std::pair<std::string, tls::CertifiedKeyRef>>> cached_;
  std::set<std::pair<std::string, std::string>> saidExpired_;  // listener and serial; of lookAtExpiry() alone
};

}  // namespace postern::server
