// What the tests of handshakes share: a store, ticket keys, challenges and a plan for one IMAP listener.
#pragma once

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <utility>

#include "tests/support/fake_clock.h"
#include "tests/support/test_certificates.h"
#include "tests/support/tls_pair.h"
#include "tls/server_context.h"

namespace postern::tls {

class ServerFixture : public ::testing::Test {
 protected:
  ServingPlan plan(const std::string& listener = "imaps") const {
    ServingPlan made;
    made.listener = listener;
    made.policy = intermediatePolicy();
    made.alpn = {"imap"};
    made.hostnames = {"imap.example.org"};
    made.own = {own_};
    made.meanwhile = {bootstrap_, "self-signed", {}};
    return made;
  }
  std::unique_ptr<ServerContext> context(ServingPlan made) {
    return std::make_unique<ServerContext>(std::move(made), store_, tickets_, challenges_, log_);
  }
  std::unique_ptr<ServerContext> context() { return context(plan()); }

  static testing::ClientOptions to(const std::string& serverName) {
    testing::ClientOptions options;
    options.serverName = serverName;
    return options;
  }
  static testing::ClientOptions resuming(const testing::Handshake& before, testing::ClientOptions options) {
    options.session = before.session.get();
    return options;
  }
  std::string serialFor(const ServerContext& server, const std::string& serverName) const {
    return testing::shakeHands(server, to(serverName)).serial;
  }

  static LogSettings quiet() {
    LogSettings settings;
    settings.level = LogLevel::Error;
    return settings;
  }

  testing::TestCa ca_;
  testing::FakeClock clock_;
  Log log_{quiet()};
  CertificateStore store_;
  TicketKeys tickets_{clock_};
  AlpnChallenges challenges_;
  KeyPtr key_ = generateKey(KeyType::EcdsaP256);
  CertifiedKeyRef bootstrap_ = makeSelfSigned(key_.get(), {"imap.example.org"}, testing::machineTime());
  CertificateId own_ = acmeCertificate("le", {"imap.example.org"});
};

}  // namespace postern::tls
