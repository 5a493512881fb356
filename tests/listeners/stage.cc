#include "tests/listeners/stage.h"

#include <thread>

#include "tests/listeners/script_session.h"

namespace postern::listeners::testing {

bool eventually(const std::function<bool()>& condition) {
  const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(60);
  while (!condition()) {
    if (std::chrono::steady_clock::now() > end) return false;
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  return true;
}

Tls::Tls(bool challengesOnly) {
  tls::ServingPlan plan;
  plan.listener = "test";
  plan.policy = tls::intermediatePolicy();
  plan.hostnames = {"mail.example.org"};
  plan.answersChallenges = true;
  plan.challengesOnly = challengesOnly;
  if (!challengesOnly) plan.meanwhile = {ca_.issue({"mail.example.org"}), "self-signed", {}};
  context_ = std::make_shared<tls::ServerContext>(plan, store_, tickets_, challenges_, log_);
}

void Tls::present(const std::string& name) {
  challenges_.present(name, tls::makeChallengeCertificate(name, std::string(32, 'd'), clock_.now()));
}

namespace {
LogSettings toFile(const std::string& file) {
  LogSettings settings;
  settings.level = LogLevel::Debug;
  settings.file = file;
  return settings;
}
}  // namespace

Stage::Stage(ListenerSettings settings, std::shared_ptr<tls::ServerContext> context, SessionFactory sessions)
    : log_(toFile((folder_ / "log").string())) {
  if (!sessions) sessions = [](const Peer& peer) { return std::make_shared<ScriptSession>(peer); };
  const Address address{"127.0.0.1", 0};
  if (settings.id.empty()) settings.id = "test";
  settings.bind = {address};
  socket_ = std::make_shared<ListeningSocket>(address, settings.socket, false);
  listener_ = std::make_unique<Listener>(environment(), settings, std::move(context), std::move(sessions));
  listener_->listenOn({socket_});
}

Stage::~Stage() {
  if (!listener_) return;
  listener_->stopAccepting();
  listener_->abort();
}

std::string Stage::logText() const {
  return support::contentOf(folder_ / "log");
}

ListenerSettings plainSettings(Protocol protocol) {
  ListenerSettings settings;
  settings.id = "test";
  settings.protocol = protocol;
  return settings;
}

ListenerSettings implicitSettings() {
  auto settings = plainSettings(Protocol::Imap);
  settings.tls = TlsMode::Implicit;
  return settings;
}

ListenerSettings startTlsSettings() {
  auto settings = plainSettings();
  settings.tls = TlsMode::StartTls;
  return settings;
}

}  // namespace postern::listeners::testing
