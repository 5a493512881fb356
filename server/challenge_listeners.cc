#include "server/challenge_listeners.h"

#include <algorithm>

#include "acme/solver.h"
#include "base/error.h"
#include "base/text.h"

namespace postern::server {

std::optional<http::Response> challengeResponse(const acme::HttpChallenges& challenges, const http::Request& request) {
  static constexpr std::string_view route = "/.well-known/acme-challenge/";
  if (!request.path.starts_with(route)) return {};
  auto answer = challenges.find(std::string_view(request.path).substr(route.size()));
  if (!answer) return {};
  return http::Response{200, "application/octet-stream", std::move(*answer)};
}

ChallengeListeners::ChallengeListeners(const Clock& clock, Log& log) : clock_(clock), log_(log) {}

ChallengeListeners::~ChallengeListeners() {
  end(std::move(all_));
}

bool ChallengeListeners::same(const ChallengeAddress& one, const ChallengeAddress& other) {
  return one.address == other.address && one.type == other.type;
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
    const bool wanted = std::any_of(addresses.begin(), addresses.end(),
                                    [&](const ChallengeAddress& address) { return same(address, one.address); });
    (wanted ? kept : others).push_back(std::move(one));
  }
  all_ = std::move(kept);
  end(std::move(others));
}

void ChallengeListeners::want(const std::vector<ChallengeAddress>& addresses) {
  keepOnly(addresses);
  for (const auto& address : addresses) {
    auto one = std::find_if(all_.begin(), all_.end(), [&](const One& old) { return same(old.address, address); });
    if (one == all_.end()) one = all_.insert(all_.end(), One{address, nullptr, nullptr, {}});
    one->address = address;
    if (!one->socket) bind(*one);
    if (environment_ && one->socket && !one->listener) accept(*one);
  }
  publishErrors();
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
    if (one.socket && environment_) accept(one);
  }
  publishErrors();
}

// A provider may need two addresses; one that is open does not hide the other's error.
void ChallengeListeners::publishErrors() {
  std::lock_guard lock(mutex_);
  errors_.clear();
  for (const auto& one : all_) {
    if (!one.error) continue;
    for (const auto& provider : one.address.providers) errors_[provider] = *one.error;
  }
}

std::map<std::string, acme::LastError> ChallengeListeners::errors() const {
  std::lock_guard lock(mutex_);
  return errors_;
}

void ChallengeListeners::bind(One& one) {
  lastTry_ = clock_.now();
  one.error.reset();
  const std::string type(acme::nameOf(one.address.type));
  try {
    const auto& address = one.address.address;
    one.socket = std::make_shared<listeners::ListeningSocket>(address, listeners::SocketOptions{}, false);
  } catch (const SystemError& error) {
    const std::string detail =
        std::string(error.what()) + "; without it no " + type + " challenge can be answered; tried again every minute";
    if (environment_) {
      log_.error("acme.challenge_port.failed", {{"address", one.address.address.text()},
                                                {"challenge", type},
                                                {"providers", joined(one.address.providers)},
                                                {"error", detail}});
    }
    one.error = acme::LastError{"postern:challenge-port", detail, "", lastTry_};
  }
}

void ChallengeListeners::accept(One& one) {
  listeners::ListenerSettings settings;
  settings.id = "acme-challenge " + one.address.address.text();
  settings.bind = {one.address.address};
  settings.hostnames = {"localhost"};
  settings.maxConnections = 256;
  if (one.address.type == acme::ChallengeType::Http01) {
    settings.protocol = listeners::Protocol::Http;
    settings.idleTimeout = settings.loginTimeout = std::chrono::seconds(30);
    const auto respond = [&challenges = serving_->httpChallenges()](const http::Request& request) {
      static const http::Response nothing{404, "text/plain; charset=utf-8", "not found\n"};
      return challengeResponse(challenges, request).value_or(nothing);
    };
    one.listener = std::make_unique<listeners::Listener>(
        *environment_, settings, nullptr, [settings, respond](const listeners::Peer& peer) {
          return std::make_shared<http::Session>(settings, peer, respond);
        });
  } else {
    settings.protocol = listeners::Protocol::ChallengeOnly;
    settings.tls = listeners::TlsMode::Implicit;
    settings.tlsTimeout = std::chrono::seconds(30);
    one.listener = std::make_unique<listeners::Listener>(*environment_, settings,
                                                         serving_->buildChallengeOnly(settings.id), nullptr);
  }
  one.listener->listenOn({one.socket});
  log_.info("acme.challenge_port.open", {{"address", one.address.address.text()},
                                         {"challenge", acme::nameOf(one.address.type)},
                                         {"providers", joined(one.address.providers)}});
}

}  // namespace postern::server
