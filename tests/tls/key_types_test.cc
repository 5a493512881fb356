// Certificates of two key types for the same names, side by side: which client gets which.
#include <gtest/gtest.h>

#include <vector>

#include "tests/tls/server_fixture.h"

namespace postern::tls {
namespace {

using testing::shakeHands;
using namespace std::chrono_literals;

// By the version of TLS.
class KeyTypesTest : public ServerFixture, public ::testing::WithParamInterface<int> {
 protected:
  CertifiedKeyRef issue(const std::string& name, KeyType type) const {
    testing::IssueOptions options;
    options.keyType = type;
    return ca_.issue({name}, options);
  }
  testing::ClientOptions both(const std::string& name = "imap.example.org") const {
    auto options = to(name);
    options.oldest = options.newest = GetParam();
    options.trusted = ca_.root();
    return options;
  }
  testing::ClientOptions signing(const std::string& algorithms, const std::string& name = "imap.example.org") const {
    auto options = both(name);
    // The leaf's own signature is the test CA's, of ECDSA: a client that checks it could not use what it cannot verify.
    options.trusted = nullptr;
    options.signatureAlgorithms = algorithms;
    return options;
  }
  ServingPlan of(const std::vector<CertificateId>& own) const {
    auto made = plan();
    made.own = own;
    return made;
  }
  std::string served(const ServerContext& server, const testing::ClientOptions& options) const {
    const auto done = shakeHands(server, options);
    EXPECT_TRUE(done.completed) << done.error;
    return done.serial;
  }

  const std::string ecdsaOnly_ = "ECDSA+SHA256:ECDSA+SHA384", rsaOnly_ = "RSA-PSS+SHA256:RSA+SHA256";
  const CertificateId ecdsaId_ = acmeCertificate("le", {"imap.example.org"}, "ecdsa-p256");
  const CertificateId rsaId_ = acmeCertificate("le", {"imap.example.org"}, "rsa-2048");
  const CertifiedKeyRef ecdsa_ = issue("imap.example.org", KeyType::EcdsaP256);
  const CertifiedKeyRef rsa_ = issue("imap.example.org", KeyType::Rsa2048);
};

INSTANTIATE_TEST_SUITE_P(Versions, KeyTypesTest, ::testing::Values(TLS1_2_VERSION, TLS1_3_VERSION),
                         [](const auto& version) { return version.param == TLS1_2_VERSION ? "Tls12" : "Tls13"; });

TEST_P(KeyTypesTest, AClientThatTakesBothGetsTheOneNamedFirst) {
  store_.publish({{ecdsaId_, ecdsa_}, {rsaId_, rsa_}});
  EXPECT_EQ(served(*context(of({ecdsaId_, rsaId_})), both()), ecdsa_->serial());
  EXPECT_EQ(served(*context(of({rsaId_, ecdsaId_})), both()), rsa_->serial());
}

TEST_P(KeyTypesTest, TheOrderOfTheListHoldsWhateverOrderTheClientLikes) {
  store_.publish({{ecdsaId_, ecdsa_}, {rsaId_, rsa_}});
  auto fromClient = of({ecdsaId_, rsaId_});
  fromClient.policy.ignoreClientOrder = false;
  EXPECT_EQ(served(*context(fromClient), signing(rsaOnly_ + ":" + ecdsaOnly_)), ecdsa_->serial());
  fromClient.own = {rsaId_, ecdsaId_};
  EXPECT_EQ(served(*context(fromClient), signing(ecdsaOnly_ + ":" + rsaOnly_)), rsa_->serial());
}

TEST_P(KeyTypesTest, AClientOfOneAlgorithmGetsTheCertificateItCanUse) {
  store_.publish({{ecdsaId_, ecdsa_}, {rsaId_, rsa_}});
  for (const auto& order : {std::vector{ecdsaId_, rsaId_}, std::vector{rsaId_, ecdsaId_}}) {
    const auto server = context(of(order));
    EXPECT_EQ(served(*server, signing(rsaOnly_)), rsa_->serial());
    EXPECT_EQ(served(*server, signing(ecdsaOnly_)), ecdsa_->serial());
  }
}

TEST_P(KeyTypesTest, AClientWithoutTheCurveOfThePreferredKeyGetsTheOther) {
  const auto p384 = issue("imap.example.org", KeyType::EcdsaP384);
  const auto p384Id = acmeCertificate("le", {"imap.example.org"}, "ecdsa-p384");
  store_.publish({{p384Id, p384}, {rsaId_, rsa_}});
  auto options = signing("ECDSA+SHA256:" + rsaOnly_);  // in TLS 1.3 that is ecdsa_secp256r1_sha256 alone
  options.groups = "X25519:P-256";                     // in TLS 1.2 the curves are named here
  const auto server = context(of({p384Id, rsaId_}));
  EXPECT_EQ(served(*server, options), rsa_->serial());
  EXPECT_EQ(served(*server, both()), p384->serial());
}

TEST_P(KeyTypesTest, EachComesWithItsOwnChain) {
  store_.publish({{ecdsaId_, ecdsa_}, {rsaId_, rsa_}});
  for (const auto& order : {std::vector{ecdsaId_, rsaId_}, std::vector{rsaId_, ecdsaId_}}) {
    const auto done = shakeHands(*context(of(order)), both());
    EXPECT_TRUE(done.completed) << done.error;  // verified against the root
    EXPECT_EQ(done.chainLength, 2U);
  }
  EXPECT_EQ(shakeHands(*context(of({ecdsaId_, rsaId_})), signing(rsaOnly_)).chainLength, 2U);
}

TEST_P(KeyTypesTest, WhileOneOfTwoDoesNotExistTheOtherIsServedAlone) {
  store_.publish(rsaId_, rsa_);
  const auto server = context(of({ecdsaId_, rsaId_}));
  EXPECT_EQ(served(*server, both()), rsa_->serial());
  EXPECT_EQ(server->served().source, "acme:le");
  EXPECT_TRUE(server->served().further.empty());
  EXPECT_FALSE(shakeHands(*server, signing(ecdsaOnly_)).completed);
  store_.publish(ecdsaId_, ecdsa_);
  ASSERT_TRUE(server->refresh());
  EXPECT_EQ(served(*server, both()), ecdsa_->serial());
  EXPECT_EQ(served(*server, signing(rsaOnly_)), rsa_->serial());
  EXPECT_EQ(server->served().all(), (std::vector{ecdsa_, rsa_}));
}

TEST_P(KeyTypesTest, WhatStandsMeanwhileIsServedOnlyWhileNoneExists) {
  const auto server = context(of({ecdsaId_, rsaId_}));
  EXPECT_EQ(server->served().certificate, bootstrap_);
  store_.publish(rsaId_, rsa_);
  ASSERT_TRUE(server->refresh());
  EXPECT_EQ(server->served().certificate, rsa_);
  store_.withdraw({rsaId_});
  ASSERT_TRUE(server->refresh());
  EXPECT_EQ(server->served().certificate, bootstrap_);
}

TEST_P(KeyTypesTest, TwoThatStandMeanwhileAreServedSideBySide) {
  auto made = of({acmeCertificate("other", {"imap.example.org"})});
  made.meanwhile = {rsa_, "acme:le", {ecdsa_}};  // as they were served before a reload
  const auto server = context(made);
  EXPECT_EQ(served(*server, both()), rsa_->serial());
  EXPECT_EQ(served(*server, signing(ecdsaOnly_)), ecdsa_->serial());
}

TEST_P(KeyTypesTest, ASwapOfOneTypeKeepsTheOther) {
  store_.publish({{ecdsaId_, ecdsa_}, {rsaId_, rsa_}});
  const auto server = context(of({ecdsaId_, rsaId_}));
  const auto renewed = issue("imap.example.org", KeyType::Rsa2048);
  store_.publish(rsaId_, renewed);
  ASSERT_TRUE(server->refresh());
  EXPECT_EQ(served(*server, both()), ecdsa_->serial());
  EXPECT_EQ(served(*server, signing(rsaOnly_)), renewed->serial());
  EXPECT_FALSE(server->refresh());
}

TEST_P(KeyTypesTest, OneThatExpiresStandsBehindTheOtherUntilItIsRenewed) {
  testing::IssueOptions options;
  options.notAfter = testing::machineTime() + 1h;
  const auto ending = ca_.issue({"imap.example.org"}, options);
  store_.publish({{ecdsaId_, ending}, {rsaId_, rsa_}});
  const auto server = context(of({ecdsaId_, rsaId_}));
  EXPECT_FALSE(server->passOverExpired(testing::machineTime()));
  EXPECT_EQ(served(*server, signing(ecdsaOnly_ + ":" + rsaOnly_)), ending->serial());
  EXPECT_TRUE(server->passOverExpired(testing::machineTime() + 2h));
  EXPECT_FALSE(server->passOverExpired(testing::machineTime() + 3h));
  EXPECT_EQ(served(*server, signing(ecdsaOnly_ + ":" + rsaOnly_)), rsa_->serial());
  EXPECT_EQ(served(*server, signing(ecdsaOnly_)), ending->serial());  // still better than nothing
  store_.publish(ecdsaId_, ecdsa_);
  ASSERT_TRUE(server->refresh());
  EXPECT_EQ(served(*server, signing(ecdsaOnly_ + ":" + rsaOnly_)), ecdsa_->serial());
}

TEST_P(KeyTypesTest, BothExpiredAreServedInTheirOrder) {
  testing::IssueOptions options;
  options.notBefore = testing::machineTime() - 48h;
  options.notAfter = testing::machineTime() - 24h;
  const auto ecdsa = ca_.issue({"imap.example.org"}, options);
  options.keyType = KeyType::Rsa2048;
  const auto rsa = ca_.issue({"imap.example.org"}, options);
  store_.publish({{ecdsaId_, ecdsa}, {rsaId_, rsa}});
  auto made = of({rsaId_, ecdsaId_});
  made.asOf = testing::machineTime();
  EXPECT_EQ(served(*context(made), signing(ecdsaOnly_ + ":" + rsaOnly_)), rsa->serial());
}

TEST_P(KeyTypesTest, FurtherNamesHaveTwoTypesToo) {
  const auto wwwEcdsaId = acmeCertificate("le", {"www.example.org"}, "ecdsa-p256"),
             wwwRsaId = acmeCertificate("le", {"www.example.org"}, "rsa-2048");
  const auto wwwEcdsa = issue("www.example.org", KeyType::EcdsaP256),
             wwwRsa = issue("www.example.org", KeyType::Rsa2048);
  store_.publish({{ecdsaId_, ecdsa_}, {wwwEcdsaId, wwwEcdsa}, {wwwRsaId, wwwRsa}});
  auto made = of({ecdsaId_, rsaId_});
  made.domains = {{wwwRsaId, wwwEcdsaId}};
  const auto server = context(made);
  EXPECT_EQ(served(*server, both("www.example.org")), wwwRsa->serial());
  EXPECT_EQ(served(*server, signing(rsaOnly_, "www.example.org")), wwwRsa->serial());
  EXPECT_EQ(served(*server, signing(ecdsaOnly_, "www.example.org")), wwwEcdsa->serial());
  // The listener's own stays off a connection for another name, also where that name has nothing that would fit.
  store_.publish(rsaId_, rsa_);
  store_.withdraw({wwwRsaId});
  ASSERT_TRUE(server->refresh());
  EXPECT_FALSE(shakeHands(*server, signing(rsaOnly_, "www.example.org")).completed);
}

TEST_P(KeyTypesTest, SessionsAreResumedAcrossASwapOfEitherType) {
  store_.publish({{ecdsaId_, ecdsa_}, {rsaId_, rsa_}});
  const auto server = context(of({ecdsaId_, rsaId_}));
  for (const std::string& algorithms : {ecdsaOnly_, rsaOnly_}) {
    const auto options = signing(algorithms);
    const auto first = shakeHands(*server, options);
    ASSERT_TRUE(first.session);
    store_.publish({{ecdsaId_, issue("imap.example.org", KeyType::EcdsaP256)},
                    {rsaId_, issue("imap.example.org", KeyType::Rsa2048)}});
    ASSERT_TRUE(server->refresh());
    EXPECT_TRUE(shakeHands(*server, resuming(first, options)).resumed) << algorithms;
  }
}

TEST_P(KeyTypesTest, AChallengeShowsItsOwnCertificateAlone) {
  store_.publish({{ecdsaId_, ecdsa_}, {rsaId_, rsa_}});
  auto made = of({ecdsaId_, rsaId_});
  made.answersChallenges = true;
  const auto server = context(made);
  const auto answer = makeChallengeCertificate("imap.example.org", std::string(32, 'd'), testing::machineTime());
  challenges_.present("imap.example.org", answer);
  auto options = signing(ecdsaOnly_ + ":" + rsaOnly_);
  options.alpn = {"acme-tls/1"};
  EXPECT_EQ(served(*server, options), answer->serial());
  options.signatureAlgorithms = rsaOnly_;
  EXPECT_FALSE(shakeHands(*server, options).completed);
}

// What a client of TLS 1.2 says with its ciphers alone.
class KeyTypesByCipherTest : public KeyTypesTest {};
INSTANTIATE_TEST_SUITE_P(Versions, KeyTypesByCipherTest, ::testing::Values(TLS1_2_VERSION));

TEST_P(KeyTypesByCipherTest, AClientWithoutCiphersOfThePreferredKeyGetsTheOther) {
  store_.publish({{ecdsaId_, ecdsa_}, {rsaId_, rsa_}});
  auto rsaCiphers = both(), ecdsaCiphers = both();
  rsaCiphers.ciphers = "ECDHE-RSA-AES128-GCM-SHA256";
  ecdsaCiphers.ciphers = "ECDHE-ECDSA-AES128-GCM-SHA256";
  EXPECT_EQ(served(*context(of({ecdsaId_, rsaId_})), rsaCiphers), rsa_->serial());
  EXPECT_EQ(served(*context(of({rsaId_, ecdsaId_})), ecdsaCiphers), ecdsa_->serial());
}

TEST_P(KeyTypesByCipherTest, APolicyWithoutCiphersOfThePreferredKeyServesTheOther) {
  store_.publish({{ecdsaId_, ecdsa_}, {rsaId_, rsa_}});
  auto made = of({ecdsaId_, rsaId_});
  made.policy.ciphers = {"TLS13_AES_128_GCM_SHA256", "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256"};
  EXPECT_EQ(served(*context(made), both()), rsa_->serial());
}

}  // namespace
}  // namespace postern::tls
