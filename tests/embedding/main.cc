// How another mail server uses Postern's TLS and ACME rooms: a store of certificates, a context that serves from it,
// and the manager that would fill it. Makes one handshake in memory and says what was served.
#include <openssl/ssl.h>

#include <chrono>
#include <cstdio>
#include <exception>
#include <stdexcept>
#include <string>

#include "acme/manager.h"
#include "base/clock.h"
#include "base/log.h"
#include "tls/alpn_challenges.h"
#include "tls/certificate_store.h"
#include "tls/certified_key.h"
#include "tls/policy.h"
#include "tls/server_context.h"
#include "tls/ticket_keys.h"

namespace tls = postern::tls;
namespace acme = postern::acme;

namespace {

// Turns until both sides are done, which takes a few; more means that it never ends.
void shakeHands(SSL* client, SSL* server) {
  for (int turn = 0; turn < 10; ++turn) {
    const int clientDone = SSL_do_handshake(client);
    const int serverDone = SSL_do_handshake(server);
    if (clientDone == 1 && serverDone == 1) return;
  }
  throw std::runtime_error("the handshake does not end: " + tls::drainErrors());
}

std::string servedSerial(const tls::ServerContext& context, const char* name) {
  const tls::SslCtxPtr clientContext(SSL_CTX_new(TLS_client_method()));
  const tls::SslPtr client(SSL_new(clientContext.get()));
  const tls::SslPtr server = context.newConnection();
  BIO* clientEnd = nullptr;
  BIO* serverEnd = nullptr;
  if (!client || !server || BIO_new_bio_pair(&clientEnd, 0, &serverEnd, 0) != 1)
    throw std::runtime_error("out of memory");
  SSL_set_bio(client.get(), clientEnd, clientEnd);
  SSL_set_bio(server.get(), serverEnd, serverEnd);
  SSL_set_connect_state(client.get());
  SSL_set_tlsext_host_name(client.get(), name);
  shakeHands(client.get(), server.get());

  const tls::CertPtr leaf(SSL_get1_peer_certificate(client.get()));
  if (!leaf) throw std::runtime_error("no certificate was served");
  const ASN1_INTEGER* serial = X509_get0_serialNumber(leaf.get());
  std::string text;
  for (int i = 0; i < ASN1_STRING_length(serial); ++i) {
    char byte[3];
    std::snprintf(byte, sizeof byte, "%02x", ASN1_STRING_get0_data(serial)[i]);
    text += byte;
  }
  return text;
}

}  // namespace

int main() try {
  postern::SystemClock clock;
  postern::Log log;
  tls::CertificateStore store;
  tls::AlpnChallenges challenges;
  tls::TicketKeys tickets(clock);

  const std::string name = "mail.example.org";
  const tls::KeyPtr key = tls::generateKey(tls::KeyType::EcdsaP256);
  const tls::CertifiedKeyRef selfSigned = tls::makeSelfSigned(key.get(), {name}, clock.now());

  tls::ServingPlan plan;
  plan.listener = "imaps";
  plan.policy = tls::intermediatePolicy();
  plan.alpn = {"imap"};
  plan.hostnames = {name};
  plan.own = {tls::acmeCertificate("example", {name})};
  plan.meanwhile = {selfSigned, "self-signed", {}};
  tls::ServerContext context(plan, store, tickets, challenges, log);
  const std::string before = servedSerial(context, name.c_str());

  // What the manager does when an order is done: publish, and the next handshake shows it.
  const tls::CertifiedKeyRef issued = tls::makeSelfSigned(key.get(), {name}, clock.now());
  store.publish(plan.own.front(), issued);
  context.refresh();
  const std::string after = servedSerial(context, name.c_str());
  if (before == after) throw std::runtime_error("the published certificate was not served");

  acme::HttpChallenges httpChallenges;
  acme::Manager manager(
      {clock, log, store, challenges, httpChallenges, acme::curlTransports("embedding-example/1.0"), {}});
  manager.apply(acme::Plan{});
  manager.start();
  std::printf("served %s, then %s; the manager cares for %zu certificates\n", before.c_str(), after.c_str(),
              manager.status().certificates.size());
  return 0;
} catch (const std::exception& error) {
  std::fprintf(stderr, "embedding: %s\n", error.what());
  return 1;
}
