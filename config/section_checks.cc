// What listeners and providers mean together.
#include <algorithm>
#include <map>
#include <set>

#include "base/text.h"
#include "config/sections.h"

namespace postern::config {
namespace {

// Providers that something is ordered from, or may be: fallbacks too.
std::vector<const acme::Provider*> wanted(const Settings& settings) {
  std::set<std::string> names;
  for (const ListenerConfig& config : settings.listeners) names.insert(config.acme);
  for (const acme::Provider& provider : settings.providers) {
    if (!provider.domains.empty()) names.insert(provider.name);
  }
  const std::set<std::string> first = names;
  for (const std::string& name : first) {
    if (const acme::Provider* provider = providerOf(settings, name)) {
      names.insert(provider->fallback.begin(), provider->fallback.end());
    }
  }
  std::vector<const acme::Provider*> all;
  for (const acme::Provider& provider : settings.providers) {
    if (names.count(provider.name) > 0) all.push_back(&provider);
  }
  return all;
}

bool offers(const acme::Provider& provider, acme::ChallengeType type) {
  return std::find(provider.challenge.begin(), provider.challenge.end(), type) != provider.challenge.end();
}

// A listener on a port where a CA's challenge arrives must be able to answer it.
void checkChallengePorts(const Reader& reader, const ListenerConfig& config, int port, const Found& item,
                         const std::vector<const acme::Provider*>& providers) {
  const bool implicit = config.listener.tls == listeners::TlsMode::Implicit;
  const bool plainHttp = config.listener.protocol == listeners::Protocol::Http && !implicit;
  for (const acme::Provider* provider : providers) {
    const std::string section = dotted({"acme", provider->name});
    if (!implicit && provider->port == port && offers(*provider, acme::ChallengeType::TlsAlpn01)) {
      reader.error(item,
                   "this is the port of the TLS-ALPN-01 challenge of " + section +
                       ", where only a listener with implicit TLS can answer the CA",
                   "set tls.implicit = true, or choose another port for one of them");
    }
    if (!plainHttp && provider->httpPort == port && offers(*provider, acme::ChallengeType::Http01)) {
      reader.error(item,
                   "this is the port of the HTTP-01 challenge of " + section +
                       ", where only a listener of protocol http without TLS can answer the CA",
                   "choose another port for one of them");
    }
  }
}

}  // namespace

void checkAcmeNames(const Reader& reader, const Settings& settings, const ListenerConfig& config) {
  if (config.acme.empty()) return;
  const acme::Provider* provider = providerOf(settings, config.acme);
  const std::vector<Found> names = reader.items(reader.inherited(config.listener.id, {"hostname"}));
  for (const Found& name : names) checkAcmeName(reader, settings, name, provider);
  checkAcmeNamesTogether(reader, names);
}

void checkKeyTypes(const Reader& reader, const Settings& settings, const ListenerConfig& config) {
  const acme::Provider* provider = config.acme.empty() ? nullptr : providerOf(settings, config.acme);
  if (!provider) return;
  const auto has = [](const std::vector<std::string>& names, const std::string& part) {
    return std::any_of(names.begin(), names.end(),
                       [&part](const std::string& name) { return name.find(part) != std::string::npos; });
  };
  const auto speaks = [&](const std::string& version, const std::string& prefix) {
    return has(config.policy.protocols, version) && has(config.policy.ciphers, prefix);
  };
  // That nothing is left at all was said where the policy was read.
  if (!speaks("TLSv1.2", "TLS_")) return;
  std::vector<std::string> useless;
  for (const std::string& type : provider->keyTypes) {
    if (!has(config.policy.ciphers, type.starts_with("rsa") ? "_RSA_" : "_ECDSA_")) useless.push_back(type);
  }
  if (useless.empty()) return;
  const bool all = useless.size() == provider->keyTypes.size();
  const bool newer = speaks("TLSv1.3", "TLS13_");  // whose ciphers go with any key
  if (newer && !all) return;
  const KeyPath key{"server", "listener", config.listener.id, "tls"};
  reader.report().add({all && !newer ? Severity::Error : Severity::Warning, reader.placeOf(key), dotted(key), "",
                       "no cipher suite of TLS 1.2 is left for the key-type " + joined(useless, ", ") + " of " +
                           dotted({"acme", provider->name}) +
                           (newer ? ": every handshake of a client without TLSv1.3 fails"
                            : all ? ": every handshake would fail"
                                  : ": its certificate is served to nobody"),
                       std::string(newer ? "" : "allow TLSv1.3, ") +
                           "add ciphers such as TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256 or "
                           "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, or choose another key-type"});
}

void checkBinds(const Reader& reader, const Settings& settings) {
  std::map<listeners::Address, Found> bound;
  const auto providers = wanted(settings);
  for (const ListenerConfig& config : settings.listeners) {
    for (const Found& item : reader.items(reader.find({"server", "listener", config.listener.id, "bind"}))) {
      const auto address = toAddress(*item.node);
      if (!address) continue;
      if (address.value->port != 0) {
        const auto first = bound.emplace(*address.value, item);
        if (!first.second) {
          const Found& other = first.first->second;
          reader.error(
              item,
              "bound twice; " + dotted(other.path) + " at " + placeText(other.node->place) + " has this address too",
              "give each listener an address of its own");
        }
      }
      checkChallengePorts(reader, config, address.value->port, item, providers);
    }
  }
}

}  // namespace postern::config
