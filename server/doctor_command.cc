// The command: loads the configuration, asks the server that runs, has everything examined, and prints.
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <iostream>

#include "acme/dns_lookup.h"
#include "base/error.h"
#include "listeners/settings.h"
#include "server/control_socket.h"
#include "server/doctor.h"
#include "server/doctor_rights.h"
#include "server/in_child.h"
#include "server/load_all.h"
#include "server/plans.h"
#include "server/version.h"

namespace postern::server {
namespace {

using namespace std::chrono_literals;

constexpr Duration forTheConfiguration = 10s, forTheServer = 3s;
constexpr Duration forAll = 2min;  // more than all rounds may take

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
      staging.name = provider->name + std::string(stagingByUrl);
      staging.directory = provider->staging;
      add(staging);
    }
  }
  return all;
}

using Prepared = Noted<std::shared_ptr<Examination>>;

// Loads, and puts what is to be examined into `prepared` unless there are errors.
Findings prepare(const std::string& configFile, const std::string& resolver, Prepared& prepared) {
  Findings findings;
  const Time now = SystemClock().now();
  config::Surroundings surroundings = config::ofThisProcess();
  surroundings.touches = lookingAt;
  const auto everything = loadAll(configFile, now, surroundings);
  for (const auto& one : everything.loaded.diagnostics.all) {
    if (one.severity == config::Severity::Note) continue;
    findings.push_back({one.severity == config::Severity::Error ? Weight::Error : Weight::Warning, "configuration",
                        one.place.file + ":" + std::to_string(std::max(one.place.line, 1)),
                        one.key.empty() ? one.problem : one.key + ": " + one.problem, one.remedy});
  }
  if (!everything.loaded.settings) return findings;
  const auto of = std::make_shared<Examination>();
  of->settings = *everything.loaded.settings;
  of->plan = acmePlan(of->settings);
  of->providers = needed(of->settings, of->plan);
  of->transports = acme::curlTransports(userAgent);
  of->now = now;
  if (resolver.empty()) {
    of->resolvers = acme::systemDns().resolvers;
  } else {
    const auto [address, port] = acme::parseDnsServer(resolver);
    of->resolvers = {{address, port}};
  }
  try {
    of->identity = identityNamed(of->settings.runAs);
  } catch (const PrivilegeError& error) {
    findings.push_back({Weight::Error, "configuration", "server.run-as", error.what(),
                        "create the user and the group that it names, or name others"});
  }
  prepared.put(of);
  return findings;
}

// The status of the server that answers; nothing is put where none does.
Findings askRunning(const std::string& socket, Noted<Json>& status, const std::stop_token& stop) {
  struct stat found {};
  lookingAt(socket);
  const bool there = ::stat(socket.c_str(), &found) == 0;
  lookingAt("");  // from here on it is the server that does not answer
  if (!there && errno == ENOENT) return {};
  try {
    const Json answer = askServer(socket, Json::Object{{"command", "status"}}, stop);
    if (answer["ok"].boolean()) status.put(answer["status"]);
    return {};
  } catch (const SystemError& error) {
    if (error.error() != EACCES) return {};  // nobody there: the server does not run
    return {{Weight::Note, "server", socket, error.what(), "run postern doctor as root, or as the server's user"}};
  } catch (const std::exception&) {
    if (!stop.stop_requested()) throw;
    return {{Weight::Warning, "server", socket, "the server takes the question for its status and does not answer",
             "see its log for what it waits for; if it stays so, end it (SIGKILL) and start it again"}};
  }
}

int print(const Findings& findings, bool json) {
  std::cout << (json ? doctorJson(findings).pretty() : doctorText(findings));
  const bool bad =
      std::any_of(findings.begin(), findings.end(), [](const Finding& one) { return one.weight == Weight::Error; });
  return bad ? 1 : 0;
}

int examineAndPrint(const std::string& configFile, bool json, const std::string& resolver) {
  const auto prepared = std::make_shared<Prepared>();
  Findings findings = examineAll(
      {{"configuration", configFile, [=](const std::stop_token&) { return prepare(configFile, resolver, *prepared); }}},
      forTheConfiguration);
  const auto of = prepared->get();
  if (!of) {
    // Whatever kept it from being read, nothing was examined.
    if (!findings.empty() && findings.front().subject == configFile) findings.front().weight = Weight::Error;
    return print(findings, json);
  }
  const std::string socket = (*of)->settings.controlSocket;
  const auto status = std::make_shared<Noted<Json>>();
  const auto add = [&](Findings more) {
    for (auto& each : more) findings.push_back(std::move(each));
  };
  add(examineAll({{"server", socket, [=](const std::stop_token& stop) { return askRunning(socket, *status, stop); }}},
                 forTheServer));
  const Json running = status->get().value_or(Json());
  (*of)->running = running;
  // Without run-as it is whoever started it, as systemd's User= does.
  const long server = static_cast<long>(running["pid"].integer());
  if (!(*of)->identity && server > 0) (*of)->identity = userOfProcess(server);
  // Findings are what there is to say.
  const auto log = std::make_shared<Log>(LogSettings{LogLevel::Error, LogFormat::Text, ""});
  add(examine(*of, log));
  return print(findings, json);
}

}  // namespace

bool isResolver(const std::string& text) {
  if (const auto whole = listeners::parseAddress(text)) return whole->port > 0;
  const bool bracketed = text.size() > 2 && text.front() == '[' && text.back() == ']';
  return listeners::parseIp(bracketed ? text.substr(1, text.size() - 2) : text).has_value();
}

int doctor(const std::string& configFile, bool json, const std::string& resolver) {
  return inChild([&] { return examineAndPrint(configFile, json, resolver); }, forAll);
}

}  // namespace postern::server
