#include "server/application.h"

#include <poll.h>

#include <algorithm>
#include <csignal>
#include <iostream>

#include "base/error.h"
#include "base/text.h"
#include "listeners/imap/session.h"
#include "listeners/smtp/session.h"
#include "server/plans.h"
#include "server/privileges.h"
#include "server/reload.h"
#include "server/version.h"

namespace postern::server {

namespace {

// A reload or start that is refused, with every reason, a line each.
struct Refused : std::runtime_error {
  using runtime_error::runtime_error;
};

constexpr int workerThreads = 4;
constexpr std::size_t mostNamesProbed = 100;  // beside a listener's own, after each swap

const RunningListener* find(const RunningListeners& running, const std::string& id) {
  auto found = std::find_if(running.begin(), running.end(),
                            [&](const RunningListener& one) { return one.config.listener.id == id; });
  return found == running.end() ? nullptr : &*found;
}

std::string errorsOf(const config::Diagnostics& diagnostics) {
  std::vector<std::string> lines;
  for (const auto& one : diagnostics.all) {
    if (one.severity == config::Severity::Error) lines.push_back(one.text());
  }
  return joined(lines, "\n");
}

}  // namespace

Application::Application(std::string configFile, Signals& signals)
    : configFile_(std::move(configFile)), signals_(signals), started_(clock_.now()) {}

Application::~Application() = default;

int Application::run() {
  try {
    start();
  } catch (const std::exception& error) {
    std::cerr << error.what() << "\n";
    takeApart();
    return 1;
  }
  serveUntilTold();
  shutDown();
  return 0;
}

// The order matters: bind and create as root, become the user before any thread starts, read as that user what a reload
// will read, and only then accept.
void Application::start() {
  Everything everything = loadAll(configFile_, clock_.now());
  if (!everything.loaded.settings) throw Refused(everything.loaded.diagnostics.text());
  auto settings = std::make_shared<const config::Settings>(*everything.loaded.settings);

  const auto identity = identityOf(settings->runAs);
  prepareDirectories(*settings, identity);
  Bound sockets = bindAll(settings->listeners, {});
  challengeListeners_ = std::make_unique<ChallengeListeners>(clock_, log_);
  challengeListeners_->want(challengeAddresses(*settings));
  control_ = std::make_unique<ControlSocket>(settings->controlSocket, identity);
  if (identity) {
    become(*identity);
    const auto failures = unreadableFiles(settings->files);
    if (!failures.empty()) throw Refused(joined(failures, "\n"));
    const auto again = loadAll(configFile_, clock_.now());
    if (!again.loaded.settings) throw Refused("as " + identity->user + ": " + errorsOf(again.loaded.diagnostics));
  }
  if (const std::string reason = log_.configure(settings->log); !reason.empty()) throw Refused(reason);
  logDiagnostics(everything.loaded.diagnostics);

  serving_ = std::make_unique<Serving>(clock_, log_, [this](const std::string& id) { prober_->request(id); });
  serving_->manager().prepare(acmePlan(*settings));
  statics_ = std::make_unique<StaticCertificates>(clock_, log_, serving_->store());

  workers_ = std::make_unique<listeners::WorkerPool>(workerThreads);
  loops_ = std::make_unique<listeners::EventLoops>(settings->threads);
  const auto targets = [this](const std::string& id, std::uint64_t choice) -> std::vector<ProbeTarget> {
    const auto running = running_.load();
    const auto* one = find(*running, id);
    if (!one || !one->context || one->bound.empty()) return {};
    return probeTargets(one->config.listener, one->bound.front(), *one->context, mostNamesProbed, choice);
  };
  prober_ = std::make_unique<Prober>(log_, targets, &ownVisits_);
  loadState_.store(std::make_shared<const LoadState>(LoadState{clock_.now(), {}}));
  apply(settings, std::move(everything.statics), std::move(sockets));
  control_->serve(
      [this](const Json& request, Rights rights, std::stop_token stop) { return control(request, rights, stop); },
      log_);
  serving_->manager().start();
  log_.info("server.started",
            {{"version", version}, {"config", configFile_}, {"listeners", settings->listeners.size()}});
}

void Application::serveUntilTold() {
  while (!stopping_) {
    pollfd waiting[] = {{signals_.descriptor(), POLLIN, 0}, {tasks_.descriptor(), POLLIN, 0}};
    ::poll(waiting, 2, 1000);
    handleSignals();
    tasks_.run();
    everySecond();
  }
}

void Application::handleSignals() {
  while (const auto signal = signals_.next()) {
    switch (*signal) {
      case SIGHUP: reload(); break;
      case SIGUSR1:
        if (const std::string reason = log_.reopen(); !reason.empty()) {
          log_.error("log.reopen.failed", {{"error", reason}});
          std::cerr << "postern: " << reason << "\n";  // what is written to is out of sight by now
        }
        break;
      default: stopping_ = true; return;
    }
  }
}

void Application::everySecond() {
  challengeListeners_->retry();
  serving_->lookAtExpiry();
  std::erase_if(ending_, [](const std::shared_ptr<listeners::Listener>& listener) {
    return listener->counts().open == 0 && listener.use_count() == 1;
  });
}

void Application::shutDown() {
  log_.info("server.stopping", {{"within", inWords(settings_->shutdownTimeout)}});
  retireAll();
  for (const auto& listener : ending_) listener->shutDown();
  const auto deadline = std::chrono::steady_clock::now() + settings_->shutdownTimeout;
  bool again = false;  // a second signal: at once
  while (sessionsOpen() && !again && std::chrono::steady_clock::now() < deadline) {
    pollfd waiting{signals_.descriptor(), POLLIN, 0};
    ::poll(&waiting, 1, 20);
    while (const auto signal = signals_.next()) again = again || *signal == SIGTERM || *signal == SIGINT;
  }
  takeApart();
  log_.info("server.stopped");
}

bool Application::sessionsOpen() const {
  return std::any_of(ending_.begin(), ending_.end(), [](const auto& listener) { return listener->counts().open > 0; });
}

// Everything in an order in which nothing is used after it is gone; also what a start that failed half-way left.
void Application::takeApart() {
  control_.reset();
  retireAll();
  for (const auto& listener : ending_) listener->abort();
  while (sessionsOpen()) ::poll(nullptr, 0, 5);  // sessions use what is taken apart below
  challengeListeners_.reset();
  statics_.reset();
  if (serving_) {
    serving_->stop();
    serving_->follow(std::make_shared<const RunningListeners>());
  }
  prober_.reset();
  ending_.clear();
  loops_.reset();
  workers_.reset();
  serving_.reset();
}

Application::ReloadResult Application::reload() {
  ReloadResult result = reloadFrom(loadAll(configFile_, clock_.now()));
  const Time now = clock_.now();
  LoadState state = *loadState_.load();
  state.lastReload = Reloaded{now, result.ok, result.error};
  if (result.ok) state.loadedAt = now;
  loadState_.store(std::make_shared<const LoadState>(state));
  if (result.ok) {
    log_.info("config.reload.applied", {{"changes", result.changes.empty() ? "none" : joined(result.changes, "; ")}});
    if (!result.restart.empty()) log_.warn("config.reload.restart_needed", {{"keys", joined(result.restart, ", ")}});
  } else {
    log_.error("config.reload.refused", {{"error", result.error}});
  }
  return result;
}

// Whatever can fail comes before apply(), and changes nothing.
Application::ReloadResult Application::reloadFrom(Everything everything) {
  ReloadResult result;
  if (!everything.loaded.settings) {
    result.error = errorsOf(everything.loaded.diagnostics);
    return result;
  }
  auto wanted = std::make_shared<config::Settings>(*everything.loaded.settings);
  result.restart = keepWhatNeedsRestart(*settings_, *wanted);
  result.changes = differences(*settings_, *wanted);
  Bound sockets;
  const LogSettings logBefore = settings_->log;
  try {
    prepareDirectories(*wanted, {});
    serving_->manager().prepare(acmePlan(*wanted));
    if (const std::string reason = log_.configure(wanted->log); !reason.empty()) throw Refused(reason);
    challengeListeners_->keepOnly(challengeAddresses(*wanted));
    sockets = bindAll(wanted->listeners, held());
  } catch (const std::exception& error) {
    log_.configure(logBefore);
    challengeListeners_->want(challengeAddresses(*settings_));
    serving_->manager().prepare(acmePlan(*settings_));
    result.error = error.what();
    return result;
  }
  logDiagnostics(everything.loaded.diagnostics);
  apply(std::move(wanted), std::move(everything.statics), std::move(sockets));
  result.ok = true;
  return result;
}

void Application::apply(std::shared_ptr<const config::Settings> wanted, Statics statics, Bound sockets) {
  // The old contexts stop following the store: what is no longer wanted is withdrawn from it, and they serve it until
  // their listeners go over.
  serving_->follow(std::make_shared<const RunningListeners>());
  statics_->adopt(std::move(statics), *wanted);
  serving_->events().configure(wanted->eventsHook);
  serving_->manager().apply(acmePlan(*wanted));
  limits_.set(wanted->shared.maxConnections, wanted->shared.maxConnectionsPerIp);
  limits_.setHandshakes(wanted->shared.maxHandshakes, wanted->shared.handshakeRate);

  const auto before = running_.load();
  const listeners::Environment environment{*loops_, *workers_, limits_, log_, &ownVisits_};
  auto next = std::make_shared<RunningListeners>();
  for (const auto& config : wanted->listeners) {
    const auto& id = config.listener.id;
    const RunningListener* old = find(*before, id);
    RunningListener one{config, old ? old->listener : nullptr, nullptr, {}};
    if (config.listener.tls != listeners::TlsMode::Off) {
      one.context = serving_->build(config, *wanted, old ? old->context : nullptr);
    }
    const auto sessions = sessionsOf(config, *wanted);
    if (one.listener) {
      one.listener->configure(config.listener, one.context, sessions);
    } else {
      one.listener = std::make_shared<listeners::Listener>(environment, config.listener, one.context, sessions);
    }
    for (const auto& socket : sockets[id]) {
      socket->tune(config.listener.socket);
      one.bound.push_back(socket->bound());
    }
    next->push_back(std::move(one));
  }
  // Contexts follow the store before anybody is accepted; sockets go over after every listener stands, so that an
  // address that moves is given up by one and taken by the other with nobody turned away.
  serving_->follow(next);
  for (const auto& old : *before) {
    if (!find(*next, old.config.listener.id)) retire(old.listener);
  }
  for (const auto& one : *next) one.listener->listenOn(sockets[one.config.listener.id]);
  settings_ = std::move(wanted);
  running_.store(next);
  challengeListeners_->listen(environment, *serving_);
  challengeListeners_->want(challengeAddresses(*settings_));  // tries again what could not be bound, and says so
  for (const auto& one : *next) {
    if (one.context) prober_->request(one.config.listener.id);
  }
}

std::vector<Held> Application::held() const {
  std::vector<Held> result;
  const auto running = running_.load();
  for (const auto& one : *running) {
    for (const auto& socket : one.listener->sockets()) result.push_back({one.config.listener.id, socket});
  }
  return result;
}

void Application::retire(std::shared_ptr<listeners::Listener> listener) {
  listener->stopAccepting();
  ending_.push_back(std::move(listener));
}

void Application::retireAll() {
  const auto last = running_.exchange(std::make_shared<const RunningListeners>());
  for (const auto& one : *last) retire(one.listener);
}

void Application::logDiagnostics(const config::Diagnostics& diagnostics) {
  for (const auto& one : diagnostics.all) {
    switch (one.severity) {
      case config::Severity::Error: break;  // refuses the load, which says so itself
      case config::Severity::Warning: log_.warn("config.warning", {{"message", one.text()}}); break;
      case config::Severity::Note: log_.info("config.note", {{"message", one.text()}}); break;
    }
  }
}

listeners::SessionFactory Application::sessionsOf(const config::ListenerConfig& listener,
                                                  const config::Settings& settings) {
  const auto config = std::make_shared<const listeners::ListenerSettings>(listener.listener);  // one for all sessions
  auto accounts = std::make_shared<const mail::Accounts>(settings.accounts);
  switch (config->protocol) {
    case listeners::Protocol::Smtp: {
      std::shared_ptr<const mail::Delivery> delivery;
      if (!settings.maildir.empty()) delivery = std::make_shared<const mail::MaildirDelivery>(settings.maildir);
      return [config, accounts, delivery, &log = log_](const listeners::Peer& peer) {
        return std::make_shared<smtp::Session>(config, peer, accounts, delivery, log);
      };
    }
    case listeners::Protocol::Imap:
      return [config, accounts, maildir = settings.maildir, &log = log_](const listeners::Peer& peer) {
        return std::make_shared<imap::Session>(config, peer, accounts, maildir, log);
      };
    case listeners::Protocol::Http:
      return [this, config](const listeners::Peer& peer) {
        return std::make_shared<http::Session>(
            *config, peer,
            [this, metrics = config->metrics](const http::Request& request) { return answerHttp(request, metrics); });
      };
    case listeners::Protocol::ChallengeOnly: break;  // challenge_listeners.cc: no session is ever made
  }
  return nullptr;
}

http::Response Application::answerHttp(const http::Request& request, bool metrics) {
  if (request.path == "/healthz") return {200, "text/plain; charset=utf-8", "ok\n"};
  if (request.path == "/metrics" && metrics) {
    return {200, "text/plain; version=0.0.4; charset=utf-8", metricsText(view())};
  }
  if (auto answer = challengeResponse(serving_->httpChallenges(), request)) return *std::move(answer);
  return {404, "text/plain; charset=utf-8", "not found\n"};
}

View Application::view() const {
  const auto load = loadState_.load();
  return {clock_.now(),
          started_,
          load->loadedAt,
          configFile_,
          load->lastReload,
          running_.load(),
          serving_->manager().status(),
          challengeListeners_->errors(),
          prober_->failures()};
}

}  // namespace postern::server
