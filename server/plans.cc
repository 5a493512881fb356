#include "server/plans.h"

#include <algorithm>
#include <set>
#include <utility>

#include "base/text.h"
#include "tls/suitability.h"

namespace postern::server {

namespace {

using config::ListenerConfig;
using config::Settings;

const acme::Provider* providerOf(const std::string& name, const Settings& settings) {
  auto found = std::find_if(settings.providers.begin(), settings.providers.end(),
                            [&](const acme::Provider& provider) { return provider.name == name; });
  return found == settings.providers.end() ? nullptr : &*found;
}

bool usesAcme(const ListenerConfig& listener) {
  return listener.listener.tls != listeners::TlsMode::Off && !listener.acme.empty();
}

std::vector<std::string> alpnOf(listeners::Protocol protocol) {
  switch (protocol) {
    case listeners::Protocol::Smtp: return {"smtp", "esmtp", "submission"};
    case listeners::Protocol::Imap: return {"imap"};
    case listeners::Protocol::Http: return {"http/1.1"};
    case listeners::Protocol::ChallengeOnly: return {};
  }
  return {};
}

std::vector<tls::CertificateId> ofEachKeyType(const acme::Provider& provider, const std::vector<std::string>& names) {
  std::vector<tls::CertificateId> ids;
  for (const auto& keyType : provider.keyTypes) ids.push_back(tls::acmeCertificate(provider.name, names, keyType));
  return ids;
}

config::Place placeOf(const config::Loaded& loaded, const std::string& key) {
  auto found = loaded.places.find(key);
  return found == loaded.places.end() ? config::Place{} : found->second;
}

// Who could never use a key of this kind, though the listener speaks to them; the ciphers of TLS 1.3 go with any.
std::string lockedOut(const tls::CertifiedKey& pair, const tls::Policy& policy) {
  const auto any = [](const std::vector<std::string>& names, const std::string& part) {
    return std::any_of(names.begin(), names.end(),
                       [&part](const std::string& name) { return name.find(part) != std::string::npos; });
  };
  if (any(policy.ciphers, pair.keyTypeName().starts_with("rsa") ? "_RSA_" : "_ECDSA_")) return {};
  if (!any(policy.protocols, "TLSv1.3") || !any(policy.ciphers, "TLS13_")) return "every handshake would fail";
  return any(policy.protocols, "TLSv1.2") && any(policy.ciphers, "TLS_")
             ? "every handshake of a client without TLSv1.3 fails"
             : "";
}

void warnAbout(const tls::CertifiedKey& pair, const std::string& name, const config::Loaded& loaded, Time now,
               config::Diagnostics& diagnostics) {
  const std::string key = "certificate." + name;
  if (!pair.validAt(now)) {
    diagnostics.all.push_back({config::Severity::Warning, placeOf(loaded, "certificate/" + name), key, "",
                               now < pair.notBefore()
                                   ? "the certificate is not valid before " + rfc3339(pair.notBefore())
                                   : "the certificate expired at " + rfc3339(pair.notAfter()),
                               "replace it; it is served meanwhile"});
  }
  for (auto& objection : tls::objectionsTo(pair)) {
    diagnostics.all.push_back({config::Severity::Warning, placeOf(loaded, "certificate/" + name), key, "",
                               std::move(objection.problem), std::move(objection.remedy)});
  }
  for (const auto& listener : loaded.settings->listeners) {
    if (listener.listener.tls == listeners::TlsMode::Off) continue;
    for (const auto& entry : listener.sni) {
      if (entry.certificate != name || pair.covers(entry.subject)) continue;
      diagnostics.all.push_back({config::Severity::Warning, placeOf(loaded, "certificate/" + name), key, "",
                                 "the certificate does not cover " + entry.subject + ", for which sni of listener " +
                                     listener.listener.id + " shows it; it covers " + joined(pair.names(), ", "),
                                 "use a certificate for that name, or set another subject"});
    }
    if (listener.certificate != name) continue;
    const std::string& primary = listener.listener.hostnames.front();
    if (const std::string who = lockedOut(pair, listener.policy); !who.empty()) {
      diagnostics.all.push_back({config::Severity::Warning, placeOf(loaded, "certificate/" + name), key, "",
                                 "no cipher suite of listener " + listener.listener.id + " goes with its " +
                                     pair.keyTypeName() + " key: " + who,
                                 "allow TLSv1.3, or add ciphers for it, such as "
                                 "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256 or TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256"});
    }
    if (pair.covers(primary)) continue;
    diagnostics.all.push_back({config::Severity::Warning, placeOf(loaded, "certificate/" + name), key, "",
                               "the certificate does not cover " + primary + ", the hostname of listener " +
                                   listener.listener.id + "; it covers " + joined(pair.names(), ", "),
                               "use a certificate for that name, or set the listener's hostname"});
  }
}

}  // namespace

acme::Plan acmePlan(const Settings& settings) {
  acme::Plan plan{settings.providers, {}};
  std::set<tls::CertificateId> seen;
  auto want = [&](const std::string& provider, const std::vector<std::string>& names) {
    if (seen.insert(tls::acmeCertificate(provider, names)).second) plan.certificates.push_back({provider, names});
  };
  for (const auto& listener : settings.listeners) {
    if (usesAcme(listener)) want(listener.acme, listener.listener.hostnames);
  }
  for (const auto& provider : settings.providers) {
    for (const auto& names : provider.domains) want(provider.name, names);
  }
  // All that is made of them stands in the list; each order copies its provider's settings, but not thousands of names.
  for (auto& provider : plan.providers) provider.domains.clear();
  return plan;
}

tls::ServingPlan servingPlan(const ListenerConfig& listener, const Settings& settings) {
  tls::ServingPlan plan;
  plan.listener = listener.listener.id;
  plan.policy = listener.policy;
  plan.alpn = alpnOf(listener.listener.protocol);
  plan.hostnames = listener.listener.hostnames;
  if (!listener.acme.empty()) {
    if (const auto* provider = providerOf(listener.acme, settings)) {
      plan.own = ofEachKeyType(*provider, listener.listener.hostnames);
      for (const auto& names : provider->domains) plan.domains.push_back(ofEachKeyType(*provider, names));
    }
  } else if (!listener.certificate.empty()) {
    plan.own = {tls::staticCertificate(listener.certificate)};
  }
  for (const auto& entry : listener.sni) {
    plan.sni.push_back({entry.subject, tls::staticCertificate(entry.certificate)});
  }
  plan.answersChallenges = answersChallenges(listener, settings);
  return plan;
}

std::map<tls::CertificateId, tls::CertifiedKeyRef> staticCertificates(const config::Loaded& loaded, Time now,
                                                                      config::Diagnostics& diagnostics) {
  std::map<tls::CertificateId, tls::CertifiedKeyRef> result;
  for (const auto& section : loaded.settings->certificates) {
    try {
      auto pair = tls::CertifiedKey::fromPem(section.certificatePem, section.keyPem);
      warnAbout(*pair, section.name, loaded, now, diagnostics);
      result.emplace(tls::staticCertificate(section.name), std::move(pair));
    } catch (const tls::Error& error) {
      std::string files;
      if (!section.certificateFile.empty()) files = " (cert " + section.certificateFile;
      if (!section.keyFile.empty()) files += (files.empty() ? " (" : ", ") + ("private-key " + section.keyFile);
      if (!files.empty()) files += ")";
      diagnostics.all.push_back({config::Severity::Error, placeOf(loaded, "certificate/" + section.name),
                                 "certificate." + section.name, "", error.what() + files, ""});
    }
  }
  return result;
}

void tryPolicies(const config::Loaded& loaded, config::Diagnostics& diagnostics) {
  tls::CertificateStore store;
  SystemClock clock;
  tls::TicketKeys tickets(clock);
  tls::AlpnChallenges challenges;
  LogSettings quiet;
  quiet.level = LogLevel::Error;  // what is left out of a policy is said when the listener is really built
  Log log(quiet);
  tls::CertifiedKeyRef some;
  for (const auto& listener : loaded.settings->listeners) {
    if (listener.listener.tls == listeners::TlsMode::Off) continue;
    try {
      if (!some) {
        auto key = tls::generateKey(tls::KeyType::EcdsaP256);
        some = tls::makeSelfSigned(key.get(), {"localhost"}, clock.now());
      }
      tls::ServingPlan plan = servingPlan(listener, *loaded.settings);
      plan.meanwhile = {some, "self-signed", {}};
      tls::ServerContext context(plan, store, tickets, challenges, log);
    } catch (const tls::Error& error) {
      diagnostics.all.push_back({config::Severity::Error, placeOf(loaded, "listener/" + listener.listener.id),
                                 "server.listener." + listener.listener.id + ".tls", "", error.what(),
                                 "choose protocols, ciphers and groups that this OpenSSL has"});
    }
  }
}

}  // namespace postern::server
