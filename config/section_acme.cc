// acme.<name>: what acme/ is told about a CA.
#include "base/text.h"
#include "config/sections.h"

namespace postern::config {
namespace {

void readDomains(const Reader& reader, const Found& domains, acme::Provider& provider) {
  for (const Found& item : reader.items(domains)) {
    std::vector<std::string> names;
    for (const NamePlace& name : readNames(reader, item)) {
      names.push_back(name.name);
      checkAcmeName(reader, name.found, &provider);
    }
    if (!names.empty()) provider.domains.push_back(std::move(names));
  }
}

}  // namespace

void checkAcmeName(const Reader& reader, const Found& found, const acme::Provider* provider) {
  const auto name = toHostname(*found.node);
  if (!name) return;
  if (isIpLiteral(*name.value)) {
    reader.error(found, "certificates for IP addresses are not yet in effect",
                 "use a host name, or a certificate of your own");
    return;
  }
  if (isWildcard(*name.value)) {
    reader.error(found, "a CA certifies a wildcard by dns-01 alone, which is not yet in effect",
                 "list the names, or use a certificate of your own");
    return;
  }
  const bool local = *name.value == "localhost" || name.value->ends_with(".localhost");
  const bool single = name.value->find('.') == std::string::npos;
  if ((local || single) && (!provider || provider->caFile.empty())) {
    reader.error(found, local ? "no public CA certifies localhost" : "no public CA certifies a name without a dot",
                 "use a full name such as mail.example.org; a CA of your own has a ca-file");
  }
}

void readProviders(const Reader& reader, Settings& settings) {
  for (const std::string& name : reader.ids({"acme"})) {
    const KeyPath section{"acme", name};
    acme::Provider provider;
    provider.name = name;
    provider.directory = reader.text(reader.find(section / "directory"), provider.directory);
    for (const Found& contact : reader.items(reader.find(section / "contact"))) {
      if (auto url = toContact(*contact.node)) provider.contact.push_back(*url.value);
    }
    reader.require(section / "cache", "required", "name a folder for accounts and certificates");
    provider.cache = reader.text(reader.find(section / "cache"));
    provider.port = static_cast<int>(reader.count(reader.find(section / "port"), provider.port));
    if (const Found before = reader.find(section / "renew-before")) {
      const auto time = std::chrono::duration_cast<std::chrono::seconds>(reader.duration(before, {}));
      if (time.count() > 0) {
        provider.renewBefore = time;
      } else if (toDuration(*before.node)) {
        reader.error(before, "expected at least a second");
      }
    }
    if (const Found file = reader.find(section / "ca-file"); file && file.node->isText()) {
      provider.caFile = reader.text(file);
      const Files::Content content = reader.files().read(provider.caFile);
      if (!content.text) {
        reader.error(file, "cannot be read: " + content.why, "check the path and who may read it");
      } else if (content.text->find("-----BEGIN") == std::string::npos) {
        reader.error(file, "holds no certificate in PEM",
                     "give the CA's root certificate as -----BEGIN CERTIFICATE-----");
      }
    }
    if (const Found bind = reader.find(section / "challenge-bind"))
      provider.challengeBind = toIp(*bind.node).value.value_or("");
    readDomains(reader, reader.find(section / "domains"), provider);
    settings.providers.push_back(std::move(provider));
  }
}

}  // namespace postern::config
