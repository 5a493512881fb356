// TlsPair: a TLS client and a server's SSL that talk through memory, for tests of handshakes without sockets.
//
// One thread per pair; different pairs of one ServerContext may shake hands in different threads at once.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "tls/openssl.h"
#include "tls/server_context.h"

namespace postern::testing {

using SessionPtr = tls::Owned<SSL_SESSION, SSL_SESSION_free>;

// Frees as after an orderly goodbye: OpenSSL forbids resuming the session of a connection that just vanished.
void closeAndFree(SSL* ssl);
using ClosingSslPtr = tls::Owned<SSL, closeAndFree>;

struct ClientOptions {
  std::string serverName;          // "": no SNI
  std::vector<std::string> alpn;   // empty: no ALPN
  SSL_SESSION* session = nullptr;  // to resume; borrowed
  int oldest = TLS1_2_VERSION, newest = TLS1_3_VERSION;
  std::string ciphers;                             // TLS 1.2, OpenSSL's names; "": the library's
  std::string suites;                              // TLS 1.3; "": the library's
  std::string groups;                              // "": the library's
  std::string signatureAlgorithms;                 // "": the library's
  const tls::CertifiedKey* certificate = nullptr;  // the client's own
  X509* trusted = nullptr;                         // set: the chain and the server name are verified against this root
};

struct Handshake {
  bool completed = false;  // on both sides
  bool resumed = false;
  std::string serial;  // of the server's certificate, lower-case hexadecimal
  std::size_t chainLength = 0;
  std::string protocol;         // as ALPN agreed; "" without
  std::string version, cipher;  // "TLSv1.3", "TLS_AES_128_GCM_SHA256"
  std::string alert;            // the description of the alert the client got ("no_application_protocol"); "" without
  int alertNumber = 0;
  std::string error;             // of the client's side
  std::size_t tickets = 0;       // new ones the client got
  std::size_t ticketSize = 0;    // of the last
  SessionPtr session;            // the last, ready to resume; null without
  tls::SslCtxPtr clientContext;  // declared before what uses it
  ClosingSslPtr client, server;  // still connected

  // Sends `bytes` from the client and returns what the server read.
  std::string clientToServer(std::string_view bytes);
  std::string serverToClient(std::string_view bytes);
};

// Shakes hands, lets the client read the server's tickets, and leaves the pair connected.
Handshake shakeHands(tls::SslPtr server, const ClientOptions& options = {});
Handshake shakeHands(const tls::ServerContext& context, const ClientOptions& options = {});

}  // namespace postern::testing
