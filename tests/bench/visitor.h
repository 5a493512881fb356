// Visitor: one client of the load generator, over and over again: connects, speaks its dialogue up to and through the
// TLS handshake, leaves, and may begin anew; or stays, idle.
//
// One thread; driven by its Crowd, edge-triggered. Errors are the visit's outcome, never exceptions, except for what
// says that the machine is at an end (no descriptors, no memory).
#pragma once

#include <netinet/in.h>
#include <openssl/ssl.h>

#include <chrono>
#include <string>

#include "tests/bench/dialogue.h"
#include "tls/openssl.h"

namespace postern::bench {

using Moment = std::chrono::steady_clock::time_point;
using SessionPtr = tls::Owned<SSL_SESSION, SSL_SESSION_free>;

// What the visitors of one kind share. Outlives them.
struct Target {
  const Dialogue& dialogue;
  sockaddr_in address{};
  SSL_CTX* context = nullptr;  // of clientContext()
};

// A client context for one version (TLS1_2_VERSION, TLS1_3_VERSION) whose sessions go to the visitors. `ca`: a PEM file
// against which chains are verified; "" verifies no more than that the server has the key of its certificate.
tls::SslCtxPtr clientContext(int version, const std::string& ca = "");
sockaddr_in localServer(int port);

struct Visit {
  bool ok = false;
  std::string error;  // of a visit that failed
  bool offered = false, resumed = false;
  std::string serial;                          // lower-case hexadecimal
  Moment began, connected, shook, firstReply;  // `connected`: TLS may begin; `shook`: the handshake is done
  Moment sessionSince;                         // when the session that was offered was given
};

class Visitor {
 public:
  Visitor(int epoll, const Target& target);
  ~Visitor();
  Visitor(const Visitor&) = delete;
  Visitor& operator=(const Visitor&) = delete;

  // Connects; what happens then comes through happened(). `resume`: offers the newest session, where there is one.
  // `stay`: the visit is over when the session could idle, and the connection stays.
  void begin(bool resume, bool stay = false);
  // One exchange of a visitor that stays.
  void ask(const Exchange& exchange);
  // Something happened to the socket. True: the visit, or the exchange, is over, and visit() tells how.
  bool happened();

  const Visit& visit() const { return visit_; }
  const Target& target() const { return target_; }
  bool staying() const { return stage_ == Stage::Staying; }
  // Whether the server still has the connection of a visitor that stays; the last that is asked of it.
  bool stillConnected() const;
  // A visitor that stays forgets its half of TLS: thousands of them shall fit into memory.
  void forgetTls() { ssl_.reset(); }

  SSL_SESSION* session() const { return session_.get(); }
  void giveSession(SessionPtr session);
  void giveUp(const std::string& why) { fail(why); }

 private:
  enum class Stage { Away, Connecting, Before, Handshake, Greeting, Leaving, Goodbye, Asking, Staying };
  enum class Progress { More, Waits, Over };

  static int onNewSession(SSL* ssl, SSL_SESSION* session);
  friend tls::SslCtxPtr clientContext(int version, const std::string& ca);

  Progress advance();
  Progress connected();
  Progress shake();
  Progress talk(const std::vector<Exchange>& exchanges, Stage next);
  Progress exchange(const Exchange& one);
  Progress hearGoodbye();
  bool say(std::string_view text);
  Progress hear();
  Progress fail(const std::string& why);
  void leave();
  std::string sslError(const std::string& doing, int result) const;

  const int epoll_;
  const Target& target_;
  int fd_ = -1;
  tls::SslPtr ssl_;
  SessionPtr session_;
  Moment sessionSince_;
  Stage stage_ = Stage::Away;
  bool stay_ = false, said_ = false;
  std::size_t step_ = 0;
  Exchange asked_;
  std::string heard_;
  Visit visit_;
};

}  // namespace postern::bench
