#include "server/challenge_plans.h"

#include <fmt/format.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <set>

#include "base/text.h"

namespace postern::server {

namespace {

using acme::ChallengeType;
using config::ListenerConfig;
using config::Settings;

constexpr std::string_view wildcard = "*.";

// `[::]`, or `0.0.0.0` where the kernel has no IPv6.
std::string anyAddress() {
  int probe = ::socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (probe < 0) return "0.0.0.0";
  ::close(probe);
  return "::";
}

bool boundTo(const ListenerConfig& listener, int port) {
  return std::any_of(listener.listener.bind.begin(), listener.listener.bind.end(),
                     [&](const listeners::Address& address) { return address.port == port; });
}

bool offers(const acme::Provider& provider, ChallengeType type) {
  return std::find(provider.challenge.begin(), provider.challenge.end(), type) != provider.challenge.end();
}

int portOf(const acme::Provider& provider, ChallengeType type) {
  return type == ChallengeType::Http01 ? provider.httpPort : provider.port;
}

// Whether the listener can answer this type at all, wherever it is bound.
bool canAnswer(const ListenerConfig& listener, ChallengeType type) {
  const bool implicit = listener.listener.tls == listeners::TlsMode::Implicit;
  return type == ChallengeType::Http01 ? !implicit && listener.listener.protocol == listeners::Protocol::Http
                                       : implicit;
}

listeners::Address challengeAddress(const acme::Provider& provider, ChallengeType type) {
  std::string host = provider.challengeBind.empty() ? anyAddress() : provider.challengeBind;
  return {host, static_cast<std::uint16_t>(portOf(provider, type))};
}

// The providers that order something, or may: fallbacks and where retries are proved first, too.
std::set<std::string> ordering(const Settings& settings) {
  std::set<std::string> names;
  for (const ListenerConfig& listener : settings.listeners) {
    if (listener.listener.tls != listeners::TlsMode::Off && !listener.acme.empty()) names.insert(listener.acme);
  }
  for (const acme::Provider& provider : settings.providers) {
    if (!provider.domains.empty()) names.insert(provider.name);
  }
  const std::set<std::string> first = names;
  for (const acme::Provider& provider : settings.providers) {
    if (first.count(provider.name) == 0) continue;
    names.insert(provider.fallback.begin(), provider.fallback.end());
    names.insert(provider.staging);
  }
  return names;
}

bool isAddress(const std::string& name) {
  return listeners::parseIp(name).has_value();
}

}  // namespace

bool answersChallenges(const ListenerConfig& listener, const Settings& settings) {
  return canAnswer(listener, ChallengeType::TlsAlpn01) &&
         std::any_of(settings.providers.begin(), settings.providers.end(),
                     [&](const acme::Provider& provider) { return boundTo(listener, provider.port); });
}

std::vector<ChallengeAddress> challengeAddresses(const Settings& settings) {
  const std::set<std::string> needed = ordering(settings);
  std::vector<ChallengeAddress> result;
  for (const auto& provider : settings.providers) {
    if (needed.count(provider.name) == 0) continue;
    for (const ChallengeType type : {ChallengeType::TlsAlpn01, ChallengeType::Http01}) {
      const bool answered =
          std::any_of(settings.listeners.begin(), settings.listeners.end(), [&](const ListenerConfig& listener) {
            return canAnswer(listener, type) && boundTo(listener, portOf(provider, type));
          });
      if (answered || !offers(provider, type)) continue;
      const listeners::Address address = challengeAddress(provider, type);
      auto same = std::find_if(result.begin(), result.end(), [&](const ChallengeAddress& other) {
        return other.address == address && other.type == type;
      });
      if (same == result.end()) same = result.insert(result.end(), {address, type, {}});
      same->providers.push_back(provider.name);
    }
  }
  return result;
}

std::string challengeTarget(const acme::Provider& provider, const Settings& settings, ChallengeType type) {
  std::vector<std::string> targets;
  for (const auto& listener : settings.listeners) {
    if (!canAnswer(listener, type)) continue;
    for (const auto& address : listener.listener.bind) {
      if (address.port == portOf(provider, type)) targets.push_back(address.text());
    }
  }
  if (targets.empty()) targets.push_back(challengeAddress(provider, type).text());
  return joined(targets, " or ");
}

std::vector<std::string> challengeArrivals(const std::string& name, const acme::Provider& provider,
                                           const Settings& settings) {
  const bool isWildcard = name.starts_with(wildcard);
  std::vector<std::string> arrivals;
  for (const ChallengeType type : provider.challenge) {
    if (type == ChallengeType::Dns01) {
      if (isAddress(name)) continue;
      arrivals.push_back("TXT record _acme-challenge." + (isWildcard ? name.substr(wildcard.size()) : name));
    } else if (!isWildcard) {
      arrivals.push_back(fmt::format("port {} of {}; it must reach {}", type == ChallengeType::Http01 ? 80 : 443, name,
                                     challengeTarget(provider, settings, type)));
    }
  }
  return arrivals;
}

}  // namespace postern::server
