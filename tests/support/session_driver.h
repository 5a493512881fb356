// SessionDriver: drives a protocol engine with strings, as a connection would: feeds bytes, runs a step's work at once,
// collects the replies. One thread; nothing waits.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <utility>

#include "listeners/session.h"

namespace postern::support {

class SessionDriver {
 public:
  explicit SessionDriver(std::shared_ptr<listeners::Session> session) : session_(std::move(session)) {}

  // The greeting.
  std::string start() { return follow(session_->greet()); }
  // The greeting of an implicit-TLS connection.
  std::string startEncrypted(listeners::TlsFacts facts = defaultFacts()) {
    auto said = follow(session_->encrypted(facts));  // first: operands of + may come in any order
    return said += start();
  }
  // Everything the session says to these bytes, until it waits for more. Input that comes while a handshake is awaited,
  // or after the end, is dropped as a connection drops it.
  std::string send(std::string_view bytes) {
    if (closed_ || wantsTls_) return {};
    awaitsWake_ = false;
    return follow(session_->received(bytes));
  }
  // The same bytes one by one.
  std::string sendBytewise(std::string_view bytes) {
    std::string said;
    for (const char& byte : bytes) said += send({&byte, 1});
    return said;
  }
  // The handshake after STARTTLS.
  std::string encrypt(listeners::TlsFacts facts = defaultFacts()) {
    wantsTls_ = false;
    return follow(session_->encrypted(facts));
  }
  // There was no room for the handshake after STARTTLS. What bade the client begin was not sent.
  std::string refuseTls() {
    wantsTls_ = false;
    return follow(session_->tlsRefused());
  }
  // How much of what was said last bids the client begin a handshake.
  std::size_t goAhead() const { return goAhead_; }
  // The time of wakeAfter has passed.
  std::string wake() {
    awaitsWake_ = false;
    return follow(session_->woken());
  }
  std::string farewell(listeners::Session::Farewell why) { return session_->farewell(why); }

  bool closed() const { return closed_; }
  bool wantsTls() const { return wantsTls_; }
  bool awaitsWake() const { return awaitsWake_; }
  int works() const { return works_; }  // how often something ran on the worker
  listeners::Session& session() { return *session_; }

  static listeners::TlsFacts defaultFacts() { return {"TLSv1.3", "TLS_AES_128_GCM_SHA256", "mail.example.org", false}; }

 private:
  std::string follow(listeners::Step step) {
    std::string said;
    for (;;) {
      said += step.reply;
      if (step.work) {
        ++works_;
        step.work();
        step = session_->resumed();
        continue;
      }
      closed_ = step.then == listeners::Action::Close;
      wantsTls_ = step.then == listeners::Action::StartTls;
      goAhead_ = step.goAhead;
      awaitsWake_ = step.wakeAfter.has_value();
      return said;
    }
  }

  std::shared_ptr<listeners::Session> session_;
  bool closed_ = false, wantsTls_ = false, awaitsWake_ = false;
  int works_ = 0;
  std::size_t goAhead_ = 0;
};

}  // namespace postern::support
