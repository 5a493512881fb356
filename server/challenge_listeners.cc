#include "server/challenge_listeners.h"

#include <algorithm>

#include "base/error.h"
#include "base/text.h"

namespace postern::server {

ChallengeListeners::ChallengeListeners(const Clock& clock, Log& log) : clock_(clock), log_(log) {}

ChallengeListeners::~ChallengeListeners() {
  end(std::move(all_));
}

void ChallengeListeners::end(std::vector<One> these) {
  for (auto& one : these) {
    if (!one.listener) continue;
    one.listener->stopAccepting();
    one.listener->abort();
  }
}

void ChallengeListeners::keepOnly(const std::vector<ChallengeAddress>& addresses) {
  std::vector<One> kept, others;
  for (auto& one : all_) {
    const bool wanted = std::any_of(addresses.begin(), addresses.end(), [&](const ChallengeAddress& address) {
      return address.address == one.address.address;
    });
    (wanted ? kept : others).push_back(std::move(one));
  }
  all_ = std::move(kept);
  end(std::move(others));
}

void ChallengeListeners::want(const std::vector<ChallengeAddress>& addresses) {
  keepOnly(addresses);
  {
    std::lock_guard lock(mutex_);
    errors_.clear();
  }
  for (const auto& address : addresses) {
    auto same =
        std::find_if(all_.begin(), all_.end(), [&](const One& one) { return one.address.address == address.address; });
    if (same == all_.end()) same = all_.insert(all_.end(), One{address, nullptr, nullptr});
    same->address = address;
    if (!same->socket) bind(*same);
    if (environment_ && same->socket && !same->listener) accept(*same);
  }
}

void ChallengeListeners::listen(const listeners::Environment& environment, Serving& serving) {
  environment_.emplace(environment);
  serving_ = &serving;
  for (auto& one : all_) {
    if (one.socket && !one.listener) accept(one);
  }
}

void ChallengeListeners::retry() {
  if (clock_.now() - lastTry_ < std::chrono::minutes(1)) return;
  for (auto& one : all_) {
    if (one.socket) continue;
    bind(one);
    if (!one.socket) continue;
    if (environment_) accept(one);
    std::lock_guard lock(mutex_);
    for (const auto& provider : one.address.providers) errors_.erase(provider);
  }
}

std::map<std::string, acme::LastError> ChallengeListeners::errors() const {
  std::lock_guard lock(mutex_);
  return errors_;
}

void ChallengeListeners::bind(One& one) {
  lastTry_ = clock_.now();
  try {
    const auto& address = one.address.address;
    one.socket = std::make_shared<listeners::ListeningSocket>(address, listeners::SocketOptions{}, false);
    log_.info("acme.challenge_port.open", {{"address", address.text()}, {"providers", joined(one.address.providers)}});
  } catch (const SystemError& error) {
    const std::string detail =
        std::string(error.what()) + "; without it no tls-alpn-01 challenge can be answered; tried again every minute";
    log_.error(
        "acme.challenge_port.failed",
        {{"address", one.address.address.text()}, {"providers", joined(one.address.providers)}, {"error", detail}});
    std::lock_guard lock(mutex_);
    for (const auto& provider : one.address.providers) {
      errors_[provider] = {"postern:challenge-port", detail, "", lastTry_};
    }
  }
}

void ChallengeListeners::accept(One& one) {
  listeners::ListenerSettings settings;
  settings.id = "acme-challenge " + one.address.address.text();
  settings.protocol = listeners::Protocol::ChallengeOnly;
  settings.bind = {one.address.address};
  settings.hostnames = {"localhost"};
  settings.tls = listeners::TlsMode::Implicit;
  settings.tlsTimeout = std::chrono::seconds(30);
  settings.maxConnections = 256;
  one.listener = std::make_unique<listeners::Listener>(*environment_, settings,
                                                       serving_->buildChallengeOnly(settings.id), nullptr);
  one.listener->listenOn({one.socket});
}

}  // namespace postern::server
