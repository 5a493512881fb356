// acme.<name>: what acme/ is told about a CA. How DNS-01 sets its records is read in section_dns.cc.
#include <algorithm>

#include "base/encoding.h"
#include "base/text.h"
#include "config/sections.h"

namespace postern::config {
namespace {

using acme::ChallengeType;

void readDirectory(const Reader& reader, const KeyPath& section, acme::Provider& provider) {
  provider.directory = reader.text(reader.find(section / "directory"), provider.directory);
  for (const Found& contact : reader.items(reader.find(section / "contact"))) {
    if (auto url = toContact(*contact.node)) provider.contact.push_back(*url.value);
  }
  const Found file = reader.find(section / "ca-file");
  if (!file || !toPath(*file.node)) return;
  provider.caFile = reader.text(file);
  const Files::Content content = reader.files().read(provider.caFile);
  if (!content.text) {
    reader.error(file, "cannot be read: " + content.why, "check the path and who may read it");
  } else if (content.text->find("-----BEGIN") == std::string::npos) {
    reader.error(file, "holds no certificate in PEM", "give the CA's root certificate as -----BEGIN CERTIFICATE-----");
  }
}

void readRenewal(const Reader& reader, const KeyPath& section, acme::Provider& provider) {
  const Found before = reader.find(section / "renew-before");
  if (!before) return;
  const auto time = std::chrono::duration_cast<std::chrono::seconds>(reader.duration(before, {}));
  if (time.count() > 0) {
    provider.renewBefore = time;
  } else if (toDuration(*before.node)) {
    reader.error(before, "expected at least a second");
  }
}

std::optional<ChallengeType> challengeOf(const std::string& word) {
  if (word == "tls-alpn-01") return ChallengeType::TlsAlpn01;
  if (word == "http-01") return ChallengeType::Http01;
  if (word == "dns-01") return ChallengeType::Dns01;
  return std::nullopt;
}

void readChallenges(const Reader& reader, const KeyPath& section, acme::Provider& provider) {
  std::vector<ChallengeType> types;
  for (const Found& item : reader.items(reader.find(section / "challenge"))) {
    const auto type = challengeOf(reader.text(item));
    if (!type) continue;
    if (std::find(types.begin(), types.end(), *type) != types.end()) {
      reader.error(item, "named twice", "name each challenge type once, in order of preference");
    } else {
      types.push_back(*type);
    }
  }
  if (!types.empty()) provider.challenge = std::move(types);
  provider.port = static_cast<int>(reader.count(reader.find(section / "port"), provider.port));
  provider.httpPort = static_cast<int>(reader.count(reader.find(section / "http-port"), provider.httpPort));
  if (const Found bind = reader.find(section / "challenge-bind"))
    provider.challengeBind = toIp(*bind.node).value.value_or("");
}

// RFC 8555 section 7.3.4 has the key in base64url; CAs hand it out with and without padding, some as plain base64.
std::optional<std::string> macKey(std::string text) {
  for (char& c : text) {
    if (c == '+') c = '-';
    if (c == '/') c = '_';
  }
  auto key = fromBase64Url(trimmed(text));
  return key && !key->empty() ? std::move(key) : std::nullopt;
}

void readExternalAccount(const Reader& reader, const KeyPath& section, acme::Provider& provider) {
  const KeyPath eab = section / "eab";
  const Found id = reader.find(eab / "key-id"), key = reader.find(eab / "hmac-key");
  if (!reader.raw(eab / "key-id") && !reader.raw(eab / "hmac-key")) return;
  if (id && !key) reader.require(eab / "hmac-key", "required with eab.key-id", "the CA gives out both together");
  if (key && !id) reader.require(eab / "key-id", "required with eab.hmac-key", "the CA gives out both together");
  const auto text = readSecretText(reader, key);
  if (!text) return;
  auto bytes = macKey(*text);
  if (!bytes) {
    reader.error(key, "expected a key in base64url", "copy it from the CA as it stands, or write file:///path");
  } else if (id) {
    provider.externalAccount = acme::ExternalAccount{reader.text(id), Secret(std::move(*bytes))};
  }
}

void readKeyTypes(const Reader& reader, const KeyPath& section, acme::Provider& provider) {
  const auto algorithm = [](const std::string& type) { return type.substr(0, type.find('-')); };
  std::vector<std::string> types;
  for (const Found& item : reader.items(reader.find(section / "key-type"))) {
    const std::string type = reader.text(item);
    const auto same = std::find_if(types.begin(), types.end(),
                                   [&](const std::string& one) { return algorithm(one) == algorithm(type); });
    if (same != types.end()) {
      reader.error(item,
                   *same == type ? "named twice"
                                 : "beside " + *same +
                                       " this is a second type of the same algorithm, and OpenSSL "
                                       "serves one certificate of each algorithm side by side",
                   "name one ECDSA type, one RSA type, or one of each");
    } else if (!type.empty()) {
      types.push_back(type);
    }
  }
  if (!types.empty()) provider.keyTypes = std::move(types);
}

void readExport(const Reader& reader, const KeyPath& section, acme::Provider& provider) {
  provider.exportTo = reader.text(reader.find(section / "export"));
  const Found group = reader.find(section / "export-group");
  provider.exportGroup = reader.text(group);
  if (!group || !toText(*group.node)) return;
  if (provider.exportTo.empty() && !reader.raw(section / "export")) {
    reader.warning(group, "has no meaning without export", "name the folder too: export = \"/path\"");
  }
  const auto& exists = reader.surroundings().groupExists;
  if (!provider.exportTo.empty() && exists && !exists(provider.exportGroup)) {
    reader.error(group, "the system has no such group", "make it with groupadd, or name one of /etc/group");
  }
}

acme::Provider readProvider(const Reader& reader, const std::string& name) {
  const KeyPath section{"acme", name};
  acme::Provider provider;
  provider.name = name;
  readDirectory(reader, section, provider);
  reader.require(section / "cache", "required", "name a folder for accounts and certificates");
  provider.cache = reader.text(reader.find(section / "cache"));
  readRenewal(reader, section, provider);
  readChallenges(reader, section, provider);
  readDns(reader, section, provider);
  provider.profile = reader.text(reader.find(section / "profile"));
  provider.preferredChain = reader.text(reader.find(section / "preferred-chain"));
  readExternalAccount(reader, section, provider);
  readKeyTypes(reader, section, provider);
  provider.reuseKey = reader.boolean(reader.find(section / "reuse-key"), provider.reuseKey);
  for (const Found& other : reader.items(reader.find(section / "fallback"))) {
    if (other.node->isText()) provider.fallback.push_back(reader.text(other));
  }
  provider.staging = reader.text(reader.find(section / "staging"));
  provider.orders = static_cast<int>(reader.count(reader.find(section / "orders"), provider.orders));
  readExport(reader, section, provider);
  return provider;
}

// After all sections are read: whether a name can be certified depends on fallbacks too.
void readDomains(const Reader& reader, const Settings& settings, acme::Provider& provider) {
  for (const Found& item : reader.items(reader.find({"acme", provider.name, "domains"}))) {
    std::vector<std::string> names;
    checkAcmeNamesTogether(reader, reader.items(item));
    for (const NamePlace& name : readNames(reader, item)) {
      names.push_back(name.name);
      checkAcmeName(reader, settings, name.found, &provider);
    }
    if (!names.empty()) provider.domains.push_back(std::move(names));
  }
}

}  // namespace

void readProviders(const Reader& reader, Settings& settings) {
  for (const std::string& name : reader.ids({"acme"})) settings.providers.push_back(readProvider(reader, name));
  for (acme::Provider& provider : settings.providers) {
    checkOtherProviders(reader, settings, provider);
    readDomains(reader, settings, provider);
  }
  checkSharedProviders(reader, settings);
}

void readEvents(const Reader& reader, Settings& settings) {
  settings.eventsHook = readProgram(reader, reader.find({"events", "hook"}));
}

}  // namespace postern::config
