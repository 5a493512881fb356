// acme.<name>.dns: how the records of DNS-01 are set, by RFC 2136 updates signed with TSIG or by a program.
#include <algorithm>

#include "base/encoding.h"
#include "base/text.h"
#include "config/sections.h"

namespace postern::config {
namespace {

using Method = acme::DnsSettings::Method;

const std::vector<std::string> ofRfc2136{"key", "secret", "tsig-algorithm"}, ofHook{"hook"};

// "ns.example.org", "192.0.2.1:53", "[2001:db8::1]:53", "2001:db8::1"
bool isServer(const std::string& text) {
  if (isIpLiteral(text) || listeners::parseAddress(text)) return true;
  if (text.size() > 2 && text.front() == '[' && text.back() == ']') {
    return isIpLiteral(text.substr(1, text.size() - 2));
  }
  const auto colon = text.find(':');
  const auto name = hostname(std::string_view(text).substr(0, colon));
  if (!name || isWildcard(*name.value)) return false;
  if (colon == std::string::npos) return true;
  Node port;
  port.kind = Node::Kind::Text;
  port.text = text.substr(colon + 1);
  return static_cast<bool>(toCount(port, 1, 65535));
}

// A domain name as it stands in DNS: underscores, and a dot at the end, may be.
bool isDomainName(std::string_view text) {
  if (!text.empty() && text.back() == '.') text.remove_suffix(1);
  if (text.empty() || text.size() > 253) return false;
  const std::vector<std::string> labels = split(text, '.');
  return std::all_of(labels.begin(), labels.end(), [](const std::string& label) {
    return !label.empty() && label.size() <= 63 && std::all_of(label.begin(), label.end(), [](char c) {
      return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '_';
    });
  });
}

void warnOfUseless(const Reader& reader, const KeyPath& dns, const std::vector<std::string>& names,
                   const std::string& problem) {
  for (const std::string& name : names) {
    if (const Found found = reader.find(dns / name)) reader.warning(found, problem, "leave it out");
  }
}

// Where updates go, and where delegations and the records themselves are looked for first, also when a hook sets them.
void readServer(const Reader& reader, const KeyPath& dns, acme::DnsSettings& settings) {
  const Found server = reader.find(dns / "server");
  if (!server || !server.node->isText()) return;
  settings.server = reader.text(server);
  if (isServer(settings.server)) return;
  reader.error(server, "expected the name or address of a DNS server, perhaps with a port",
               "write \"ns.example.org\", \"192.0.2.1:53\" or \"[2001:db8::1]:53\"");
}

void readRfc2136(const Reader& reader, const KeyPath& dns, acme::DnsSettings& settings) {
  const std::string why = "required with dns.provider = \"rfc2136-tsig\"";
  reader.require(dns / "server", why, "name the zone's primary server");
  reader.require(dns / "key", why, "name the TSIG key as the server knows it");
  reader.require(dns / "secret", why, "give the TSIG key in base64; tsig-keygen makes one");
  readServer(reader, dns, settings);
  if (const Found key = reader.find(dns / "key"); key && key.node->isText()) {
    settings.key = reader.text(key);
    if (!isDomainName(settings.key)) reader.error(key, "expected the name of a TSIG key", "write it as a domain name");
  }
  const Found secret = reader.find(dns / "secret");
  if (const auto text = readSecretText(reader, secret)) {
    auto bytes = fromBase64(trimmed(*text));
    if (bytes && !bytes->empty()) {
      settings.secret = Secret(std::move(*bytes));
    } else {
      reader.error(secret, "expected a TSIG key in base64", "copy it from the server's configuration, or tsig-keygen");
    }
  }
  settings.algorithm = reader.text(reader.find(dns / "tsig-algorithm"), settings.algorithm);
}

template <class Unit>
Unit atLeastASecond(const Reader& reader, const Found& found, Unit fallback) {
  if (!found || !toDuration(*found.node)) return fallback;
  const auto time = reader.duration(found, fallback);
  if (time < std::chrono::seconds(1)) reader.error(found, "expected at least a second", "write \"1s\" or more");
  return std::chrono::duration_cast<Unit>(time);
}

}  // namespace

void readDns(const Reader& reader, const KeyPath& section, acme::Provider& provider) {
  const KeyPath dns = section / "dns";
  acme::DnsSettings& settings = provider.dns;
  const Found method = reader.find(dns / "provider");
  const std::string word = reader.text(method);
  const bool wanted = std::find(provider.challenge.begin(), provider.challenge.end(), acme::ChallengeType::Dns01) !=
                      provider.challenge.end();
  if (wanted) {
    reader.require(dns / "provider", "required with the challenge dns-01",
                   "write dns.provider = \"rfc2136-tsig\" or \"hook\"");
  } else if (method) {
    reader.warning(method, "has no meaning while challenge does not name dns-01", "add \"dns-01\" to challenge");
  }
  settings.ttl = atLeastASecond(reader, reader.find(dns / "ttl"), settings.ttl);
  settings.propagationTimeout =
      atLeastASecond(reader, reader.find(dns / "propagation-timeout"), settings.propagationTimeout);
  settings.pollingInterval = reader.duration(reader.find(dns / "polling-interval"), settings.pollingInterval);
  if (word == "rfc2136-tsig") {
    settings.method = Method::Rfc2136;
    readRfc2136(reader, dns, settings);
    warnOfUseless(reader, dns, ofHook, "has no meaning with dns.provider = \"rfc2136-tsig\"");
  } else if (word == "hook") {
    settings.method = Method::Hook;
    reader.require(dns / "hook", "required with dns.provider = \"hook\"", "name the program");
    settings.hook = readProgram(reader, reader.find(dns / "hook"));
    readServer(reader, dns, settings);
    warnOfUseless(reader, dns, ofRfc2136, "has no meaning with dns.provider = \"hook\"");
  } else if (!method && !reader.raw(dns / "provider") && !wanted) {
    for (const auto& names : {std::vector<std::string>{"server"}, ofRfc2136, ofHook}) {
      warnOfUseless(reader, dns, names, "has no meaning without dns.provider");
    }
  }
}

}  // namespace postern::config
