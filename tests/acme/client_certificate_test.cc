// What the client asks about certificates: chains, revocation, renewal information; and answers that lead nowhere.
#include "acme/issuance.h"
#include "tests/acme/ca_fixture.h"

namespace postern::acme {
namespace {

using namespace std::chrono_literals;
using test::Failure;

class CertificateRequestsTest : public WithCa {
 protected:
  tls::CertifiedKeyRef issue(tls::KeyType type = tls::KeyType::EcdsaP256) {
    journal.order.reset();
    IssuanceRequest request;
    request.names = {"mail.example.org"};
    request.key = tls::generateKey(type);
    return Issuance(client, solver, journal, clock, log, std::move(request)).run({});
  }

  TlsAlpnSolver solver{challenges, clock};
  JournalInMemory journal;
};

TEST_F(CertificateRequestsTest, RevokesByTheAccountWithTheReason) {
  auto certificate = issue();
  client.revoke(*certificate, 4, Client::RevokeBy::Account, {});
  ASSERT_EQ(ca.revocations().size(), 1U);
  EXPECT_EQ(ca.revocations()[0].serial, certificate->serial());
  EXPECT_EQ(ca.revocations()[0].reason, 4);
  EXPECT_FALSE(ca.revocations()[0].byCertificateKey);
}

TEST_F(CertificateRequestsTest, RevokesByTheKeyOfTheCertificateWhateverItsKindAndWithoutItsAccount) {
  for (tls::KeyType type : {tls::KeyType::EcdsaP256, tls::KeyType::EcdsaP384, tls::KeyType::Rsa2048}) {
    auto certificate = issue(type);
    Client stranger(ca.directoryUrl(), ca, clock, log);
    stranger.revoke(*certificate, 1, Client::RevokeBy::CertificateKey, {});
    ASSERT_FALSE(ca.revocations().empty()) << tls::nameOf(type);
    EXPECT_EQ(ca.revocations().back(), (test::SeenRevocation{certificate->serial(), 1, true})) << tls::nameOf(type);
  }
}

TEST_F(CertificateRequestsTest, RevokesWhatIsRevokedAlreadyWithoutAnError) {
  auto certificate = issue();
  client.revoke(*certificate, 0, Client::RevokeBy::Account, {});
  EXPECT_NO_THROW(client.revoke(*certificate, 0, Client::RevokeBy::Account, {}));
  EXPECT_EQ(ca.revocations().size(), 1U);
}

TEST_F(CertificateRequestsTest, TellsThatACertificateIsNotItsToRevokeOrTheReasonNotKnown) {
  auto certificate = issue();
  EXPECT_EQ(errorOf([&] { client.revoke(*certificate, 9, Client::RevokeBy::Account, {}); }).problem.shortType(),
            "badRevocationReason");
  useNewAccount();
  EXPECT_EQ(errorOf([&] { client.revoke(*certificate, 0, Client::RevokeBy::Account, {}); }).problem.shortType(),
            "unauthorized");
  EXPECT_TRUE(ca.revocations().empty());
}

TEST_F(CertificateRequestsTest, ReadsAlternateChainsOffTheAnswer) {
  ca.alternateRoots({"Root B", "Root C", "Root D"});
  issue();
  const std::vector<test::SeenRequest> seen = ca.requests();
  const DownloadedChain chain = client.download(seen.back().url, {});
  ASSERT_EQ(chain.alternates.size(), 3U);
  for (const std::string& url : chain.alternates) EXPECT_NE(client.download(url, {}).pem, chain.pem) << url;
}

TEST_F(CertificateRequestsTest, AsksForRenewalInformationWhereTheCaHasSome) {
  auto certificate = issue();
  EXPECT_FALSE(client.renewalInfo(*certificate, {}, 0.5, {}));
  EXPECT_EQ(ca.count("renewalInfo"), 0);
  ca.offerRenewalInfo(true);
  readDirectoryAnew();
  ca.explainWindows("https://ca.test/incident");
  auto info = client.renewalInfo(*certificate, {}, 0.5, {});
  ASSERT_TRUE(info);
  EXPECT_EQ(info->certificateId, ca.certificates().back().renewalId);
  EXPECT_EQ(info->start, certificate->notBefore() + 24h * 60);
  EXPECT_EQ(info->explanationUrl, "https://ca.test/incident");
  EXPECT_EQ(info->askAgain, clock.now() + 6h);
  EXPECT_EQ(client.renewalInfo(*certificate, info, 0.9, {})->pick, info->pick);
  const Time soon = clock.now() - 1h;
  ca.suggestWindow(certificate->serial(), {soon - 1h, soon});
  EXPECT_LE(*client.renewalInfo(*certificate, info, 0.9, {})->pick, soon);
}

TEST_F(CertificateRequestsTest, TellsThatTheCaKnowsNoSuchCertificate) {
  ca.offerRenewalInfo(true);
  readDirectoryAnew();
  test::FakeCa other(clock, &challenges, "ca.test");
  Client elsewhere(other.directoryUrl(), other, clock, log);
  elsewhere.useAccount(tls::generateKey(tls::KeyType::EcdsaP256), "");
  elsewhere.newAccount({}, false, {}, {});
  IssuanceRequest request{{"mail.example.org"}, tls::generateKey(tls::KeyType::EcdsaP256)};
  auto certificate = Issuance(elsewhere, solver, journal, clock, log, std::move(request)).run({});
  EXPECT_EQ(errorOf([&] { client.renewalInfo(*certificate, {}, 0.5, {}); }).problem.status, 404);
  EXPECT_EQ(ca.count("renewalInfo"), 1);
}

TEST_F(CertificateRequestsTest, FollowsNoRedirectAndSaysWhereItWouldHaveLed) {
  for (const char* stage : {"newOrder", "directory", "newNonce"}) {
    Client fresh(ca.directoryUrl(), ca, clock, log);
    fresh.useAccount(tls::generateKey(tls::KeyType::EcdsaP256), "");
    if (std::string(stage) == "newOrder") fresh.newAccount({}, false, {}, {});
    ca.failNext(stage, Failure::Redirect);
    Error error = errorOf([&] {
      if (std::string(stage) == "newOrder") {
        fresh.newOrder({{"mail.example.org"}}, {});
      } else {
        fresh.newAccount({}, false, {}, {});
      }
    });
    EXPECT_EQ(error.problem.type, "postern:http") << stage;
    EXPECT_EQ(error.problem.status, 302) << stage;
    EXPECT_NE(error.problem.detail.find("https://ca.test/elsewhere"), std::string::npos) << error.problem.detail;
  }
  EXPECT_EQ(ca.count("elsewhere"), 0);
}

TEST_F(CertificateRequestsTest, AsksForAProfileAndForTheCertificateItReplaces) {
  ca.offerRenewalInfo(true);
  ca.offerProfiles({{"shortlived", "six days"}, {"classic", "ninety"}});
  readDirectoryAnew();
  issue();
  const std::string id = ca.certificates().back().renewalId;
  client.newOrder({{"mail.example.org"}, "shortlived", id}, {});
  EXPECT_EQ(ca.orderedProfiles().back(), "shortlived");
  EXPECT_EQ(errorOf([&] {
              client.newOrder({{"mail.example.org"}, "", id}, {});
            }).problem.shortType(),
            "alreadyReplaced");
  EXPECT_EQ(errorOf([&] {
              client.newOrder({{"mail.example.org"}, "gold", ""}, {});
            }).problem.shortType(),
            "invalidProfile");
}

}  // namespace
}  // namespace postern::acme
