// What a handshake agrees on besides the certificate: versions, ciphers, groups, ALPN, and what is refused.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "tests/tls/server_fixture.h"

namespace postern::tls {
namespace {

using testing::shakeHands;

class HandshakeTest : public ServerFixture {};

TEST_F(HandshakeTest, SpeaksBothVersionsUnderTheIntermediatePolicy) {
  const auto server = context();
  auto options = to("imap.example.org");
  options.newest = TLS1_2_VERSION;
  EXPECT_EQ(shakeHands(*server, options).version, "TLSv1.2");
  options.newest = TLS1_3_VERSION;
  EXPECT_EQ(shakeHands(*server, options).version, "TLSv1.3");
}

TEST_F(HandshakeTest, SpeaksTls13AloneUnderTheModernPolicy) {
  auto made = plan();
  made.policy = modernPolicy();
  const auto server = context(made);
  EXPECT_EQ(shakeHands(*server).version, "TLSv1.3");
  auto options = to("");
  options.newest = TLS1_2_VERSION;
  EXPECT_EQ(shakeHands(*server, options).alert, "protocol_version");
}

TEST_F(HandshakeTest, GoesByTheServersOrderOfCiphersUnlessTold) {
  auto options = to("");
  options.suites = "TLS_AES_256_GCM_SHA384:TLS_AES_128_GCM_SHA256";
  EXPECT_EQ(shakeHands(*context(), options).cipher, "TLS_AES_128_GCM_SHA256");
  auto made = plan();
  made.policy.ignoreClientOrder = false;
  EXPECT_EQ(shakeHands(*context(made), options).cipher, "TLS_AES_256_GCM_SHA384");
}

TEST_F(HandshakeTest, GivesChaCha20ToAClientThatPutsItFirst) {
  auto options = to("");
  options.suites = "TLS_CHACHA20_POLY1305_SHA256:TLS_AES_128_GCM_SHA256";
  EXPECT_EQ(shakeHands(*context(), options).cipher, "TLS_CHACHA20_POLY1305_SHA256");
  options.suites = "TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256";
  EXPECT_EQ(shakeHands(*context(), options).cipher, "TLS_AES_256_GCM_SHA384");
}

TEST_F(HandshakeTest, SpeaksExactlyTheCiphersOfTheList) {
  auto made = plan();
  made.policy.ciphers = {"TLS13_AES_256_GCM_SHA384", "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256"};
  const auto server = context(made);
  EXPECT_EQ(shakeHands(*server).cipher, "TLS_AES_256_GCM_SHA384");
  auto options = to("");
  options.newest = TLS1_2_VERSION;
  EXPECT_EQ(shakeHands(*server, options).cipher, "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256");
  options.ciphers = "ECDHE-ECDSA-AES128-GCM-SHA256";
  EXPECT_EQ(shakeHands(*server, options).alert, "handshake_failure");
}

TEST_F(HandshakeTest, SpeaksDheWhereItIsAskedFor) {
  testing::IssueOptions rsa;
  rsa.keyType = KeyType::Rsa2048;
  store_.publish(own_, ca_.issue({"imap.example.org"}, rsa));
  auto made = plan();
  made.policy.ciphers = {"TLS_DHE_RSA_WITH_AES_128_GCM_SHA256"};
  const auto server = context(made);
  EXPECT_EQ(shakeHands(*server).cipher, "TLS_DHE_RSA_WITH_AES_128_GCM_SHA256");
}

TEST_F(HandshakeTest, LeavesOutAProtocolWithoutACipher) {
  auto made = plan();
  made.policy.ciphers = {"TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256"};
  EXPECT_EQ(shakeHands(*context(made)).version, "TLSv1.2");
}

TEST_F(HandshakeTest, SpeaksExactlyTheGroupsOfTheList) {
  auto made = plan();
  made.policy.groups = {"P-384"};
  const auto server = context(made);
  auto options = to("");
  options.groups = "X25519";
  EXPECT_FALSE(shakeHands(*server, options).completed);
  options.groups = "X25519:P-384";  // X25519's share is sent first: a HelloRetryRequest
  EXPECT_TRUE(shakeHands(*server, options).completed);
}

TEST_F(HandshakeTest, KeepsTheSelectedCertificateThroughAHelloRetryRequest) {
  const auto own = ca_.issue({"imap.example.org"});
  const auto domain = ca_.issue({"www.example.org"});
  const auto id = acmeCertificate("le", domain->names());
  store_.publish({{own_, own}, {id, domain}});
  auto made = plan();
  made.domains = {{id}};
  made.policy.groups = {"P-384"};
  auto options = to("www.example.org");
  options.groups = "X25519:P-384";
  EXPECT_EQ(shakeHands(*context(made), options).serial, domain->serial());
}

TEST_F(HandshakeTest, PrefersX25519ToP256) {
  auto options = to("");
  options.groups = "P-256:X25519";
  // In TLS 1.3 a client has already sent its share for the group that it likes best.
  options.newest = TLS1_2_VERSION;
  const auto done = shakeHands(*context(), options);
  ASSERT_TRUE(done.completed);
  EXPECT_EQ(SSL_get_negotiated_group(done.server.get()), NID_X25519);
}

TEST_F(HandshakeTest, AgreesOnTheListenersProtocolInItsOwnOrder) {
  auto made = plan("submission");
  made.alpn = {"smtp", "esmtp", "submission"};
  const auto server = context(made);
  auto options = to("");
  options.alpn = {"h2", "submission", "esmtp"};
  EXPECT_EQ(shakeHands(*server, options).protocol, "esmtp");
}

TEST_F(HandshakeTest, RefusesAClientThatOffersOtherProtocolsOnly) {
  const auto server = context();
  auto options = to("imap.example.org");
  for (const auto& offer : std::vector<std::vector<std::string>>{{"h2", "http/1.1"}, {"ima"}, {"imapx"}, {"IMAP"}}) {
    options.alpn = offer;
    const auto done = shakeHands(*server, options);
    EXPECT_FALSE(done.completed);
    EXPECT_EQ(done.alertNumber, 120);
  }
}

TEST_F(HandshakeTest, TakesAClientThatOffersNoProtocol) {
  const auto done = shakeHands(*context(), to("imap.example.org"));
  EXPECT_TRUE(done.completed);
  EXPECT_EQ(done.protocol, "");
}

TEST_F(HandshakeTest, RefusesRenegotiation) {
  auto options = to("");
  options.newest = TLS1_2_VERSION;
  auto done = shakeHands(*context(), options);
  ASSERT_TRUE(done.completed);
  SSL_renegotiate(done.client.get());
  SSL_do_handshake(done.client.get());
  EXPECT_EQ(done.clientToServer("x"), "");  // the ClientHello is answered by a warning alone
  SSL_do_handshake(done.client.get());
  const std::string error = drainErrors();
  EXPECT_THAT(error, ::testing::HasSubstr("no renegotiation"));
  // OpenSSL 3 refuses a client's by default, older ones and other defaults do not; and neither side may ask.
  EXPECT_NE(SSL_get_options(done.server.get()) & SSL_OP_NO_RENEGOTIATION, 0u);
}

TEST_F(HandshakeTest, TakesNoEarlyDataAndCompressesNothing) {
  const auto server = context();
  const auto ssl = server->newConnection();
  EXPECT_EQ(SSL_get_max_early_data(ssl.get()), 0u);
  EXPECT_NE(SSL_get_options(ssl.get()) & SSL_OP_NO_COMPRESSION, 0u);
  const auto done = shakeHands(*server);
  ASSERT_TRUE(done.session);
  EXPECT_EQ(SSL_SESSION_get_max_early_data(done.session.get()), 0u);
}

TEST_F(HandshakeTest, ClosesAConnectionThatOnlyAsksForNewKeys) {
  auto done = shakeHands(*context());
  ASSERT_EQ(done.version, "TLSv1.3");
  const auto update = [&] {
    SSL_key_update(done.client.get(), SSL_KEY_UPDATE_NOT_REQUESTED);
    SSL_do_handshake(done.client.get());
  };
  // Data in between shows that somebody is at work.
  for (int i = 0; i < 100; ++i) {
    update();
    ASSERT_EQ(done.clientToServer("a NOOP"), "a NOOP");
  }
  for (int i = 0; i < 33; ++i) update();
  EXPECT_EQ(done.clientToServer("a NOOP"), "");
  char byte = 0;
  EXPECT_EQ(SSL_get_error(done.server.get(), SSL_read(done.server.get(), &byte, 1)), SSL_ERROR_ZERO_RETURN);
}

TEST_F(HandshakeTest, BearsNamesOfAnyLengthAndContent) {
  const auto server = context();
  for (const std::string& name : {std::string(255, 'a'), std::string("*.example.org"), std::string("192.0.2.1"),
                                  std::string("."), std::string("a..b"), std::string("\xc3\xa4.example.org")}) {
    EXPECT_EQ(serialFor(*server, name), bootstrap_->serial()) << name;
  }
}

}  // namespace
}  // namespace postern::tls
