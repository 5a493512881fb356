// Client certificates: who is let in, what is known of whom, and that tickets keep it to themselves.
#include "tls/client_auth.h"

#include <gtest/gtest.h>

#include "tests/support/typed_input.h"
#include "tests/tls/server_fixture.h"

namespace postern::tls {
namespace {

using testing::ClientOptions;
using testing::shakeHands;
using namespace std::chrono_literals;

class ClientAuthTest : public ServerFixture, public ::testing::WithParamInterface<int> {
 protected:
  ServingPlan asking(ClientAuth how) const {
    auto made = plan();
    made.policy.clientAuth = how;
    made.policy.clientCa = clients_.rootPem();
    return made;
  }
  static ClientOptions client(const CertifiedKey* certificate = nullptr) {
    auto options = to("imap.example.org");
    options.oldest = options.newest = GetParam();
    options.certificate = certificate;
    return options;
  }
  CertifiedKeyRef issue(const testing::TestCa& ca, Time notAfter = testing::machineTime() + 24h) const {
    testing::IssueOptions options;
    options.forClient = true;
    options.notBefore = testing::machineTime() - 48h;
    options.notAfter = notAfter;
    return ca.issue({"client.example.org"}, options);
  }
  // TLS 1.3's client is done before the server has looked at its certificate: the alert comes behind.
  static int alertOf(testing::Handshake&& done) {
    EXPECT_FALSE(done.completed);
    return done.alertNumber;
  }

  testing::TestCa clients_{"Clients"}, strangers_{"Strangers"};
  CertifiedKeyRef known_ = issue(clients_), stranger_ = issue(strangers_),
                  expired_ = issue(clients_, testing::machineTime() - 24h);
};

INSTANTIATE_TEST_SUITE_P(Versions, ClientAuthTest, ::testing::Values(TLS1_2_VERSION, TLS1_3_VERSION),
                         [](const auto& version) { return version.param == TLS1_2_VERSION ? "Tls12" : "Tls13"; });

TEST_P(ClientAuthTest, NobodyIsAskedUnlessTold) {
  const auto done = shakeHands(*context(), client(known_.get()));
  ASSERT_TRUE(done.completed);
  EXPECT_FALSE(clientCertificate(done.server.get()));
}

TEST_P(ClientAuthTest, RequireLetsInWhoeverTheCaVouchesForAndKnowsWhoItIs) {
  const auto done = shakeHands(*context(asking(ClientAuth::Require)), client(known_.get()));
  ASSERT_TRUE(done.completed) << done.error;
  const auto facts = clientCertificate(done.server.get());
  ASSERT_TRUE(facts);
  EXPECT_TRUE(facts->verified) << facts->whyNot;
  EXPECT_EQ(facts->whyNot, "");
  EXPECT_EQ(facts->issuer, "CN=Clients Intermediate");
  EXPECT_EQ(facts->serial, known_->serial());
  EXPECT_EQ(facts->fingerprint.size(), 64u);
  EXPECT_NE(facts->fingerprint,
            clientCertificate(shakeHands(*context(asking(ClientAuth::Request)), client(stranger_.get())).server.get())
                ->fingerprint);
}

TEST_P(ClientAuthTest, RequireRefusesEverybodyElseWithTheRightAlert) {
  const auto server = context(asking(ClientAuth::Require));
  const bool tls13 = GetParam() == TLS1_3_VERSION;
  EXPECT_EQ(alertOf(shakeHands(*server, client())), tls13 ? 116 : 40);   // certificate_required
  EXPECT_EQ(alertOf(shakeHands(*server, client(stranger_.get()))), 48);  // unknown_ca
  EXPECT_EQ(alertOf(shakeHands(*server, client(expired_.get()))), 45);   // certificate_expired
  const auto forServers = clients_.issue({"client.example.org"});
  EXPECT_EQ(alertOf(shakeHands(*server, client(forServers.get()))), 43);  // unsupported_certificate
}

TEST_P(ClientAuthTest, RequestLetsEverybodyInAndSaysWhoIsVerified) {
  const auto server = context(asking(ClientAuth::Request));
  const auto none = shakeHands(*server, client());
  ASSERT_TRUE(none.completed) << none.error;
  EXPECT_FALSE(clientCertificate(none.server.get()));
  for (const auto& [certificate, verified] :
       {std::pair{known_, true}, std::pair{stranger_, false}, std::pair{expired_, false}}) {
    const auto done = shakeHands(*server, client(certificate.get()));
    ASSERT_TRUE(done.completed) << done.error;
    const auto facts = clientCertificate(done.server.get());
    ASSERT_TRUE(facts);
    EXPECT_EQ(facts->verified, verified);
    EXPECT_EQ(facts->whyNot.empty(), verified) << facts->whyNot;
    EXPECT_EQ(facts->serial, certificate->serial());
  }
}

TEST_P(ClientAuthTest, RequestWithoutACaVerifiesNobody) {
  auto made = asking(ClientAuth::Request);
  made.policy.clientCa.clear();
  const auto done = shakeHands(*context(made), client(known_.get()));
  ASSERT_TRUE(done.completed) << done.error;
  ASSERT_TRUE(clientCertificate(done.server.get()));
  EXPECT_FALSE(clientCertificate(done.server.get())->verified);
}

TEST_P(ClientAuthTest, ResumptionKeepsWhatIsKnownOfTheClient) {
  for (const auto how : {ClientAuth::Request, ClientAuth::Require}) {
    const auto server = context(asking(how));
    const auto first = shakeHands(*server, client(known_.get()));
    ASSERT_TRUE(first.session);
    const auto second = shakeHands(*server, resuming(first, client()));
    ASSERT_TRUE(second.resumed);
    EXPECT_EQ(clientCertificate(second.server.get()), clientCertificate(first.server.get()));
  }
  const auto server = context(asking(ClientAuth::Request));
  const auto first = shakeHands(*server, client(stranger_.get()));
  const auto second = shakeHands(*server, resuming(first, client()));
  ASSERT_TRUE(second.resumed);
  EXPECT_FALSE(clientCertificate(second.server.get())->verified);
}

TEST_P(ClientAuthTest, ASessionEndsWithTheClientsCertificate) {
  const auto server = context(asking(ClientAuth::Request));
  const auto first = shakeHands(*server, client(expired_.get()));
  ASSERT_TRUE(first.session) << first.error;
  const auto second = shakeHands(*server, resuming(first, client(known_.get())));
  ASSERT_TRUE(second.completed) << second.error;
  EXPECT_FALSE(second.resumed);
  EXPECT_TRUE(clientCertificate(second.server.get())->verified);
  EXPECT_TRUE(shakeHands(*server, resuming(second, client())).resumed);
}

TEST_P(ClientAuthTest, ATicketOfAListenerThatDoesNotAskIsNoWayAroundIt) {
  const auto server = context();
  const auto before = shakeHands(*server, client());
  server->serve(asking(ClientAuth::Require));
  EXPECT_FALSE(shakeHands(*server, resuming(before, client())).completed);
  // Nor is one that another CA has vouched for.
  auto others = asking(ClientAuth::Require);
  others.policy.clientCa = strangers_.rootPem();
  server->serve(others);
  const auto foreign = shakeHands(*server, client(stranger_.get()));
  ASSERT_TRUE(foreign.completed);
  server->serve(asking(ClientAuth::Require));
  EXPECT_FALSE(shakeHands(*server, resuming(foreign, client(stranger_.get()))).completed);
}

TEST_P(ClientAuthTest, TakesAnIntermediateAloneForACa) {
  auto made = asking(ClientAuth::Require);
  made.policy.clientCa = clients_.intermediatePem();
  EXPECT_TRUE(shakeHands(*context(made), client(known_.get())).completed);
}

TEST_P(ClientAuthTest, AChallengeIsAnsweredWithoutACertificate) {
  auto made = asking(ClientAuth::Require);
  made.answersChallenges = true;
  const auto server = context(made);
  const auto answer = makeChallengeCertificate("new.example.org", std::string(32, 'd'), testing::machineTime());
  challenges_.present("new.example.org", answer);
  auto options = client();
  options.serverName = "new.example.org";
  options.alpn = {"acme-tls/1"};
  EXPECT_EQ(shakeHands(*server, options).serial, answer->serial());
}

TEST_P(ClientAuthTest, HoldsForTheCertificatesOfFurtherNamesToo) {
  const auto id = staticCertificate("other");
  store_.publish(id, ca_.issue({"other.example.org"}));
  auto made = asking(ClientAuth::Require);
  made.sni = {{"other.example.org", id}};
  const auto server = context(made);
  auto options = client();
  options.serverName = "other.example.org";
  EXPECT_FALSE(shakeHands(*server, options).completed);
  options.certificate = known_.get();
  EXPECT_TRUE(shakeHands(*server, options).completed);
}

TEST_F(ClientAuthTest, WhatIsNoAuthorityIsAnErrorBeforeAnythingIsServed) {
  for (const std::string& pem : {std::string("nothing"), clients_.rootPem() + "-----BEGIN CERTIFICATE-----\nx\n",
                                 std::string("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")}) {
    auto made = asking(ClientAuth::Request);
    made.policy.clientCa = pem;
    EXPECT_THROW(context(made), Error) << pem;
  }
  auto made = asking(ClientAuth::Require);
  made.policy.clientCa.clear();
  EXPECT_THROW(context(made), Error);
}

TEST_F(ClientAuthTest, AsksNobodyForThePasswordOfAnEncryptedAuthority) {
  const support::TypedInput typed;
  auto made = asking(ClientAuth::Request);
  made.policy.clientCa = support::encryptedCertificate;
  EXPECT_THROW(context(made), Error);
  EXPECT_FALSE(typed.wasRead());
}

}  // namespace
}  // namespace postern::tls
