#include "server/doctor.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>

namespace postern::server {
namespace {

using namespace std::chrono_literals;

// Three rounds, each bounded; a disk that turns slowly, with a large cache, has its time.
constexpr Duration forThisMachine = 10s, forDirectories = 8s, forNames = 16s;

using SharedExamination = std::shared_ptr<const Examination>;
using SharedLog = std::shared_ptr<Log>;

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

Findings examineNames(const SharedExamination& of, const std::vector<DirectoryFacts>& facts, const SharedLog& log) {
  std::vector<Examined> all;
  std::set<std::pair<std::string, std::string>> seen;
  const auto add = [&](const acme::Provider& provider, const std::string& name, bool alsoDns) {
    if (!seen.emplace(provider.name, name).second) return;
    const auto known = std::find_if(facts.begin(), facts.end(),
                                    [&](const DirectoryFacts& one) { return one.provider == provider.name; });
    all.push_back({"caa", name, [of, &provider, name, directory = *known](std::stop_token stop) {
                     return examineCaa(*of, provider, name, directory, std::move(stop));
                   }});
    if (!alsoDns) return;
    all.push_back({"address", name, [of, &provider, name](std::stop_token stop) {
                     return examineAddress(*of, provider, name, std::move(stop));
                   }});
    all.push_back({"dns", name, [of, &provider, name, log](std::stop_token stop) {
                     return examineZone(*of, provider, name, *log, std::move(stop));
                   }});
  };
  for (const auto& wanted : of->plan.certificates) {
    const auto* provider = named(of->providers, wanted.provider);
    if (provider == nullptr) continue;
    for (const auto& name : wanted.names) {
      add(*provider, name, true);
      for (const auto& fallback : provider->fallback) {
        const auto* other = named(of->providers, fallback);
        // The name's addresses and zone are the same for all who look at them in the same way.
        if (other != nullptr) add(*other, name, other->challenge != provider->challenge || other->dns != provider->dns);
      }
    }
  }
  return examineAll(std::move(all), forNames);
}

// What one provider keeps on disk, and its port.
void addLooksHere(std::vector<Examined>& all, const SharedExamination& of, const acme::Provider& provider,
                  const std::shared_ptr<Noted<DirectoryFacts>>& known, const SharedLog& log) {
  all.push_back({"account", provider.name, [of, &provider, known](std::stop_token) {
                   DirectoryFacts facts;
                   Findings findings = examineAccount(*of, provider, facts);
                   known->put(std::move(facts));
                   return findings;
                 }});
  all.push_back(
      {"ledger", provider.name, [of, &provider, log](std::stop_token) { return examineLedger(*of, provider, *log); }});
  all.push_back({"certificate", provider.name, [of, &provider, log](std::stop_token stop) {
                   return examineCertificates(*of, provider, *log, std::move(stop));
                 }});
  all.push_back({"port", provider.name, [of, &provider](std::stop_token) { return examinePorts(*of, provider); }});
}

std::vector<Examined> looksHere(const SharedExamination& of,
                                const std::vector<std::shared_ptr<Noted<DirectoryFacts>>>& known,
                                const SharedLog& log) {
  std::vector<Examined> all;
  const auto addHook = [&](const std::string& key, const std::string& program) {
    if (program.empty()) return;
    all.push_back({"hook", key, [of, key, program](std::stop_token) { return examineHook(*of, key, program); }});
  };
  addHook("events.hook", of->settings.eventsHook);
  std::set<std::string> caches;
  for (std::size_t i = 0; i < of->providers.size(); ++i) {
    const acme::Provider& provider = of->providers[i];
    if (provider.dns.method == acme::DnsSettings::Method::Hook) {
      addHook("acme." + provider.name + ".dns.hook", provider.dns.hook);
    }
    addLooksHere(all, of, provider, known[i], log);
    if (!caches.insert(provider.cache).second) continue;
    all.push_back({"cache", provider.cache, [of, cache = provider.cache](std::stop_token stop) {
                     return examineCache(*of, cache, std::move(stop));
                   }});
  }
  return all;
}

}  // namespace

Findings examine(const SharedExamination& of, const SharedLog& log) {
  Findings findings;
  const auto take = [&](Findings more) {
    for (auto& each : more) {
      // Two providers with one port, or one cache, find the same.
      if (std::find(findings.begin(), findings.end(), each) == findings.end()) findings.push_back(std::move(each));
    }
  };
  std::vector<std::shared_ptr<Noted<DirectoryFacts>>> known(of->providers.size());
  for (auto& each : known) each = std::make_shared<Noted<DirectoryFacts>>();
  take(examineAll(looksHere(of, known, log), forThisMachine));
  std::vector<Examined> there;
  for (std::size_t i = 0; i < of->providers.size(); ++i) {
    const acme::Provider& provider = of->providers[i];
    const auto before = known[i]->get().value_or(DirectoryFacts{});
    there.push_back({"directory", provider.name, [of, &provider, before, held = known[i]](std::stop_token stop) {
                       DirectoryFacts facts = before;
                       Findings found = examineDirectory(*of, provider, facts, std::move(stop));
                       held->put(std::move(facts));
                       return found;
                     }});
  }
  take(examineAll(std::move(there), forDirectories));
  std::vector<DirectoryFacts> facts;
  for (std::size_t i = 0; i < of->providers.size(); ++i) {
    facts.push_back(known[i]->get().value_or(DirectoryFacts{}));
    facts.back().provider = of->providers[i].name;
  }
  take(examineNames(of, facts, log));
  std::stable_sort(findings.begin(), findings.end(),
                   [](const Finding& a, const Finding& b) { return a.weight < b.weight; });
  return findings;
}

std::string commandFor(const Examination& of, const std::string& command) {
  const std::string& socket = of.settings.controlSocket;
  return "`postern " + command + (socket == "/run/postern/control.sock" ? "" : " --socket " + socket) + "`";
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

}  // namespace postern::server
