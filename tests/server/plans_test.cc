#include "server/plans.h"

#include <gtest/gtest.h>
#include <openssl/crypto.h>

#include <algorithm>

#include "base/clock.h"
#include "tests/server/loading.h"
#include "tests/support/test_certificates.h"

namespace postern::server {
namespace {

using testing::loaded;
using testing::settings;

const std::string acme = R"(
[acme."le"]
cache = "cache"
challenge-bind = "0.0.0.0"
)";

std::string listener(const std::string& id, const std::string& rest) {
  return "[server.listener.\"" + id + "\"]\nprotocol = \"imap\"\n" + rest + "\n";
}

TEST(Plans, OrderOneCertificateForEqualNameSetsWhateverTheirOrder) {
  const auto plan =
      acmePlan(settings("server.hostname = \"mail.example.org\"\nserver.tls.acme = \"le\"\n" +
                        listener("a", "bind = \"127.0.0.1:0\"\nhostname = [\"x.org.example\", \"y.org.example\"]") +
                        listener("b", "bind = \"127.0.0.1:0\"\nhostname = [\"y.org.example\", \"x.org.example\"]") +
                        listener("c", "bind = \"127.0.0.1:0\"") + acme));
  ASSERT_EQ(plan.certificates.size(), 2U);
  EXPECT_EQ(plan.certificates[0].names, (std::vector<std::string>{"x.org.example", "y.org.example"}));
  EXPECT_EQ(plan.certificates[1].names, (std::vector<std::string>{"mail.example.org"}));
}

TEST(Plans, PutNoNameOfAListenerWithoutTlsIntoAnOrder) {
  const auto plan =
      acmePlan(settings("server.hostname = \"mail.example.org\"\nserver.tls.acme = \"le\"\n" +
                        listener("a", "bind = \"127.0.0.1:0\"\ntls.enable = false\nallow-plain-text = true") + acme));
  EXPECT_TRUE(plan.certificates.empty());
}

TEST(Plans, OrderTheProvidersFurtherDomains) {
  const auto plan = acmePlan(settings(
      "server.hostname = \"mail.example.org\"\nserver.tls.acme = \"le\"\n" + listener("a", "bind = \"127.0.0.1:0\"") +
      acme + "domains = [\"one.example.org\", [\"two.example.org\", \"three.example.org\"]]\n"));
  ASSERT_EQ(plan.certificates.size(), 3U);
  EXPECT_EQ(plan.certificates[2].names.size(), 2U);
  EXPECT_TRUE(plan.providers.at(0).domains.empty()) << "each order would copy them";
}

TEST(Plans, ServeTheListenersOwnNamesItsSniRulesAndItsProvidersDomains) {
  const auto value = settings("server.hostname = \"mail.example.org\"\nserver.tls.acme = \"le\"\n" +
                              listener("a", "bind = \"127.0.0.1:0\"\ntls.implicit = true") + acme +
                              "domains = \"more.example.org\"\n");
  const auto plan = servingPlan(value.listeners.front(), value);
  EXPECT_EQ(plan.own, std::vector{tls::acmeCertificate("le", {"mail.example.org"})});
  ASSERT_EQ(plan.domains.size(), 1U);
  EXPECT_EQ(plan.domains[0], std::vector{tls::acmeCertificate("le", {"more.example.org"})});
  EXPECT_EQ(plan.alpn, std::vector<std::string>{"imap"});
  EXPECT_FALSE(plan.answersChallenges);
}

TEST(Plans, AgreeOnTheProtocolsOfEachListenerAlone) {
  using Protocols = std::vector<std::string>;
  for (const auto& [protocol, spoken] : std::vector<std::pair<std::string, Protocols>>{
           {"smtp", {"smtp", "esmtp", "submission"}}, {"imap", {"imap"}}, {"http", {"http/1.1"}}}) {
    const auto value = settings(
        "server.hostname = \"mail.example.org\"\n[server.listener.a]\nbind = \"127.0.0.1:0\"\n"
        "protocol = \"" +
        protocol + "\"\ntls.implicit = true\n");
    EXPECT_EQ(servingPlan(value.listeners.front(), value).alpn, spoken);
  }
}

TEST(Plans, ServeACertificateOfEachKeyTypeAndWantEachNameSetOnce) {
  const auto value = settings("server.hostname = \"mail.example.org\"\nserver.tls.acme = \"le\"\n" +
                              listener("a", "bind = \"127.0.0.1:0\"\ntls.implicit = true") + acme +
                              "domains = \"more.example.org\"\nkey-type = [\"rsa-2048\", \"ecdsa-p384\"]\n");
  const auto plan = servingPlan(value.listeners.front(), value);
  EXPECT_EQ(plan.own, (std::vector{tls::acmeCertificate("le", {"mail.example.org"}, "rsa-2048"),
                                   tls::acmeCertificate("le", {"mail.example.org"}, "ecdsa-p384")}));
  ASSERT_EQ(plan.domains.size(), 1U);
  EXPECT_EQ(plan.domains[0], (std::vector{tls::acmeCertificate("le", {"more.example.org"}, "rsa-2048"),
                                          tls::acmeCertificate("le", {"more.example.org"}, "ecdsa-p384")}));
  EXPECT_EQ(acmePlan(value).certificates.size(), 2U);
}

TEST(Plans, AnswerChallengesOnAnImplicitListenerOnThePortAndElseOnAListenerForThatAlone) {
  const std::string head = "server.hostname = \"mail.example.org\"\nserver.tls.acme = \"le\"\n";
  const auto beside = settings(head + listener("a", "bind = \"127.0.0.1:443\"\ntls.implicit = true") + acme);
  EXPECT_TRUE(answersChallenges(beside.listeners.front(), beside));
  EXPECT_TRUE(challengeAddresses(beside).empty());
  EXPECT_EQ(challengeTarget(beside.providers.front(), beside), "127.0.0.1:443");

  const auto alone = settings(head + listener("a", "bind = \"127.0.0.1:993\"\ntls.implicit = true") + acme);
  EXPECT_FALSE(answersChallenges(alone.listeners.front(), alone));
  const auto addresses = challengeAddresses(alone);
  ASSERT_EQ(addresses.size(), 1U);
  EXPECT_EQ(addresses[0].address, (listeners::Address{"0.0.0.0", 443}));
  EXPECT_EQ(addresses[0].providers, std::vector<std::string>{"le"});
  EXPECT_EQ(challengeTarget(alone.providers.front(), alone), "0.0.0.0:443");
}

TEST(Plans, OpenNoChallengePortForAProviderFromWhichNothingIsWanted) {
  const auto value = settings("server.hostname = \"mail.example.org\"\n" +
                              listener("a", "bind = \"127.0.0.1:0\"\nallow-plain-text = true") + acme);
  EXPECT_TRUE(challengeAddresses(value).empty());
}

class StaticPairs : public ::testing::Test {
 protected:
  config::Loaded with(const std::string& chain, const Secret& key, const std::string& more = "") {
    return loaded(more + "server.hostname = \"mail.example.org\"\nserver.tls.certificate = \"pair\"\n" +
                  listener("a", "bind = \"127.0.0.1:0\"\ntls.implicit = true") + "[certificate.pair]\ncert = '''\n" +
                  chain + "'''\nprivate-key = '''\n" + std::string(key.reveal()) + "'''\n");
  }
  std::string problems(const config::Loaded& from) {
    config::Diagnostics diagnostics;
    certificates_ = staticCertificates(from, postern::testing::machineTime(), diagnostics);
    return diagnostics.text();
  }
  postern::testing::TestCa ca_;
  std::map<tls::CertificateId, tls::CertifiedKeyRef> certificates_;
};

TEST_F(StaticPairs, AreServedWhenTheyFit) {
  const auto pair = ca_.issuePem({"mail.example.org"});
  EXPECT_EQ(problems(with(pair.chain, pair.key)), "");
  EXPECT_EQ(certificates_.count(tls::staticCertificate("pair")), 1U);
}

TEST_F(StaticPairs, ThatDoNotMatchAreAnErrorAtTheirSectionsPlace) {
  const auto first = ca_.issuePem({"mail.example.org"}), second = ca_.issuePem({"mail.example.org"});
  const auto text = problems(with(first.chain, second.key));
  EXPECT_NE(text.find("postern.toml:7: error: certificate.pair"), std::string::npos) << text;
  EXPECT_TRUE(certificates_.empty());
}

TEST_F(StaticPairs, ThatAreExpiredOrForAnotherNameAreAWarningAndServed) {
  postern::testing::IssueOptions past;
  past.notBefore = postern::testing::machineTime() - std::chrono::hours(48);
  past.notAfter = postern::testing::machineTime() - std::chrono::hours(24);
  const auto expired = ca_.issuePem({"mail.example.org"}, past);
  EXPECT_NE(problems(with(expired.chain, expired.key)).find("warning"), std::string::npos);
  EXPECT_EQ(certificates_.size(), 1U);
  const auto other = ca_.issuePem({"other.example.org"});
  EXPECT_NE(problems(with(other.chain, other.key)).find("does not cover mail.example.org"), std::string::npos);
  EXPECT_EQ(certificates_.size(), 1U);
}

TEST_F(StaticPairs, ThatClientsRefuseAreAWarningAndServed) {
  postern::testing::IssueOptions options;
  options.forClient = true;
  const auto pair = ca_.issuePem({"mail.example.org"}, options);
  EXPECT_NE(problems(with(pair.chain, pair.key))
                .find("warning: certificate.pair: its extended key usage lacks serverAuth: clients that verify it "
                      "refuse it; have it issued as a certificate for a server"),
            std::string::npos);
  EXPECT_EQ(certificates_.size(), 1U);
}

TEST_F(StaticPairs, ThatDoNotCoverTheSubjectOfAnSniRuleAreAWarning) {
  const auto rule = [](const std::string& subject) {
    return "server.tls.sni = [{ subject = \"" + subject + "\", certificate = \"pair\" }]\n";
  };
  const auto pair = ca_.issuePem({"mail.example.org", "*.example.net"});
  EXPECT_EQ(problems(with(pair.chain, pair.key, rule("web.example.net"))), "");
  EXPECT_EQ(problems(with(pair.chain, pair.key, rule("*.example.net"))), "");
  EXPECT_NE(problems(with(pair.chain, pair.key, rule("web.example.com"))).find("does not cover web.example.com"),
            std::string::npos);
  EXPECT_EQ(certificates_.size(), 1U);
}

TEST_F(StaticPairs, ThatNoCipherGoesWithAreAWarning) {
  const std::string ecdsaAlone =
      "server.tls.protocols = \"TLSv1.2\"\nserver.tls.ciphers = \"TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256\"\n";
  const auto ecdsa = ca_.issuePem({"mail.example.org"});
  EXPECT_EQ(problems(with(ecdsa.chain, ecdsa.key, ecdsaAlone)), "");
  postern::testing::IssueOptions options;
  options.keyType = tls::KeyType::Rsa2048;
  const auto rsa = ca_.issuePem({"mail.example.org"}, options);
  EXPECT_NE(problems(with(rsa.chain, rsa.key, ecdsaAlone)).find("no cipher suite of listener a"), std::string::npos);
  // With TLS 1.3 beside it, whoever does not speak that is locked out.
  const std::string beside =
      "server.tls.ciphers = [\"TLS13_AES_128_GCM_SHA256\", \"TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256\"]\n";
  EXPECT_EQ(problems(with(ecdsa.chain, ecdsa.key, beside)), "");
  EXPECT_NE(problems(with(rsa.chain, rsa.key, beside)).find("every handshake of a client without TLSv1.3 fails"),
            std::string::npos);
  EXPECT_EQ(problems(with(rsa.chain, rsa.key, beside + "server.tls.protocols = \"TLSv1.3\"\n")), "");
  EXPECT_EQ(problems(with(rsa.chain, rsa.key)), "");
}

TEST(Plans, FindAPolicyThatThisOpenSslCannotServeAtLoad) {
  const auto from =
      loaded("server.hostname = \"mail.example.org\"\n" +
             listener("a", "bind = \"127.0.0.1:0\"\ntls.implicit = true\ntls.groups = \"X25519MLKEM768\""));
  ASSERT_TRUE(from.settings) << from.diagnostics.text();
  config::Diagnostics diagnostics;
  tryPolicies(from, diagnostics);
  const bool has = OpenSSL_version_num() >= 0x30500000UL;  // the group came with OpenSSL 3.5
  EXPECT_EQ(diagnostics.hasErrors(), !has);
  const bool named = diagnostics.text().find("postern.toml:2: error: server.listener.a.tls") != std::string::npos;
  EXPECT_EQ(named, !has) << diagnostics.text();
}

}  // namespace
}  // namespace postern::server
