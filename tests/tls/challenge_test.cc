// TLS-ALPN-01 at the handshake (RFC 8737).
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "tests/tls/server_fixture.h"

namespace postern::tls {
namespace {

using testing::ClientOptions;
using testing::shakeHands;

class ChallengeTest : public ServerFixture {
 protected:
  ServingPlan answering() const {
    auto made = plan();
    made.answersChallenges = true;
    return made;
  }
  ServingPlan challengesOnly() const {
    ServingPlan made;
    made.listener = "acme le";
    made.policy = intermediatePolicy();
    made.answersChallenges = made.challengesOnly = true;
    return made;
  }
  static ClientOptions asking(const std::string& name) {
    auto options = to(name);
    options.alpn = {std::string(acmeTlsProtocol)};
    return options;
  }
  CertifiedKeyRef answer_ = makeChallengeCertificate("new.example.org", std::string(32, 'd'), testing::machineTime());
};

TEST_F(ChallengeTest, AnswersBesideNormalTraffic) {
  const auto server = context(answering());
  challenges_.present("new.example.org", answer_);
  const auto done = shakeHands(*server, asking("New.example.org"));
  EXPECT_TRUE(done.completed) << done.error;
  EXPECT_EQ(done.serial, answer_->serial());
  EXPECT_EQ(done.protocol, "acme-tls/1");
  EXPECT_TRUE(isChallenge(done.server.get()));
  // The same name without the protocol is normal traffic.
  const auto normal = shakeHands(*server, to("new.example.org"));
  EXPECT_EQ(normal.serial, bootstrap_->serial());
  EXPECT_FALSE(isChallenge(normal.server.get()));
}

TEST_F(ChallengeTest, AnswersWhateverThePolicyIs) {
  challenges_.present("new.example.org", answer_);
  auto made = answering();
  made.policy = modernPolicy();
  made.policy.groups = {"P-384"};
  made.policy.ciphers = {"TLS13_CHACHA20_POLY1305_SHA256"};
  const auto modern = context(made);
  made.policy = intermediatePolicy();
  made.policy.protocols = {"TLSv1.2"};
  made.policy.ciphers = {"TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256"};
  const auto old = context(made);
  for (const auto* server : {modern.get(), old.get()}) {
    for (const int version : {TLS1_2_VERSION, TLS1_3_VERSION}) {
      auto options = asking("new.example.org");
      options.oldest = options.newest = version;
      options.groups = "P-256";
      const auto done = shakeHands(*server, options);
      EXPECT_TRUE(done.completed) << done.error;
      EXPECT_EQ(done.serial, answer_->serial());
    }
  }
}

TEST_F(ChallengeTest, AnswersThroughAHelloRetryRequest) {
  challenges_.present("new.example.org", answer_);
  auto options = asking("new.example.org");
  options.groups = "P-521:P-384";
  const auto done = shakeHands(*context(answering()), options);
  EXPECT_TRUE(done.completed) << done.error;
  EXPECT_EQ(done.serial, answer_->serial());
}

TEST_F(ChallengeTest, RefusesANameWithoutAChallenge) {
  challenges_.present("new.example.org", answer_);
  for (const auto& made : {answering(), challengesOnly()}) {
    const auto server = context(made);
    for (const char* name : {"other.example.org", "a.new.example.org", "imap.example.org", ""}) {
      const auto done = shakeHands(*server, asking(name));
      EXPECT_FALSE(done.completed) << name;
      EXPECT_EQ(done.alertNumber, 112) << name;
    }
  }
}

TEST_F(ChallengeTest, RefusesOnceTheChallengeIsTakenDown) {
  const auto server = context(answering());
  const auto handle = challenges_.present("new.example.org", answer_);
  EXPECT_TRUE(shakeHands(*server, asking("new.example.org")).completed);
  challenges_.cleanUp(handle);
  EXPECT_EQ(shakeHands(*server, asking("new.example.org")).alertNumber, 112);
}

TEST_F(ChallengeTest, RefusesOnAListenerThatAnswersNone) {
  challenges_.present("new.example.org", answer_);
  EXPECT_EQ(shakeHands(*context(), asking("new.example.org")).alertNumber, 120);
}

TEST_F(ChallengeTest, IsNoChallengeWhenOtherProtocolsAreOfferedToo) {
  challenges_.present("new.example.org", answer_);
  const auto server = context(answering());
  auto options = to("new.example.org");
  options.alpn = {"acme-tls/1", "imap"};
  const auto done = shakeHands(*server, options);
  EXPECT_TRUE(done.completed);
  EXPECT_EQ(done.protocol, "imap");
  EXPECT_EQ(done.serial, bootstrap_->serial());
  EXPECT_FALSE(isChallenge(done.server.get()));
  for (const auto& offer : std::vector<std::vector<std::string>>{
           {"acme-tls/1", "h2"}, {"acme-tls/1", "acme-tls/1"}, {"acme-tls/11"}, {"acme-tls/"}, {"ACME-TLS/1"}}) {
    options.alpn = offer;
    EXPECT_EQ(shakeHands(*server, options).alertNumber, 120) << offer.front();
  }
}

TEST_F(ChallengeTest, OnlySpeaksToNobodyElse) {
  challenges_.present("new.example.org", answer_);
  const auto server = context(challengesOnly());
  EXPECT_EQ(shakeHands(*server, asking("new.example.org")).serial, answer_->serial());
  EXPECT_EQ(server->served().certificate, nullptr);
  for (const auto& offer :
       std::vector<std::vector<std::string>>{{}, {"imap"}, {"h2", "http/1.1"}, {"acme-tls/1", "h2"}}) {
    auto options = to("new.example.org");
    options.alpn = offer;
    const auto done = shakeHands(*server, options);
    EXPECT_FALSE(done.completed);
    EXPECT_EQ(done.alertNumber, 120);
  }
}

TEST_F(ChallengeTest, SendsNoTicket) {
  challenges_.present("new.example.org", answer_);
  const auto server = context(answering());
  for (const int version : {TLS1_2_VERSION, TLS1_3_VERSION}) {
    auto options = asking("new.example.org");
    options.oldest = options.newest = version;
    const auto done = shakeHands(*server, options);
    ASSERT_TRUE(done.completed);
    EXPECT_EQ(done.ticketSize, 0u);
  }
}

TEST_F(ChallengeTest, IsNeverResumedFromASession) {
  challenges_.present("new.example.org", answer_);
  const auto server = context(answering());
  for (const int version : {TLS1_2_VERSION, TLS1_3_VERSION}) {
    auto options = to("new.example.org");
    options.oldest = options.newest = version;
    const auto normal = shakeHands(*server, options);
    ASSERT_TRUE(normal.session);
    auto challenge = asking("new.example.org");
    challenge.oldest = challenge.newest = version;
    const auto done = shakeHands(*server, resuming(normal, challenge));
    EXPECT_TRUE(done.completed) << done.error;
    EXPECT_FALSE(done.resumed);
    EXPECT_EQ(done.serial, answer_->serial());
  }
}

}  // namespace
}  // namespace postern::tls
