// What listeners and providers mean together.
#include <algorithm>
#include <map>
#include <set>

#include "config/sections.h"

namespace postern::config {
namespace {

const acme::Provider* providerOf(const Settings& settings, const std::string& name) {
  const auto at = std::find_if(settings.providers.begin(), settings.providers.end(),
                               [&name](const acme::Provider& provider) { return provider.name == name; });
  return at == settings.providers.end() ? nullptr : &*at;
}

// Providers that something is ordered from.
std::vector<const acme::Provider*> wanted(const Settings& settings) {
  std::set<std::string> names;
  for (const ListenerConfig& config : settings.listeners) names.insert(config.acme);
  std::vector<const acme::Provider*> all;
  for (const acme::Provider& provider : settings.providers) {
    if (names.count(provider.name) > 0 || !provider.domains.empty()) all.push_back(&provider);
  }
  return all;
}

}  // namespace

void checkAcmeNames(const Reader& reader, const Settings& settings, const ListenerConfig& config) {
  if (config.acme.empty()) return;
  const acme::Provider* provider = providerOf(settings, config.acme);
  for (const Found& name : reader.items(reader.inherited(config.listener.id, {"hostname"})))
    checkAcmeName(reader, name, provider);
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
      if (config.listener.tls == listeners::TlsMode::Implicit) continue;
      for (const acme::Provider* provider : providers) {
        if (provider->port != address.value->port) continue;
        reader.error(item,
                     "this is the port of the TLS-ALPN-01 challenge of " + dotted({"acme", provider->name}) +
                         ", where only a listener with implicit TLS can answer the CA",
                     "set tls.implicit = true, or choose another port for one of them");
      }
    }
  }
}

}  // namespace postern::config
