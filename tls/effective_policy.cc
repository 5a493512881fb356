#include "tls/effective_policy.h"

#include <openssl/err.h>

#include <algorithm>
#include <array>
#include <unordered_map>
#include <vector>

#include "base/text.h"
#include "tls/names.h"

namespace postern::tls {
namespace {

constexpr std::string_view tls13Prefix = "TLS13_";

SslCtxPtr newContext() {
  ERR_clear_error();
  SslCtxPtr context(SSL_CTX_new(TLS_server_method()));
  if (!context) fail("cannot make a TLS context");
  return context;
}

// OpenSSL's own names by the IANA's, of all that this library can do.
const std::unordered_map<std::string, std::string>& ciphersAtHand() {
  static const std::unordered_map<std::string, std::string> known = [] {
    const SslCtxPtr context = newContext();
    SSL_CTX_set_security_level(context.get(), 0);
    SSL_CTX_set_cipher_list(context.get(), "ALL:COMPLEMENTOFALL");
    SSL_CTX_set_ciphersuites(context.get(),
                             "TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256:"
                             "TLS_AES_128_CCM_SHA256:TLS_AES_128_CCM_8_SHA256");
    std::unordered_map<std::string, std::string> names;
    const STACK_OF(SSL_CIPHER)* ciphers = SSL_CTX_get_ciphers(context.get());
    for (int i = 0; i < sk_SSL_CIPHER_num(ciphers); ++i) {
      const SSL_CIPHER* cipher = sk_SSL_CIPHER_value(ciphers, i);
      if (const char* name = SSL_CIPHER_standard_name(cipher)) names.emplace(name, SSL_CIPHER_get_name(cipher));
    }
    ERR_clear_error();
    return names;
  }();
  return known;
}

void append(std::string& list, std::string_view name) {
  if (!list.empty()) list += ':';
  list += name;
}

void collectCiphers(const std::vector<std::string>& names, EffectivePolicy& effective, std::vector<std::string>& left) {
  for (const auto& name : names) {
    const bool newer = name.starts_with(tls13Prefix);
    const std::string iana = newer ? "TLS_" + name.substr(tls13Prefix.size()) : name;
    const auto found = ciphersAtHand().find(iana);
    if (found == ciphersAtHand().end() || !isCipherName(name))
      left.push_back(name);
    else
      append(newer ? effective.suites : effective.ciphers, found->second);
  }
}

// By value, because OpenSSL's macro casts the const away.
bool setGroups(SSL_CTX* context, std::string names) {
  return SSL_CTX_set1_groups_list(context, names.data()) == 1;
}

bool isHybrid(std::string_view group) {
  return group.find("MLKEM") != std::string_view::npos;
}

// Behind the hybrid groups a tuple ends ("/", since OpenSSL 3.5): a client that has one and sent the share of another
// group is asked once more, as by OpenSSL's own list. Within one tuple its first guess would win, and its mail could be
// read by whoever stores it until there are quantum computers.
void collectGroups(const std::vector<std::string>& names, EffectivePolicy& effective, std::vector<std::string>& left) {
  const SslCtxPtr scratch = newContext();
  bool afterHybrid = false;
  for (const auto& name : names) {
    // One by one: a list with one unknown name is refused whole.
    if (!isGroupName(name) || !setGroups(scratch.get(), name)) {
      left.push_back(name);
      continue;
    }
    if (!effective.groups.empty()) effective.groups += afterHybrid && !isHybrid(name) ? '/' : ':';
    effective.groups += name;
    afterHybrid = isHybrid(name);
  }
  // An older OpenSSL has hybrid groups from a provider, and no tuples.
  if (!effective.groups.empty() && !setGroups(scratch.get(), effective.groups))
    std::replace(effective.groups.begin(), effective.groups.end(), '/', ':');
  ERR_clear_error();
}

bool speaks(const Policy& policy, std::string_view protocol) {
  return std::find(policy.protocols.begin(), policy.protocols.end(), protocol) != policy.protocols.end();
}

}  // namespace

EffectivePolicy effectivePolicy(const Policy& policy, std::string_view listener, Log& log) {
  const Policy usual = intermediatePolicy();
  EffectivePolicy effective;
  std::vector<std::string> left;
  collectCiphers(policy.ciphers.empty() ? usual.ciphers : policy.ciphers, effective, left);
  collectGroups(policy.groups.empty() ? usual.groups : policy.groups, effective, left);
  const std::string where = "listener " + std::string(listener) + ": ";
  if (effective.groups.empty())
    throw Error(where + "none of the groups " + joined(policy.groups, ", ") +
                " is known to this OpenSSL; add \"X25519\" or \"P-256\"");

  const bool older = speaks(policy, "TLSv1.2") && !effective.ciphers.empty();
  const bool newer = speaks(policy, "TLSv1.3") && !effective.suites.empty();
  if (!older && !newer)
    throw Error(where + "no cipher is left for the protocols " + joined(policy.protocols, ", ") +
                " (TLSv1.3 needs one that begins with TLS13_, TLSv1.2 one that begins with TLS_)");
  if (speaks(policy, "TLSv1.2") && !older) left.emplace_back("TLSv1.2 (no cipher for it)");
  if (speaks(policy, "TLSv1.3") && !newer) left.emplace_back("TLSv1.3 (no cipher for it)");
  effective.oldest = older ? TLS1_2_VERSION : TLS1_3_VERSION;
  effective.newest = newer ? TLS1_3_VERSION : TLS1_2_VERSION;
  if (policy.clientAuth != ClientAuth::None) {
    if (policy.clientAuth == ClientAuth::Require && policy.clientCa.empty())
      throw Error(where + "client-auth = \"require\" without a client-ca: no client could come in");
    try {
      effective.clients = std::make_shared<const ClientAuthority>(policy.clientCa);
    } catch (const Error& error) {
      throw Error(where + error.what());
    }
  }
  if (!left.empty()) log.info("tls.policy.reduced", {{"listener", listener}, {"left_out", joined(left, ", ")}});
  return effective;
}

SslCtxPtr makeContext(const Policy& policy, const EffectivePolicy& effective, std::string_view listener) {
  SslCtxPtr context = newContext();
  SSL_CTX* raw = context.get();
  // The machine's openssl.cnf has no say in what the configuration has decided.
  SSL_CTX_set_security_level(raw, securityLevel);
  if (SSL_CTX_set_min_proto_version(raw, effective.oldest) != 1 ||
      SSL_CTX_set_max_proto_version(raw, effective.newest) != 1)
    fail("cannot set the protocol versions");
  if (!effective.ciphers.empty() && SSL_CTX_set_cipher_list(raw, effective.ciphers.c_str()) != 1)
    fail("cannot set the ciphers " + effective.ciphers);
  if (SSL_CTX_set_ciphersuites(raw, effective.suites.c_str()) != 1) fail("cannot set the ciphers " + effective.suites);
  if (!setGroups(raw, effective.groups)) fail("cannot set the groups " + effective.groups);
  SSL_CTX_set_dh_auto(raw, 1);

  std::uint64_t options = SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION;
  // ChaCha20 goes first for a client that put it first: it has no instructions for AES.
  if (policy.ignoreClientOrder) options |= SSL_OP_CIPHER_SERVER_PREFERENCE | SSL_OP_PRIORITIZE_CHACHA;
  if (!policy.sessionTickets) options |= SSL_OP_NO_TICKET;
  SSL_CTX_set_options(raw, options);
  SSL_CTX_set_mode(raw, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_NO_AUTO_CHAIN);
  SSL_CTX_set_max_early_data(raw, 0);
  // None is taken. But a client whose ticket is of another server behind this name, or of the one before us, may send
  // it, and that much is passed over (RFC 8446 section 4.2.10): with 0 its handshake would fail.
  SSL_CTX_set_recv_max_early_data(raw, SSL3_RT_MAX_PLAIN_LENGTH);

  SSL_CTX_set_session_cache_mode(raw, SSL_SESS_CACHE_OFF);
  SSL_CTX_set_num_tickets(raw, policy.sessionTickets ? 1 : 0);
  // The same for all contexts of a listener, so that a session outlives the certificate it began with.
  std::array<unsigned char, 32> id{};
  const std::string text = "postern listener " + std::string(listener);
  if (EVP_Digest(text.data(), text.size(), id.data(), nullptr, EVP_sha256(), nullptr) != 1 ||
      SSL_CTX_set_session_id_context(raw, id.data(), static_cast<unsigned>(id.size())) != 1)
    fail("cannot set the session id context");
  if (effective.clients) effective.clients->install(raw, policy.clientAuth);
  return context;
}

std::string policyDigest(std::string_view listener, const Policy& policy, const std::vector<std::string>& alpn) {
  std::string text;
  const auto add = [&text](std::string_view part) {
    text.append(std::to_string(part.size())).append(":").append(part);
  };
  const auto addAll = [&](const std::vector<std::string>& parts) {
    add(std::to_string(parts.size()));
    for (const auto& part : parts) add(part);
  };
  add(listener);
  addAll(policy.protocols);
  addAll(policy.ciphers);
  addAll(policy.groups);
  add(policy.ignoreClientOrder ? "server order" : "client order");
  add(policy.sessionTickets ? "tickets" : "no tickets");
  addAll(alpn);
  // What a ticket says of a client was found by these.
  if (policy.clientAuth != ClientAuth::None) {
    add(policy.clientAuth == ClientAuth::Require ? "client certificate required" : "client certificate requested");
    add(policy.clientCa);
  }
  std::string digest(32, '\0');
  if (EVP_Digest(text.data(), text.size(), reinterpret_cast<unsigned char*>(digest.data()), nullptr, EVP_sha256(),
                 nullptr) != 1)
    fail("cannot hash a policy");
  return digest;
}

}  // namespace postern::tls
