// tls.*: mode, policy and source of the certificate, of the server and of each listener.
#include <algorithm>

#include "base/text.h"
#include "config/sections.h"

namespace postern::config {
namespace {

using listeners::Protocol;
using listeners::TlsMode;

const KeyPath server{"server"};

KeyPath listenerPath(const ListenerConfig& config) {
  return {"server", "listener", config.listener.id};
}

struct Source {
  std::string acme, certificate;
  Found key;  // what decided; none: self-signed
};

// The most specific setting wins, acme before certificate in one place; "" stops what would be inherited.
Source decide(const Reader& reader, const ListenerConfig& config) {
  bool acmeOff = false, certificateOff = false;
  for (const KeyPath& place : {listenerPath(config), server}) {
    const Found acme = reader.raw(place / "tls" / "acme"), certificate = reader.raw(place / "tls" / "certificate");
    if (acme && !acmeOff && !acme.node->isOff()) return {acme.node->text, "", acme};
    if (certificate && !certificateOff && !certificate.node->isOff()) return {"", certificate.node->text, certificate};
    acmeOff = acmeOff || acme;
    certificateOff = certificateOff || certificate;
  }
  return {};
}

TlsMode decideMode(const Reader& reader, const ListenerConfig& config, const Source& source) {
  const std::string& id = config.listener.id;
  const Found enable = reader.inherited(id, {"tls", "enable"}), implicitKey = reader.inherited(id, {"tls", "implicit"});
  const bool implicit = reader.boolean(implicitKey, false);
  if (config.listener.protocol == Protocol::Http) return implicit ? TlsMode::Implicit : TlsMode::Off;
  const bool enabled = reader.boolean(enable, source.key || implicit);
  if (implicit && !enabled) {
    reader.error(implicitKey, "contradicts enable = false at " + placeText(enable.node->place),
                 "set one of them otherwise");
  }
  if (!enabled) return TlsMode::Off;
  return implicit ? TlsMode::Implicit : TlsMode::StartTls;
}

void readRequired(const Reader& reader, ListenerConfig& config) {
  listeners::ListenerSettings& listener = config.listener;
  const bool logsIn = listener.protocol == Protocol::Imap ||
                      (listener.protocol == Protocol::Smtp && listener.role == listeners::Role::Submission);
  const Found required = reader.inherited(listener.id, {"tls", "required"});
  if (listener.protocol == Protocol::Http) return;  // TLS there is on from the first byte, or off
  listener.tlsRequired = reader.boolean(required, logsIn && !listener.allowPlainText);
  if (listener.tlsRequired && listener.tls == TlsMode::Off) {
    Node place;
    place.place = reader.placeOf(listenerPath(config));
    reader.report().warning(
        listenerPath(config), place,
        logsIn ? "nobody can log in: login needs TLS, and TLS is off"
               : "no mail can come in: tls.required is true, and TLS is off",
        logsIn ? "set tls.acme or tls.certificate, or allow-plain-text = true" : "set tls.acme or tls.certificate");
  }
}

// One list of the policy: the more specific place wins, and in one place a list wins over the policy.
std::vector<std::string> policyList(const Reader& reader, const ListenerConfig& config, const std::string& name,
                                    std::vector<std::string> tls::Policy::*member) {
  bool listOff = false, policyOff = false;
  for (const KeyPath& place : {listenerPath(config), server}) {
    const Found list = reader.raw(place / "tls" / name), policy = reader.raw(place / "tls" / "policy");
    if (list && !listOff && !list.node->isOff()) {
      std::vector<std::string> names;
      for (const Found& item : reader.items(list)) {
        const std::string word = reader.text(item);
        if (std::find(names.begin(), names.end(), word) == names.end()) names.push_back(word);
      }
      return names;
    }
    if (policy && !policyOff && !policy.node->isOff()) {
      return (policy.node->text == "modern" ? tls::modernPolicy() : tls::intermediatePolicy()).*member;
    }
    listOff = listOff || list;
    policyOff = policyOff || policy;
  }
  return tls::intermediatePolicy().*member;
}

void readPolicy(const Reader& reader, ListenerConfig& config) {
  const std::string& id = config.listener.id;
  config.policy.protocols = policyList(reader, config, "protocols", &tls::Policy::protocols);
  config.policy.ciphers = policyList(reader, config, "ciphers", &tls::Policy::ciphers);
  config.policy.groups = policyList(reader, config, "groups", &tls::Policy::groups);
  config.policy.ignoreClientOrder = reader.boolean(reader.inherited(id, {"tls", "ignore-client-order"}), true);
  config.policy.sessionTickets = reader.boolean(reader.inherited(id, {"tls", "session-tickets"}), true);
  const auto usable = [&config](const std::string& protocol) {
    const std::string_view prefix = protocol == "TLSv1.3" ? "TLS13_" : "TLS_";
    return std::any_of(config.policy.ciphers.begin(), config.policy.ciphers.end(),
                       [prefix](const std::string& cipher) { return cipher.starts_with(prefix); });
  };
  const auto& protocols = config.policy.protocols;
  if (config.listener.tls == TlsMode::Off || std::any_of(protocols.begin(), protocols.end(), usable)) return;
  KeyPath key = listenerPath(config) / "tls";
  reader.report().missing(key, reader.placeOf(key), "no cipher suite is left that its protocols could use",
                          "ciphers of TLSv1.3 begin with TLS13_, those of TLSv1.2 with TLS_");
}

Found sniMember(const Found& entry, const std::string& name) {
  const auto at = entry.node->members.find(name);
  if (at == entry.node->members.end() || at->second.broken) return {};
  return {&at->second, entry.path / name};
}

void readSni(const Reader& reader, ListenerConfig& config) {
  const Found list = reader.inherited(config.listener.id, {"tls", "sni"});
  std::map<std::string, Place> subjects;
  for (const Found& entry : reader.items(list)) {
    if (!entry.node->isTable()) continue;
    const Found subject = sniMember(entry, "subject"), certificate = sniMember(entry, "certificate");
    if (!subject || !certificate) continue;
    for (const NamePlace& name : readNames(reader, subject)) {
      const auto first = subjects.emplace(name.name, name.found.node->place);
      if (!first.second) {
        reader.error(name.found,
                     "set twice; the first entry for this name stands at " + placeText(first.first->second));
      }
      config.sni.push_back({name.name, reader.text(certificate)});
    }
  }
}

// tls.acme, tls.certificate or a certificate of sni: names a section that is there.
void checkReference(const Reader& reader, const Found& key, const std::string& kind,
                    const std::vector<std::string>& names) {
  if (!key || !key.node->isText() || reader.isIncomplete()) return;
  if (std::find(names.begin(), names.end(), key.node->text) != names.end()) return;
  const std::string near = key.node->hidden ? "" : nearest(key.node->text, names);
  reader.error(key, "there is no section [" + kind + ".<name>] of this name",
               near.empty() ? "write one, or name one that is there" : "did you mean " + near + "?");
}

void checkNames(const Reader& reader, const Found& list, const std::string& what, bool (*isKnown)(std::string_view),
                const std::vector<std::string>& known) {
  for (const Found& item : reader.items(list)) {
    if (!item.node->isText() || isKnown(item.node->text)) continue;
    const std::string near = item.node->hidden ? "" : nearest(item.node->text, known);
    reader.error(item, "expected the name of a " + what,
                 near.empty() ? "one of " + joined(known, ", ") : "did you mean " + near + "?");
  }
}

void checkPlace(const Reader& reader, const Settings& settings, const KeyPath& place) {
  std::vector<std::string> providers, certificates;
  for (const auto& provider : settings.providers) providers.push_back(provider.name);
  for (const auto& certificate : settings.certificates) certificates.push_back(certificate.name);
  const KeyPath section = place / "tls";
  checkReference(reader, reader.find(section / "acme"), "acme", providers);
  checkReference(reader, reader.find(section / "certificate"), "certificate", certificates);
  for (const Found& entry : reader.items(reader.find(section / "sni"))) {
    if (!entry.node->isTable()) continue;
    for (const char* name : {"subject", "certificate"}) {
      const auto at = entry.node->members.find(name);
      if (at != entry.node->members.end() && !at->second.isOff()) continue;
      reader.report().missing(entry.path / name, entry.node->place, "required",
                              "write { subject = \"name\", certificate = \"section\" }");
    }
    const Found certificate = sniMember(entry, "certificate");
    if (certificate && !certificate.node->isOff()) checkReference(reader, certificate, "certificate", certificates);
  }
  checkNames(reader, reader.find(section / "protocols"), "protocol", tls::isProtocolName, {"TLSv1.2", "TLSv1.3"});
  checkNames(reader, reader.find(section / "ciphers"), "cipher suite", tls::isCipherName, tls::cipherNames());
  checkNames(reader, reader.find(section / "groups"), "group", tls::isGroupName, tls::groupNames());
}

}  // namespace

void checkReferences(const Reader& reader, const Settings& settings) {
  checkPlace(reader, settings, server);
  for (const std::string& id : reader.ids({"server", "listener"}))
    checkPlace(reader, settings, {"server", "listener", id});
}

void readListenerTls(const Reader& reader, const Settings& settings, ListenerConfig& config) {
  const Source source = decide(reader, config);
  config.listener.tls = decideMode(reader, config, source);
  config.listener.tlsTimeout =
      reader.duration(reader.inherited(config.listener.id, {"tls", "timeout"}), config.listener.tlsTimeout);
  readRequired(reader, config);
  readPolicy(reader, config);
  readHandshakes(reader, config);
  if (config.listener.tls == TlsMode::Off) return;
  checkTlsSettings(reader, config);
  readSni(reader, config);
  config.acme = source.acme;
  config.certificate = source.certificate;
  config.decidedBy = source.key ? dotted(source.key.path) : "default";
  if (!source.key) {
    Node place;
    place.place = reader.placeOf(listenerPath(config));
    reader.report().warning(listenerPath(config), place,
                            "TLS is on without tls.acme or tls.certificate: a self-signed certificate is served",
                            "set tls.acme or tls.certificate");
  }
  const bool unknown = !source.key || source.key.node->broken || reader.isIncomplete();
  if (unknown) return;
  checkAcmeNames(reader, settings, config);
  checkKeyTypes(reader, settings, config);
}

}  // namespace postern::config
