#include "tests/support/tls_pair.h"

#include <openssl/bn.h>
#include <openssl/err.h>
#include <openssl/x509_vfy.h>

#include <stdexcept>
#include <utility>

#include "base/text.h"
#include "tls/names.h"

namespace postern::testing {
namespace {

struct Seen {
  std::size_t tickets = 0;
  SessionPtr session;
  int alert = 0;
};

int seenIndex() {
  static const int index = SSL_get_ex_new_index(0, nullptr, nullptr, nullptr, nullptr);
  return index;
}

Seen& seenBy(const SSL* ssl) {
  return *static_cast<Seen*>(SSL_get_ex_data(ssl, seenIndex()));
}

int onSession(SSL* ssl, SSL_SESSION* session) {
  Seen& seen = seenBy(ssl);
  ++seen.tickets;
  seen.session.reset(session);
  return 1;  // the reference is ours now
}

void onInfo(const SSL* ssl, int where, int what) {
  if ((where & SSL_CB_READ_ALERT) == SSL_CB_READ_ALERT && (what >> 8) == SSL3_AL_FATAL) seenBy(ssl).alert = what & 0xff;
}

void require(bool held, const char* what) {
  if (!held) throw std::runtime_error(std::string("test client: ") + what + ": " + tls::drainErrors());
}

tls::SslCtxPtr clientContext(const ClientOptions& options) {
  tls::SslCtxPtr context(SSL_CTX_new(TLS_client_method()));
  require(context != nullptr, "context");
  SSL_CTX* raw = context.get();
  require(SSL_CTX_set_min_proto_version(raw, options.oldest) == 1 &&
              SSL_CTX_set_max_proto_version(raw, options.newest) == 1,
          "versions");
  require(options.ciphers.empty() || SSL_CTX_set_cipher_list(raw, options.ciphers.c_str()) == 1, "ciphers");
  require(options.suites.empty() || SSL_CTX_set_ciphersuites(raw, options.suites.c_str()) == 1, "suites");
  std::string groups = options.groups;
  require(groups.empty() || SSL_CTX_set1_groups_list(raw, groups.data()) == 1, "groups");
  std::string algorithms = options.signatureAlgorithms;
  require(algorithms.empty() || SSL_CTX_set1_sigalgs_list(raw, algorithms.data()) == 1, "signature algorithms");
  SSL_CTX_set_session_cache_mode(raw, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
  SSL_CTX_sess_set_new_cb(raw, onSession);
  SSL_CTX_set_info_callback(raw, onInfo);
  if (options.certificate != nullptr) {
    const tls::ChainPtr issuers = tls::issuersOf(*options.certificate);
    require(
        SSL_CTX_use_cert_and_key(raw, options.certificate->leaf(), options.certificate->key(), issuers.get(), 1) == 1,
        "certificate");
  }
  if (options.trusted != nullptr) {
    require(X509_STORE_add_cert(SSL_CTX_get_cert_store(raw), options.trusted) == 1, "trust");
    SSL_CTX_set_verify(raw, SSL_VERIFY_PEER, nullptr);
  }
  return context;
}

tls::SslPtr clientFor(SSL_CTX* context, const ClientOptions& options) {
  tls::SslPtr ssl(SSL_new(context));
  require(ssl != nullptr, "connection");
  if (!options.serverName.empty()) {
    std::string name = options.serverName;
    require(SSL_ctrl(ssl.get(), SSL_CTRL_SET_TLSEXT_HOSTNAME, TLSEXT_NAMETYPE_host_name, name.data()) == 1,
            "server name");
    if (options.trusted != nullptr) require(SSL_set1_host(ssl.get(), options.serverName.c_str()) == 1, "server name");
  }
  std::string wire;
  for (const auto& protocol : options.alpn) wire += static_cast<char>(protocol.size()) + protocol;
  // Unlike its siblings this one returns 0 for success.
  require(wire.empty() || SSL_set_alpn_protos(ssl.get(), reinterpret_cast<const unsigned char*>(wire.data()),
                                              static_cast<unsigned>(wire.size())) == 0,
          "ALPN");
  if (options.session != nullptr) require(SSL_set_session(ssl.get(), options.session) == 1, "session");
  SSL_set_connect_state(ssl.get());
  return ssl;
}

void connect(SSL* client, SSL* server) {
  BIO* clientEnd = nullptr;
  BIO* serverEnd = nullptr;
  require(BIO_new_bio_pair(&clientEnd, 1 << 17, &serverEnd, 1 << 17) == 1, "pipe");
  SSL_set_bio(client, clientEnd, clientEnd);
  SSL_set_bio(server, serverEnd, serverEnd);
}

enum class Went { Done, Waiting, Failed };

Went step(SSL* ssl, std::string& error) {
  ERR_clear_error();
  const int result = SSL_do_handshake(ssl);
  if (result == 1) return Went::Done;
  const int why = SSL_get_error(ssl, result);
  if (why == SSL_ERROR_WANT_READ || why == SSL_ERROR_WANT_WRITE) return Went::Waiting;
  error = tls::drainErrors();
  return Went::Failed;
}

bool drive(SSL* client, SSL* server, std::string& error) {
  Went here = Went::Waiting, there = Went::Waiting;
  std::string serverError;
  // Each round carries a flight each way; a handshake with a HelloRetryRequest has four.
  for (int round = 0; round < 20; ++round) {
    if (here == Went::Waiting) here = step(client, error);
    if (there == Went::Waiting) there = step(server, serverError);
    if (here == Went::Done && there == Went::Done) return true;
    if (here == Went::Failed) break;
  }
  if (here == Went::Done) step(client, error);
  return false;
}

std::string readAll(SSL* ssl) {
  std::string bytes(1 << 16, '\0');
  std::size_t size = 0;
  ERR_clear_error();
  if (SSL_read_ex(ssl, bytes.data(), bytes.size(), &size) != 1) size = 0;
  bytes.resize(size);
  return bytes;
}

std::string serialOf(const X509* certificate) {
  const tls::Owned<BIGNUM, BN_free> number(ASN1_INTEGER_to_BN(X509_get0_serialNumber(certificate), nullptr));
  char* digits = BN_bn2hex(number.get());
  std::string text = lower(digits);
  OPENSSL_free(digits);
  return text;
}

// "no application protocol" as the RFCs have it, with underscores.
std::string alertName(int alert) {
  switch (alert) {
    case SSL_AD_NO_APPLICATION_PROTOCOL: return "no_application_protocol";
    case SSL_AD_UNRECOGNIZED_NAME: return "unrecognized_name";
    case SSL_AD_PROTOCOL_VERSION: return "protocol_version";
    case SSL_AD_HANDSHAKE_FAILURE: return "handshake_failure";
    default: break;
  }
  std::string name = SSL_alert_desc_string_long(alert);
  for (char& c : name) {
    if (c == ' ') c = '_';
  }
  return name;
}

}  // namespace

std::string Handshake::clientToServer(std::string_view bytes) {
  std::size_t written = 0;
  SSL_write_ex(client.get(), bytes.data(), bytes.size(), &written);
  std::string read = readAll(server.get());
  if (!read.empty()) tls::dataCame(server.get());
  return read;
}

std::string Handshake::serverToClient(std::string_view bytes) {
  std::size_t written = 0;
  SSL_write_ex(server.get(), bytes.data(), bytes.size(), &written);
  return readAll(client.get());
}

void closeAndFree(SSL* ssl) {
  SSL_set_shutdown(ssl, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
  SSL_free(ssl);
}

Handshake shakeHands(tls::SslPtr server, const ClientOptions& options) {
  require(server != nullptr, "the server's SSL");
  Handshake done;
  Seen seen;
  done.clientContext = clientContext(options);
  done.client.reset(clientFor(done.clientContext.get(), options).release());
  done.server.reset(server.release());
  SSL* client = done.client.get();
  SSL_set_ex_data(client, seenIndex(), &seen);
  connect(client, done.server.get());

  done.completed = drive(client, done.server.get(), done.error);
  if (!done.completed) readAll(client);  // TLS 1.3: its alert may come once the client believes it is done
  if (done.completed) {
    readAll(client);  // tickets come after the handshake, and are taken in while reading
    done.resumed = SSL_session_reused(client) == 1;
    done.version = SSL_get_version(client);
    done.cipher = SSL_CIPHER_standard_name(SSL_get_current_cipher(client));
    const unsigned char* protocol = nullptr;
    unsigned size = 0;
    SSL_get0_alpn_selected(client, &protocol, &size);
    if (size != 0) done.protocol.assign(reinterpret_cast<const char*>(protocol), size);
    if (const X509* certificate = SSL_get0_peer_certificate(client)) done.serial = serialOf(certificate);
    const STACK_OF(X509)* chain = SSL_get_peer_cert_chain(client);
    done.chainLength = chain == nullptr ? 0 : static_cast<std::size_t>(sk_X509_num(chain));
  }
  done.alertNumber = seen.alert;
  if (seen.alert != 0) done.alert = alertName(seen.alert);
  done.tickets = seen.tickets;
  done.session = std::move(seen.session);
  // TLS 1.2 does not call back for a ticket that came while resuming.
  if (done.completed && !done.session && SSL_version(client) == TLS1_2_VERSION)
    done.session.reset(SSL_get1_session(client));
  if (done.session) {
    const unsigned char* ticket = nullptr;
    SSL_SESSION_get0_ticket(done.session.get(), &ticket, &done.ticketSize);
  }
  // `seen` ends here; what comes later is nobody's.
  SSL_CTX_sess_set_new_cb(done.clientContext.get(), nullptr);
  SSL_set_info_callback(client, nullptr);
  SSL_CTX_set_info_callback(done.clientContext.get(), nullptr);
  return done;
}

Handshake shakeHands(const tls::ServerContext& context, const ClientOptions& options) {
  return shakeHands(context.newConnection(), options);
}

}  // namespace postern::testing
