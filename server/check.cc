#include "server/check.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/text.h"
#include "server/challenge_plans.h"
#include "server/names.h"

namespace postern::server {

namespace {

std::string sourceOf(const config::ListenerConfig& listener) {
  if (listener.listener.tls == listeners::TlsMode::Off) return "";
  if (!listener.acme.empty()) return "acme:" + listener.acme;
  if (!listener.certificate.empty()) return "certificate:" + listener.certificate;
  return "self-signed";
}

// "port 443 of imap.example.org; it must reach [::]:443", for each name and each type of challenge.
std::vector<std::string> arrivals(const std::vector<std::string>& names, const acme::Provider& provider,
                                  const config::Settings& settings) {
  std::vector<std::string> result;
  for (const auto& name : names) {
    for (auto& arrival : challengeArrivals(name, provider, settings)) result.push_back(std::move(arrival));
  }
  return result;
}

// "the CA will connect to port 443 of ...", "the CA will look up TXT record ...".
std::string sentenceOf(const std::string& arrival) {
  return (arrival.starts_with("TXT ") ? "the CA will look up " : "the CA will connect to ") + arrival;
}

std::vector<std::string> arrivalsOf(const config::ListenerConfig& listener, const config::Settings& settings) {
  if (listener.listener.tls == listeners::TlsMode::Off || listener.acme.empty()) return {};
  auto provider = std::find_if(settings.providers.begin(), settings.providers.end(),
                               [&](const acme::Provider& one) { return one.name == listener.acme; });
  if (provider == settings.providers.end()) return {};
  return arrivals(listener.listener.hostnames, *provider, settings);
}

std::vector<std::string> addressesOf(const config::ListenerConfig& listener) {
  std::vector<std::string> result;
  for (const auto& address : listener.listener.bind) result.push_back(address.text());
  return result;
}

const char* words(config::Severity severity) {
  switch (severity) {
    case config::Severity::Error: return "error";
    case config::Severity::Warning: return "warning";
    case config::Severity::Note: return "note";
  }
  return "";
}

}  // namespace

std::string checkText(const config::Settings& settings) {
  std::string text;
  for (const auto& listener : settings.listeners) {
    text += fmt::format("listener {} ({}): {}\n", listener.listener.id, nameOf(listener.listener.protocol),
                        joined(addressesOf(listener), ", "));
    text += fmt::format("  hostname     {}\n", joined(listener.listener.hostnames, ", "));
    text += fmt::format("  TLS          {}\n", nameOf(listener.listener.tls));
    if (const std::string source = sourceOf(listener); !source.empty()) {
      text += fmt::format("  certificate  {}, decided by {}\n", source, listener.decidedBy);
    }
    for (const auto& arrival : arrivalsOf(listener, settings)) {
      text += fmt::format("  {}\n", sentenceOf(arrival));
    }
  }
  for (const auto& provider : settings.providers) {
    for (const auto& names : provider.domains) {
      text += fmt::format("acme {}: a certificate for {}\n", provider.name, joined(names, ", "));
      for (const auto& arrival : arrivals(names, provider, settings)) {
        text += fmt::format("  {}\n", sentenceOf(arrival));
      }
    }
  }
  return text;
}

Json checkJson(const config::Loaded& loaded) {
  Json::Array diagnostics, listenerArray;
  for (const auto& one : loaded.diagnostics.all) {
    diagnostics.push_back(Json::Object{{"severity", words(one.severity)},
                                       {"file", one.place.file},
                                       {"line", one.place.line},
                                       {"key", one.key},
                                       {"value", one.value},
                                       {"problem", one.problem},
                                       {"remedy", one.remedy}});
  }
  if (loaded.settings) {
    for (const auto& listener : loaded.settings->listeners) {
      const std::string source = sourceOf(listener);
      listenerArray.push_back(Json::Object{
          {"id", listener.listener.id},
          {"protocol", nameOf(listener.listener.protocol)},
          {"bind", Json::strings(addressesOf(listener))},
          {"hostnames", Json::strings(listener.listener.hostnames)},
          {"tls", Json::Object{{"mode", nameOf(listener.listener.tls)},
                               {"wanted", source.empty() ? Json() : Json(source)},
                               {"decided_by", listener.decidedBy.empty() ? Json() : Json(listener.decidedBy)}}},
          {"ca_connects_to", Json::strings(arrivalsOf(listener, *loaded.settings))}});
    }
  }
  return Json::Object{{"ok", loaded.settings.has_value()}, {"diagnostics", diagnostics}, {"listeners", listenerArray}};
}

}  // namespace postern::server
