// tls.*: how many handshakes a listener takes, and from whom: limits, strict-sni, client certificates; and what is
// likely to lose mail in any of a listener's TLS settings.
#include <algorithm>
#include <charconv>

#include "base/text.h"
#include "config/sections.h"

namespace postern::config {
namespace {

using listeners::Rate;
using listeners::TlsMode;

// In the form that toRate() gives: "10/1000ms".
Rate readRate(const Found& found) {
  Rate rate;
  const auto text = found ? toRate(*found.node).value : std::nullopt;
  if (!text) return rate;
  const auto slash = text->find('/');
  std::int64_t per = 0;
  std::from_chars(text->data(), text->data() + slash, rate.count);
  std::from_chars(text->data() + slash + 1, text->data() + text->size(), per);
  rate.per = std::chrono::milliseconds(per);
  return rate;
}

void readClientAuth(const Reader& reader, ListenerConfig& config) {
  const std::string& id = config.listener.id;
  const Found auth = reader.inherited(id, {"tls", "client-auth"}), ca = reader.inherited(id, {"tls", "client-ca"});
  const std::string word = reader.text(auth, "none");
  config.policy.clientAuth = word == "require"   ? tls::ClientAuth::Require
                             : word == "request" ? tls::ClientAuth::Request
                                                 : tls::ClientAuth::None;
  if (config.policy.clientAuth == tls::ClientAuth::None || config.listener.tls == TlsMode::Off) return;
  if (!ca) {
    if (config.policy.clientAuth == tls::ClientAuth::Require) {
      reader.error(auth, "no client could come in: there is no client-ca to vouch for its certificate",
                   "set tls.client-ca to a PEM file of the CAs that certify your clients");
    }
    return;
  }
  if (!toPath(*ca.node)) return;
  const Files::Content content = reader.files().read(ca.node->text);
  if (!content.text) {
    reader.error(ca, "the file cannot be read: " + content.why, "check the path and who may read it");
  } else if (content.text->find("-----BEGIN CERTIFICATE-----") == std::string::npos &&
             content.text->find("-----BEGIN TRUSTED CERTIFICATE-----") == std::string::npos) {
    reader.error(ca, "expected a PEM file with -----BEGIN CERTIFICATE-----", "put the CAs' certificates into it");
  } else {
    config.policy.clientCa = *content.text;
  }
}

}  // namespace

void readSharedHandshakes(const Reader& reader, Settings& settings) {
  const KeyPath tls{"server", "tls"};
  settings.shared.maxHandshakes =
      static_cast<std::uint32_t>(reader.count(reader.find(tls / "max-handshakes"), settings.shared.maxHandshakes));
  settings.shared.handshakeRate = readRate(reader.find(tls / "handshake-rate-per-ip"));
}

void readHandshakes(const Reader& reader, ListenerConfig& config) {
  const std::string& id = config.listener.id;
  config.listener.maxHandshakes = static_cast<std::uint32_t>(
      reader.count(reader.inherited(id, {"tls", "max-handshakes"}), config.listener.maxHandshakes));
  // "" at a listener is a rate of its own too: none.
  if (const Found rate = reader.raw({"server", "listener", id, "tls", "handshake-rate-per-ip"}))
    config.listener.handshakeRate = readRate(reader.find(rate.path));
  config.policy.strictSni = reader.boolean(reader.inherited(id, {"tls", "strict-sni"}), false);
  readClientAuth(reader, config);
}

void checkTlsSettings(const Reader& reader, const ListenerConfig& config) {
  if (config.listener.tls == TlsMode::Off) return;
  const std::string& id = config.listener.id;
  const auto warn = [&](const char* key, const std::string& problem, const std::string& remedy) {
    if (const Found found = reader.inherited(id, {"tls", key})) {
      reader.warning(found, "listener " + id + ": " + problem, remedy);
      return;
    }
    const KeyPath tls{"server", "listener", id, "tls"};
    reader.report().add({Severity::Warning, reader.placeOf(tls), dotted(tls), "", problem, remedy});
  };
  std::vector<std::string> weak;
  for (const auto& cipher : config.policy.ciphers) {
    if (cipher.starts_with("TLS_RSA_") || cipher.find("_CBC_") != std::string::npos || cipher.ends_with("_CCM_8") ||
        cipher == "TLS13_AES_128_CCM_8_SHA256")
      weak.push_back(cipher);
  }
  if (!weak.empty()) {
    warn("ciphers", "weak: " + joined(weak, ", ") + " (no forward secrecy, CBC, or a short tag)",
         "leave them out unless a client that you know has nothing better");
  }
  // What follows is for servers that strangers' mail servers come to; those fall back to the clear, or bounce.
  if (config.listener.protocol != listeners::Protocol::Smtp || config.listener.role != listeners::Role::Mx) return;
  const auto& protocols = config.policy.protocols;
  if (std::find(protocols.begin(), protocols.end(), "TLSv1.2") == protocols.end()) {
    const char* const key = reader.inherited(id, {"tls", "protocols"}) ? "protocols" : "policy";
    warn(key, "loses mail: many mail servers speak TLSv1.2 at most", "allow TLSv1.2 on listeners of role mx");
  } else if (std::none_of(config.policy.ciphers.begin(), config.policy.ciphers.end(),
                          [](const std::string& cipher) { return cipher.starts_with("TLS_"); })) {
    warn("ciphers", "loses mail: none is left for TLSv1.2, and many mail servers speak nothing newer",
         "add those of the policy intermediate, which begin with TLS_ECDHE_");
  }
  if (std::none_of(config.policy.groups.begin(), config.policy.groups.end(), [](const std::string& group) {
        return group == "X25519" || group == "P-256" || group == "P-384";
      })) {
    warn("groups", "loses mail: few mail servers know " + joined(config.policy.groups, ", "), "add X25519 and P-256");
  }
  if (config.listener.tlsRequired) {
    warn("required", "loses mail: not every mail server speaks TLS (RFC 3207 section 4 forbids to require it here)",
         "set tls.required = false on listeners of role mx");
  }
  if (config.policy.clientAuth == tls::ClientAuth::Require) {
    warn("client-auth", "loses mail: the mail servers of others have no certificate of your CA",
         "set client-auth = \"request\" on listeners of role mx");
  }
  if (config.policy.strictSni) {
    warn("strict-sni", "loses mail: many mail servers name no server in their handshake",
         "set strict-sni = false on listeners of role mx");
  }
}

}  // namespace postern::config
