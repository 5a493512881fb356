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
#include <ctime>
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

using Duration = std::chrono::nanoseconds;
using SessionPtr = tls::Owned<SSL_SESSION, SSL_SESSION_free>;
using MakeSsl = std::function<tls::SslPtr()>;

// Of this thread alone: what else the machine does is not the handshake's.
Duration processorTime() {
  timespec time{};
  ::clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
  return std::chrono::seconds(time.tv_sec) + std::chrono::nanoseconds(time.tv_nsec);
}

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
  SSL_set_accept_state(ssl.get());  // a client says otherwise below
  SSL_set_bio(ssl.get(), BIO_new(BIO_s_mem()), BIO_new(BIO_s_mem()));
  return ssl;
}

// One handshake; the time that the server's side took, its SSL's making and freeing included.
Duration shake(SSL_CTX* clientContext, const MakeSsl& make, SessionPtr& session, bool resume) {
  tls::SslPtr visitor = withMemory(tls::SslPtr(SSL_new(clientContext)));
  SSL_set_connect_state(visitor.get());
  SSL_set_app_data(visitor.get(), static_cast<void*>(&session));
  if (resume && session) SSL_set_session(visitor.get(), session.get());
  auto begun = processorTime();
  tls::SslPtr server = withMemory(make());
  Duration spent = processorTime() - begun;
  for (int turn = 0; !SSL_is_init_finished(server.get()) || !SSL_is_init_finished(visitor.get()); ++turn) {
    if (turn == 10) tls::fail("no handshake");
    SSL_do_handshake(visitor.get());
    moveBytes(visitor.get(), server.get());
    begun = processorTime();
    SSL_do_handshake(server.get());
    spent += processorTime() - begun;
    moveBytes(server.get(), visitor.get());
  }
  char byte;
  SSL_read(visitor.get(), &byte, 1);  // the tickets
  ERR_clear_error();
  if (resume && SSL_session_reused(visitor.get()) != 1) throw std::runtime_error("a session was not resumed");
  SSL_set_shutdown(visitor.get(), SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
  begun = processorTime();
  SSL_set_shutdown(server.get(), SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
  server.reset();
  return spent + (processorTime() - begun);
}

// Microseconds of each server for one handshake: medians of ten batches, in turn.
std::vector<double> measure(int version, bool resume, const std::vector<MakeSsl>& servers, int count) {
  const auto context = client(version);
  std::vector<SessionPtr> sessions(servers.size());
  std::vector<std::vector<double>> batches(servers.size());
  for (int batch = 0; batch < 11; ++batch) {
    for (std::size_t i = 0; i < servers.size(); ++i) {
      Duration spent{};
      if (!sessions[i]) shake(context.get(), servers[i], sessions[i], false);
      for (int turn = 0; turn < count / 10; ++turn) spent += shake(context.get(), servers[i], sessions[i], resume);
      if (batch == 0) continue;  // what is made once is made
      batches[i].push_back(std::chrono::duration<double, std::micro>(spent).count() / (count / 10));
    }
  }
  std::vector<double> medians;
  for (auto& each : batches) {
    std::sort(each.begin(), each.end());
    medians.push_back(each[each.size() / 2]);
  }
  return medians;
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
    const std::vector<MakeSsl> servers{[&] { return tls::SslPtr(SSL_new(defaults.get())); },
                                       [&] { return context.newConnection(); }};
    Json byDefaults, byPostern;
    for (const int version : {TLS1_3_VERSION, TLS1_2_VERSION}) {
      for (const bool resume : {false, true}) {
        const std::string kind =
            std::string(version == TLS1_3_VERSION ? "1.3" : "1.2") + (resume ? " resumed" : " full");
        const auto medians = measure(version, resume, servers, count);
        byDefaults[kind] = medians[0];
        byPostern[kind] = medians[1];
      }
    }
    std::cout << Json(Json::Object{{"defaults", byDefaults}, {"postern", byPostern}}).dump() << std::endl;
  } catch (const std::exception& error) {
    std::cerr << "bench_floor: " << error.what() << std::endl;
    return 1;
  }
}
