#include "server/doctor.h"

#include <fmt/format.h>

#include <algorithm>
#include <iostream>
#include <set>

#include "acme/dns_lookup.h"
#include "base/error.h"
#include "server/control_socket.h"
#include "server/load_all.h"
#include "server/plans.h"
#include "server/version.h"

namespace postern::server {
namespace {

using namespace std::chrono_literals;

// Three rounds, each bounded: under half a minute in all.
constexpr Duration forThisMachine = 3s, forDirectories = 8s, forNames = 16s;

const char* nameOf(Weight weight) {
  switch (weight) {
    case Weight::Error: return "error";
    case Weight::Warning: return "warning";
    case Weight::Note: return "note";
  }
  return "";
}

const acme::Provider* named(const std::vector<acme::Provider>& providers, const std::string& name) {
  const auto found =
      std::find_if(providers.begin(), providers.end(), [&](const auto& one) { return one.name == name; });
  return found == providers.end() ? nullptr : &*found;
}

// Those that a certificate needs, each once: its own, the fallbacks, and where retries are proved.
std::vector<acme::Provider> needed(const config::Settings& settings, const acme::Plan& plan) {
  std::vector<acme::Provider> all;
  const auto add = [&](const acme::Provider& provider) {
    if (named(all, provider.name) == nullptr) all.push_back(provider);
  };
  for (const auto& wanted : plan.certificates) {
    const auto* provider = named(settings.providers, wanted.provider);
    if (provider == nullptr) continue;
    add(*provider);
    for (const auto& fallback : provider->fallback) {
      if (const auto* other = named(settings.providers, fallback)) add(*other);
    }
    if (provider->staging.empty()) continue;
    if (const auto* other = named(settings.providers, provider->staging)) {
      add(*other);
    } else {
      acme::Provider staging = *provider;
      staging.name = provider->name + " (staging)";
      staging.directory = provider->staging;
      add(staging);
    }
  }
  return all;
}

// The status of the server that answers, null when none does.
Findings askRunning(const std::string& socket, Json& status, std::stop_token stop) {
  try {
    const Json answer = askServer(socket, Json::Object{{"command", "status"}}, std::move(stop));
    if (answer["ok"].boolean()) status = answer["status"];
    return {};
  } catch (const SystemError& error) {
    if (error.error() != EACCES) return {};  // nobody there: the server does not run
    return {{Weight::Note, "server", socket, error.what(), "run postern doctor as root, or as the server's user"}};
  }
}

Findings examineNames(const Examination& of, const std::vector<DirectoryFacts>& facts, Log& log) {
  std::vector<Examined> all;
  std::set<std::pair<std::string, std::string>> seen;
  const auto add = [&](const acme::Provider& provider, const std::string& name, bool fallback) {
    if (!seen.emplace(provider.name, name).second) return;
    const auto known = std::find_if(facts.begin(), facts.end(),
                                    [&](const DirectoryFacts& one) { return one.provider == provider.name; });
    const DirectoryFacts& directory = *known;
    all.push_back({"caa", name, [&of, &provider, name, &directory](std::stop_token stop) {
                     return examineCaa(of, provider, name, directory, std::move(stop));
                   }});
    if (fallback) return;  // the name's address is the same for everybody
    all.push_back({"address", name, [&of, &provider, name](std::stop_token stop) {
                     return examineAddress(of, provider, name, std::move(stop));
                   }});
    all.push_back({"dns", name, [&of, &provider, name, &log](std::stop_token stop) {
                     return examineZone(of, provider, name, log, std::move(stop));
                   }});
  };
  for (const auto& wanted : of.plan.certificates) {
    const auto* provider = named(of.providers, wanted.provider);
    if (provider == nullptr) continue;
    for (const auto& name : wanted.names) {
      add(*provider, name, false);
      for (const auto& fallback : provider->fallback) {
        if (const auto* other = named(of.providers, fallback)) add(*other, name, true);
      }
    }
  }
  return examineAll(all, forNames);
}

}  // namespace

Findings examine(const Examination& of, Log& log) {
  std::vector<DirectoryFacts> facts(of.providers.size());
  std::vector<Examined> here, there;
  std::set<std::string> caches, ports;
  here.push_back({"hook", "hooks", [&of](std::stop_token) { return examineHooks(of); }});
  here.push_back({"certificate", "cache", [&of, &log](std::stop_token) { return examineCertificates(of, log); }});
  for (std::size_t i = 0; i < of.providers.size(); ++i) {
    const acme::Provider& provider = of.providers[i];
    DirectoryFacts& known = facts[i];
    known.provider = provider.name;
    here.push_back({"account", provider.name,
                    [&of, &provider, &known](std::stop_token) { return examineAccount(of, provider, known); }});
    here.push_back({"ledger", provider.name,
                    [&of, &provider, &log](std::stop_token) { return examineLedger(of, provider, log); }});
    if (caches.insert(provider.cache).second) {
      here.push_back({"cache", provider.cache,
                      [&of, cache = provider.cache](std::stop_token) { return examineCache(of, cache); }});
    }
    here.push_back({"port", provider.name, [&of, &provider](std::stop_token) { return examinePorts(of, provider); }});
    there.push_back({"directory", provider.name, [&of, &provider, &known](std::stop_token stop) {
                       return examineDirectory(of, provider, known, std::move(stop));
                     }});
  }
  Findings findings;
  const auto take = [&](Findings more) {
    for (auto& each : more) {
      // Two providers with one port, or one cache, find the same.
      if (std::find(findings.begin(), findings.end(), each) == findings.end()) findings.push_back(std::move(each));
    }
  };
  take(examineAll(here, forThisMachine));
  take(examineAll(there, forDirectories));
  take(examineNames(of, facts, log));
  std::stable_sort(findings.begin(), findings.end(),
                   [](const Finding& a, const Finding& b) { return a.weight < b.weight; });
  return findings;
}

std::string doctorText(const Findings& findings) {
  std::string text;
  for (const auto& one : findings) {
    text += fmt::format("{}: {}: {}: {}\n  {}\n", nameOf(one.weight), one.check, one.subject, one.problem, one.remedy);
  }
  return text.empty() ? "nothing found that would make issuance or renewal fail\n" : text;
}

Json doctorJson(const Findings& findings) {
  Json::Array all;
  bool ok = true;
  for (const auto& one : findings) {
    ok = ok && one.weight != Weight::Error;
    all.push_back(Json::Object{{"severity", nameOf(one.weight)},
                               {"check", one.check},
                               {"subject", one.subject},
                               {"problem", one.problem},
                               {"remedy", one.remedy}});
  }
  return Json::Object{{"ok", ok}, {"findings", all}};
}

int doctor(const std::string& configFile, bool json, const std::string& resolver) {
  const Time now = SystemClock().now();
  Findings findings;
  const auto everything = loadAll(configFile, now);
  for (const auto& one : everything.loaded.diagnostics.all) {
    if (one.severity == config::Severity::Note) continue;
    findings.push_back({one.severity == config::Severity::Error ? Weight::Error : Weight::Warning, "configuration",
                        one.place.file + ":" + std::to_string(one.place.line),
                        one.key.empty() ? one.problem : one.key + ": " + one.problem, one.remedy});
  }
  if (everything.loaded.settings) {
    Log log(LogSettings{LogLevel::Error, LogFormat::Text, ""});  // findings are what it has to say
    Examination of;
    of.settings = *everything.loaded.settings;
    of.plan = acmePlan(of.settings);
    of.providers = needed(of.settings, of.plan);
    of.transports = acme::curlTransports(userAgent);
    of.now = now;
    if (resolver.empty()) {
      of.resolvers = acme::systemDns().resolvers;
    } else {
      const auto [address, port] = acme::parseDnsServer(resolver);
      of.resolvers = {{address, port}};
    }
    try {
      of.identity = identityOf(of.settings.runAs);
    } catch (const PrivilegeError& error) {
      findings.push_back({Weight::Warning, "configuration", "server.run-as", error.what(),
                          "run postern doctor as root to have rights looked at as that user's"});
    }
    const std::string socket = of.settings.controlSocket;
    for (auto& each :
         examineAll({{"server", socket, [&](std::stop_token stop) { return askRunning(socket, of.running, stop); }}},
                    forThisMachine)) {
      findings.push_back(std::move(each));
    }
    for (auto& each : examine(of, log)) findings.push_back(std::move(each));
  }
  std::cout << (json ? doctorJson(findings).pretty() : doctorText(findings));
  const bool bad =
      std::any_of(findings.begin(), findings.end(), [](const Finding& one) { return one.weight == Weight::Error; });
  return bad ? 1 : 0;
}

}  // namespace postern::server
