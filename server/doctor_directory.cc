#include <algorithm>
#include <cstdlib>

#include "acme/error.h"
#include "acme/objects.h"
#include "acme/retry_after.h"
#include "base/text.h"
#include "server/doctor.h"

namespace postern::server {
namespace {

using namespace std::chrono_literals;

// The key that says it; a staging that is named by its URL has the settings of the section that names it.
std::string keyOf(const acme::Provider& provider, const std::string& key) {
  const std::string& name = provider.name;
  if (!name.ends_with(stagingByUrl)) return "acme." + name + "." + key;
  return "acme." + name.substr(0, name.size() - stagingByUrl.size()) + "." + (key == "directory" ? "staging" : key);
}

Finding unreachable(const acme::Provider& provider, const acme::Problem& problem) {
  std::string remedy = "check the URL, this host's network and firewall, and whether the CA is up";
  if (problem.detail.find("certificate") != std::string::npos) {
    remedy = "if this CA is private, set " + keyOf(provider, "ca-file") + " to its root; else check the clock";
  } else if (problem.detail.find("esolv") != std::string::npos) {
    remedy = "check the host name in " + keyOf(provider, "directory") + " and /etc/resolv.conf";
  }
  return {Weight::Error, "directory", provider.name, provider.directory + ": " + problem.detail, remedy};
}

void lookAtClock(const acme::Provider& provider, const acme::HttpResponse& response, Time now, Findings& findings) {
  const auto theirs = acme::parseHttpDate(response.header("date"));
  if (!theirs) return;
  const Duration apart = now > *theirs ? now - *theirs : *theirs - now;
  if (apart < 1min) return;
  findings.push_back({apart < 1h ? Weight::Warning : Weight::Error, "clock", provider.name,
                      "this machine's clock is " + inWords(apart) + (now > *theirs ? " ahead of" : " behind") +
                          " that of " + provider.directory,
                      "set the clock and keep it set (timedatectl set-ntp true)"});
}

void lookAtMeta(const acme::Provider& provider, const DirectoryFacts& facts, Findings& findings) {
  const Json& meta = facts.meta;
  if (meta["externalAccountRequired"].boolean() && !provider.externalAccount && facts.accountUrl.empty()) {
    findings.push_back({Weight::Error, "directory", provider.name,
                        "the CA binds new accounts to one that it gave out itself, and none is configured",
                        "get a key id and an HMAC key from the CA and set " + keyOf(provider, "eab.key-id") + " and " +
                            keyOf(provider, "eab.hmac-key")});
  }
  if (!provider.profile.empty()) {
    std::vector<std::string> offered;
    for (const auto& [name, words] : meta["profiles"].object()) offered.push_back(name);
    if (std::find(offered.begin(), offered.end(), provider.profile) == offered.end()) {
      findings.push_back({Weight::Error, "directory", provider.name,
                          "the CA has no profile " + provider.profile +
                              (offered.empty() ? "; it offers none" : "; it offers " + joined(offered, ", ")),
                          offered.empty() ? "take " + keyOf(provider, "profile") + " out"
                                          : "set " + keyOf(provider, "profile") + " to one of these, or take it out"});
    }
  }
  if (const std::string terms = meta["termsOfService"].string(); !terms.empty() && facts.accountUrl.empty()) {
    findings.push_back({Weight::Note, "directory", provider.name,
                        "an account is made with the first order, which agrees to the terms at " + terms,
                        "read them; to disagree, take the provider out of the configuration"});
  }
}

}  // namespace

Findings examineDirectory(const Examination& of, const acme::Provider& provider, DirectoryFacts& facts,
                          std::stop_token stop) {
  Findings findings;
  acme::HttpRequest request;
  request.method = "GET";
  request.url = provider.directory;
  request.timeout = 5s;
  const auto notOne = [&](const std::string& why) {
    findings.push_back({Weight::Error, "directory", provider.name, provider.directory + " " + why,
                        "check " + keyOf(provider, "directory") + ": it is the URL of the CA's ACME directory"});
    return findings;
  };
  try {
    const auto response = of.transports(provider)->send(request, stop);
    lookAtClock(provider, response, of.now, findings);
    if (response.status / 100 == 5 || response.status == 429) {
      findings.push_back({Weight::Warning, "directory", provider.name,
                          provider.directory + " answers with status " + std::to_string(response.status),
                          "the CA is in trouble or busy; it is tried again by itself"});
      return findings;
    }
    if (response.status != 200) return notOne("answers with status " + std::to_string(response.status));
    const auto json = Json::parse(response.body);
    if (!json || !json->isObject()) return notOne("does not answer with a JSON object");
    try {
      facts.meta = acme::parseDirectory(*json).meta;
      if (!facts.meta.isObject()) facts.meta = Json::Object{};
    } catch (const acme::Error& error) {
      return notOne("is no ACME directory: " + error.problem.detail);
    }
    lookAtMeta(provider, facts, findings);
  } catch (const acme::Error& error) {
    findings.push_back(unreachable(provider, error.problem));
  }
  return findings;
}

}  // namespace postern::server
