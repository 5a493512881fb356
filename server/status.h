// Status: what `postern status --json` and /metrics show: what is served, not what is stored (contract, section 5).
//
// Pure functions of a View. The View is a snapshot taken by the application; taking and showing it may happen on any
// thread.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "acme/manager.h"
#include "base/clock.h"
#include "base/json.h"
#include "config/settings.h"
#include "listeners/listener.h"
#include "tls/server_context.h"

namespace postern::server {

// A listener as it runs. Shared, because a look at the status may hold it a moment longer than the application does.
struct RunningListener {
  config::ListenerConfig config;
  std::shared_ptr<listeners::Listener> listener;
  std::shared_ptr<tls::ServerContext> context;  // null without TLS
  std::vector<listeners::Address> bound;
};
using RunningListeners = std::vector<RunningListener>;

struct Reloaded {
  Time at;
  bool ok = true;
  std::string error;  // every reason, a line each
};

struct View {
  Time now, started, loadedAt;
  std::string configPath;
  std::optional<Reloaded> lastReload;
  std::shared_ptr<const RunningListeners> listeners;
  acme::Status acme;
  std::map<std::string, acme::LastError> challengeErrors;  // by provider: its challenge port could not be opened
  std::uint64_t probeFailures = 0;
};

Json statusJson(const View& view);
// The same for a person: a table of listeners, one of certificates, one of providers.
std::string statusText(const Json& status);
// Prometheus text format, version 0.0.4.
std::string metricsText(const View& view);

}  // namespace postern::server
