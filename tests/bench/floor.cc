// bench_floor: what a handshake costs the server's side when there is nothing but OpenSSL: two SSL objects that talk
// through memory BIOs, timed on the server's side alone. Once with the library's defaults, once with Postern's own
// ServerContext.
//
//   bench_floor CERTIFICATE KEY COUNT
//
// Prints one JSON object: settings ("defaults", "postern") -> handshake ("1.3 full", ...) -> microseconds, the median
// of ten batches.
#include <openssl/err.h>
#include <openssl/ssl.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <fstream>
#include <functional>
#include <iostream>
#include <sstream>
#include <stdexcept>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/json.h"
#include "base/log.h"
#include "tls/server_context.h"

namespace postern::bench {
namespace {

using Steady = std::chrono::steady_clock;
using SessionPtr = tls::Owned<SSL_SESSION, SSL_SESSION_free>;
using MakeSsl = std::function<tls::SslPtr()>;

int keepSession(SSL* ssl, SSL_SESSION* session) {
  static_cast<SessionPtr*>(SSL_get_app_data(ssl))->reset(session);
  return 1;
}

tls::SslCtxPtr client(int version) {
  tls::SslCtxPtr context(SSL_CTX_new(TLS_client_method()));
  if (!context) tls::fail("cannot make a client");
  SSL_CTX_set_min_proto_version(context.get(), version);
  SSL_CTX_set_max_proto_version(context.get(), version);
  SSL_CTX_set_session_cache_mode(context.get(), SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
  SSL_CTX_sess_set_new_cb(context.get(), keepSession);
  return context;
}

void moveBytes(SSL* from, SSL* to) {
  std::array<char, 16384> bytes;
  for (;;) {
    const int got = BIO_read(SSL_get_wbio(from), bytes.data(), static_cast<int>(bytes.size()));
    if (got <= 0) return;
    BIO_write(SSL_get_rbio(to), bytes.data(), got);
  }
}

tls::SslPtr withMemory(tls::SslPtr ssl) {
  if (!ssl) tls::fail("cannot make an SSL");
  SSL_set_bio(ssl.get(), BIO_new(BIO_s_mem()), BIO_new(BIO_s_mem()));
  return ssl;
}

// One handshake; the time that the server's side took, its SSL's making and freeing included.
Steady::duration shake(SSL_CTX* clientContext, const MakeSsl& make, SessionPtr& session, bool resume) {
  tls::SslPtr visitor = withMemory(tls::SslPtr(SSL_new(clientContext)));
  SSL_set_connect_state(visitor.get());
  SSL_set_app_data(visitor.get(), static_cast<void*>(&session));
  if (resume && session) SSL_set_session(visitor.get(), session.get());
  auto begun = Steady::now();
  tls::SslPtr server = withMemory(make());
  Steady::duration spent = Steady::now() - begun;
  for (int turn = 0; !SSL_is_init_finished(server.get()) || !SSL_is_init_finished(visitor.get()); ++turn) {
    if (turn == 10) tls::fail("no handshake");
    SSL_do_handshake(visitor.get());
    moveBytes(visitor.get(), server.get());
    begun = Steady::now();
    SSL_do_handshake(server.get());
    spent += Steady::now() - begun;
    moveBytes(server.get(), visitor.get());
  }
  char byte;
  SSL_read(visitor.get(), &byte, 1);  // the tickets
  ERR_clear_error();
  if (resume && SSL_session_reused(visitor.get()) != 1) throw std::runtime_error("a session was not resumed");
  SSL_set_shutdown(visitor.get(), SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
  begun = Steady::now();
  SSL_set_shutdown(server.get(), SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
  server.reset();
  return spent + (Steady::now() - begun);
}

double measure(int version, bool resume, const MakeSsl& make, int count) {
  const auto context = client(version);
  SessionPtr session;
  for (int i = 0; i < 20; ++i) shake(context.get(), make, session, false);
  std::vector<double> batches;
  for (int batch = 0; batch < 10; ++batch) {
    Steady::duration spent{};
    for (int i = 0; i < count / 10; ++i) spent += shake(context.get(), make, session, resume);
    batches.push_back(std::chrono::duration<double, std::micro>(spent).count() / (count / 10));
  }
  std::sort(batches.begin(), batches.end());
  return batches[batches.size() / 2];
}

Json all(const MakeSsl& make, int count) {
  return Json::Object{{"1.3 full", measure(TLS1_3_VERSION, false, make, count)},
                      {"1.3 resumed", measure(TLS1_3_VERSION, true, make, count)},
                      {"1.2 full", measure(TLS1_2_VERSION, false, make, count)},
                      {"1.2 resumed", measure(TLS1_2_VERSION, true, make, count)}};
}

std::string contentOf(const std::string& path) {
  std::ifstream file(path);
  std::ostringstream text;
  if (!(text << file.rdbuf())) throw std::runtime_error("cannot read " + path);
  return text.str();
}

}  // namespace
}  // namespace postern::bench

int main(int argc, char** argv) {
  using namespace postern;
  using namespace postern::bench;
  if (argc != 4) {
    std::cerr << "usage: bench_floor CERTIFICATE KEY COUNT" << std::endl;
    return 2;
  }
  try {
    const int count = std::max(std::stoi(argv[3]), 10);
    const tls::SslCtxPtr defaults(SSL_CTX_new(TLS_server_method()));
    if (SSL_CTX_use_certificate_chain_file(defaults.get(), argv[1]) != 1 ||
        SSL_CTX_use_PrivateKey_file(defaults.get(), argv[2], SSL_FILETYPE_PEM) != 1)
      tls::fail("cannot use the certificate");

    SystemClock clock;
    Log log(LogSettings{LogLevel::Error, LogFormat::Text, ""});
    tls::CertificateStore store;
    tls::TicketKeys tickets(clock);
    tls::AlpnChallenges challenges;
    tls::ServingPlan plan;
    plan.listener = "floor";
    plan.policy = tls::intermediatePolicy();
    plan.alpn = {"imap"};
    plan.meanwhile = {
        tls::CertifiedKey::fromPem(contentOf(argv[1]), Secret(contentOf(argv[2]))), "certificate:floor", {}};
    const tls::ServerContext context(plan, store, tickets, challenges, log);
    std::cout << Json(Json::Object{{"defaults", all([&] { return tls::SslPtr(SSL_new(defaults.get())); }, count)},
                                   {"postern", all([&] { return context.newConnection(); }, count)}})
                     .dump()
              << std::endl;
  } catch (const std::exception& error) {
    std::cerr << "bench_floor: " << error.what() << std::endl;
    return 1;
  }
}
