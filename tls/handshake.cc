#include "tls/handshake.h"

#include <openssl/err.h>
#include <openssl/sslerr.h>
#include <openssl/tls1.h>

#include <algorithm>
#include <exception>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "tls/client_hello.h"
#include "tls/client_support.h"
#include "tls/ticket_encryption.h"

namespace postern::tls {
namespace {

// What belongs to one connection for as long as its SSL lives.
struct State {
  std::shared_ptr<const Serving> serving;
  std::string serverName;
  const ShownSet* shown = nullptr;  // of the serving: what stands on the SSL; null for a challenge
  bool greeted = false;             // a ClientHello was seen; a second one comes after a HelloRetryRequest
  bool challenge = false;
  unsigned newKeysWanted = 0;  // in a row, without data between them
  std::string_view refusal;    // why greet() ended it; "" when it did not
};

// Whoever asks for new keys more often than this without sending anything wants to keep the processor busy.
constexpr unsigned mostNewKeysWanted = 32;

void freeState(void*, void* state, CRYPTO_EX_DATA*, int, long, void*) noexcept {
  delete static_cast<State*>(state);
}

int stateIndex() {
  static const int index = SSL_get_ex_new_index(0, nullptr, nullptr, nullptr, freeState);
  return index;
}

State* stateOf(const SSL* ssl) {
  return static_cast<State*>(SSL_get_ex_data(ssl, stateIndex()));
}

std::string_view extensionOf(SSL* ssl, unsigned type) {
  const unsigned char* bytes = nullptr;
  std::size_t size = 0;
  if (SSL_client_hello_get0_ext(ssl, type, &bytes, &size) != 1) return {};
  return {reinterpret_cast<const char*>(bytes), size};
}

// Beside what stands there of other key types.
bool add(SSL* ssl, const CertifiedKey& certificate, STACK_OF(X509) * issuers) {
  return SSL_use_cert_and_key(ssl, certificate.leaf(), certificate.key(), issuers, 1) == 1;
}

bool put(SSL* ssl, const CertifiedKey& certificate, STACK_OF(X509) * issuers) {
  // Without clearing, the listener's own certificate of another key type would stay beside this one and might be
  // chosen.
  SSL_certs_clear(ssl);
  return add(ssl, certificate, issuers);
}

struct Refusal {
  int alert;
  std::string_view why;
};

// RFC 8737 section 3. The CA brings what versions and ciphers it likes, whatever the listener's policy is.
std::optional<Refusal> answerChallenge(SSL* ssl, State& state) {
  const Serving& serving = *state.serving;
  if (!serving.plan().answersChallenges && !serving.plan().challengesOnly)
    return Refusal{SSL_AD_NO_APPLICATION_PROTOCOL, "this listener does not answer challenges (acme-tls/1)"};
  const CertifiedKeyRef certificate = serving.challenges.find(state.serverName);
  if (!certificate) {
    serving.log.debug("tls.challenge.unknown",
                      {{"listener", serving.plan().listener}, {"server_name", state.serverName}});
    return Refusal{SSL_AD_UNRECOGNIZED_NAME, "no challenge is pending for this name"};
  }
  // No ticket, so that neither a challenge is resumed as a session nor a session as a challenge.
  SSL_set_options(ssl, SSL_OP_NO_TICKET);
  SSL_set_verify(ssl, SSL_VERIFY_NONE, nullptr);
  const ChainPtr issuers = issuersOf(*certificate);
  char groups[] = "X25519:P-256:P-384";
  if (SSL_set_num_tickets(ssl, 0) != 1 || SSL_set_min_proto_version(ssl, TLS1_2_VERSION) != 1 ||
      SSL_set_max_proto_version(ssl, TLS1_3_VERSION) != 1 ||
      SSL_set_cipher_list(ssl, "ECDHE+AESGCM:ECDHE+CHACHA20") != 1 ||
      SSL_set_ciphersuites(ssl, TLS_DEFAULT_CIPHERSUITES) != 1 || SSL_set1_groups_list(ssl, groups) != 1 ||
      !put(ssl, *certificate, issuers.get()))
    return Refusal{SSL_AD_INTERNAL_ERROR, "the answer to a challenge cannot be used"};
  return std::nullopt;
}

bool sameCertificates(const ShownSet& a, const ShownSet& b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(),
                    [](const Shown& one, const Shown& other) { return one.certificate == other.certificate; });
}

// Whether the listener goes by this name, also while it has no certificate for it yet. "" is nobody's.
bool isOwnName(const ServingPlan& plan, const std::string& name) {
  return std::any_of(plan.hostnames.begin(), plan.hostnames.end(), [&](const std::string& own) {
    return !name.empty() && (own == name || own == wildcardFor(name));
  });
}

// What to end with, or nothing to go on.
std::optional<Refusal> greet(SSL* ssl) {
  State& state = *stateOf(ssl);
  const Serving& serving = *state.serving;
  std::string name = hostName(extensionOf(ssl, TLSEXT_TYPE_server_name));
  const auto protocols = offeredProtocols(extensionOf(ssl, TLSEXT_TYPE_application_layer_protocol_negotiation));
  const bool challenge = protocols.size() == 1 && protocols.front() == acmeTlsProtocol;
  if (state.greeted) {
    // RFC 8446 section 4.1.2: a second ClientHello says the same again. What the first one led to stands on the SSL.
    if (name != state.serverName || challenge != state.challenge)
      return Refusal{SSL_AD_ILLEGAL_PARAMETER, "the second ClientHello differs from the first"};
    return std::nullopt;
  }
  state.greeted = true;
  state.serverName = std::move(name);
  state.challenge = challenge;
  if (challenge) return answerChallenge(ssl, state);
  if (serving.plan().challengesOnly)
    return Refusal{SSL_AD_NO_APPLICATION_PROTOCOL, "this port only answers challenges (acme-tls/1)"};
  const ShownSet* shown = serving.selection.find(state.serverName);
  if (shown == nullptr && serving.plan().policy.strictSni && !isOwnName(serving.plan(), state.serverName))
    return Refusal{SSL_AD_UNRECOGNIZED_NAME, "strict-sni: no certificate is for this name"};
  const bool own = shown == nullptr || sameCertificates(*shown, *serving.own);
  state.shown = own ? serving.own.get() : shown;
  if (own) return std::nullopt;
  SSL_certs_clear(ssl);
  for (const Shown& one : *shown) {
    if (!add(ssl, *one.certificate, one.issuers.get()))
      return Refusal{SSL_AD_INTERNAL_ERROR, "the certificate cannot be used"};
  }
  return std::nullopt;
}

int onClientHello(SSL* ssl, int* alert, void*) noexcept {
  try {
    const auto refused = greet(ssl);
    if (!refused) return SSL_CLIENT_HELLO_SUCCESS;
    *alert = refused->alert;
    stateOf(ssl)->refusal = refused->why;
  } catch (const std::exception&) {  // memory
    *alert = SSL_AD_INTERNAL_ERROR;
  }
  return SSL_CLIENT_HELLO_ERROR;
}

// OpenSSL chooses among certificates of several key types by its own order of signature algorithms and ciphers, not by
// ours: where the client can use the preferred one, no other stays on the connection.
int onCertificate(SSL* ssl, void*) noexcept {
  const State& state = *stateOf(ssl);
  if (state.shown == nullptr || state.shown->size() < 2) return 1;
  const Shown& preferred = state.shown->front();
  if (!clientCanUse(ssl, *preferred.certificate, preferred.issuers.get())) return 1;
  return put(ssl, *preferred.certificate, preferred.issuers.get()) ? 1 : 0;
}

int chooseProtocol(const State& state, std::string_view offer, std::string_view& chosen) {
  if (state.challenge) {
    chosen = acmeTlsProtocol;
    return SSL_TLSEXT_ERR_OK;
  }
  const auto& spoken = state.serving->plan().alpn;
  if (spoken.empty()) return SSL_TLSEXT_ERR_NOACK;
  for (const auto& protocol : spoken) {
    for (std::string_view rest = offer; !rest.empty();) {
      const std::size_t size = static_cast<unsigned char>(rest.front());
      if (rest.substr(1, size) == protocol) {
        chosen = protocol;
        return SSL_TLSEXT_ERR_OK;
      }
      rest.remove_prefix(std::min(size + 1, rest.size()));
    }
  }
  // RFC 7301 section 3.2. Going on without would let one protocol's bytes be taken for another's (ALPACA).
  return SSL_TLSEXT_ERR_ALERT_FATAL;
}

int onAlpn(SSL* ssl, const unsigned char** out, unsigned char* outSize, const unsigned char* in, unsigned inSize,
           void*) noexcept {
  std::string_view chosen;
  const int result = chooseProtocol(*stateOf(ssl), {reinterpret_cast<const char*>(in), inSize}, chosen);
  *out = reinterpret_cast<const unsigned char*>(chosen.data());
  *outSize = static_cast<unsigned char>(chosen.size());
  return result;
}

// That there is a callback makes OpenSSL say in its ServerHello that the name was looked at (RFC 6066 section 3).
int onServerName(SSL*, int*, void*) noexcept {
  return SSL_TLSEXT_ERR_OK;
}

int onTicket(SSL* ssl, unsigned char* name, unsigned char* iv, EVP_CIPHER_CTX* cipher, EVP_MAC_CTX* mac,
             int encrypting) noexcept {
  const State& state = *stateOf(ssl);
  if (state.challenge) return 0;
  const TicketScope scope{state.serving->tickets, state.serving->policyDigest, state.serverName};
  try {
    return encrypting == 1 ? sealTicket(scope, name, iv, cipher, mac)
                           : openTicket(scope, name, iv, cipher, mac, SSL_version(ssl) == TLS1_3_VERSION);
  } catch (const std::exception&) {
    return 0;  // a full handshake, or no ticket, is better than none
  }
}

// A session brings the client's certificate along, and each resumption a new ticket: one that is required would do for
// ever. When it has expired, the client is asked for it again.
SSL_TICKET_RETURN onSession(SSL*, SSL_SESSION* session, const unsigned char*, std::size_t, SSL_TICKET_STATUS status,
                            void*) noexcept {
  if (status != SSL_TICKET_SUCCESS && status != SSL_TICKET_SUCCESS_RENEW) return SSL_TICKET_RETURN_IGNORE_RENEW;
  const X509* const client = SSL_SESSION_get0_peer(session);
  const bool expired = client != nullptr && X509_cmp_current_time(X509_get0_notAfter(client)) < 0;
  if (expired) return SSL_TICKET_RETURN_IGNORE_RENEW;
  return status == SSL_TICKET_SUCCESS ? SSL_TICKET_RETURN_USE : SSL_TICKET_RETURN_USE_RENEW;
}

// A KeyUpdate, or in TLS 1.2 a further ClientHello, which is refused with an alert each time.
bool wantsNewKeys(const SSL* ssl, const State& state, unsigned char message) {
  if (message == SSL3_MT_CLIENT_HELLO) return state.greeted && SSL_version(ssl) < TLS1_3_VERSION;
  return message == SSL3_MT_KEY_UPDATE;
}

void onMessage(int writing, int, int type, const void* bytes, std::size_t size, SSL* ssl, void*) noexcept {
  if (writing != 0 || size == 0 || type != SSL3_RT_HANDSHAKE) return;
  State& state = *stateOf(ssl);
  if (!wantsNewKeys(ssl, state, *static_cast<const unsigned char*>(bytes))) return;
  // A callback about messages cannot fail; as if the peer had said goodbye, whatever it sends now is thrown away.
  if (++state.newKeysWanted > mostNewKeysWanted) SSL_set_shutdown(ssl, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
}

}  // namespace

void installCallbacks(SSL_CTX* context) {
  SSL_CTX_set_client_hello_cb(context, onClientHello, nullptr);
  SSL_CTX_set_alpn_select_cb(context, onAlpn, nullptr);
  // What SSL_CTX_set_tlsext_servername_callback() does, with a cast that names itself.
  SSL_CTX_callback_ctrl(context, SSL_CTRL_SET_TLSEXT_SERVERNAME_CB, reinterpret_cast<void (*)()>(onServerName));
  SSL_CTX_set_tlsext_ticket_key_evp_cb(context, onTicket);
  SSL_CTX_set_session_ticket_cb(context, nullptr, onSession, nullptr);
  SSL_CTX_set_cert_cb(context, onCertificate, nullptr);
  SSL_CTX_set_msg_callback(context, onMessage);
}

bool attachServing(SSL* ssl, std::shared_ptr<const Serving> serving) {
  auto state = std::make_unique<State>();
  state->serving = std::move(serving);
  if (SSL_set_ex_data(ssl, stateIndex(), state.get()) != 1) return false;
  state.release();
  return true;
}

void dataCame(const SSL* ssl) {
  if (State* const state = stateOf(ssl)) state->newKeysWanted = 0;
}

std::string reasonOf(const SSL* ssl, unsigned long error) {
  const State* const state = ssl == nullptr ? nullptr : stateOf(ssl);
  if (ERR_GET_REASON(error) == SSL_R_CALLBACK_FAILED && state != nullptr && !state->refusal.empty())
    return std::string(state->refusal) + "; server name: " + (state->serverName.empty() ? "none" : state->serverName);
  const char* const text = ERR_reason_error_string(error);
  std::string reason = text ? text : "TLS error " + std::to_string(error);
  if (ERR_GET_REASON(error) == SSL_R_CERTIFICATE_VERIFY_FAILED && ssl != nullptr)
    reason += std::string(": ") + X509_verify_cert_error_string(SSL_get_verify_result(ssl));
  return reason;
}

bool isChallenge(const SSL* ssl) {
  const State* state = stateOf(ssl);
  return state != nullptr && state->challenge;
}

std::string_view serverName(const SSL* ssl) {
  const State* state = stateOf(ssl);
  return state == nullptr ? std::string_view() : state->serverName;
}

}  // namespace postern::tls
