#include "server/status.h"

#include <gtest/gtest.h>
#include <unistd.h>

namespace postern::server {
namespace {

View viewOf(acme::Status acme, std::map<std::string, acme::LastError> challengeErrors = {}) {
  return {Time(std::chrono::hours(500000)),
          Time(std::chrono::hours(499999)),
          Time(std::chrono::hours(499999)),
          "/etc/postern.toml",
          Reloaded{Time(std::chrono::hours(499999)), false, "first\nsecond"},
          std::make_shared<const RunningListeners>(),
          std::move(acme),
          std::move(challengeErrors),
          3};
}

acme::Status failing() {
  acme::Status status;
  acme::CertificateStatus certificate;
  certificate.names = {"mail.example.org", "imap.example.org"};
  certificate.provider = "le";
  certificate.keyType = "ecdsa-p256";
  certificate.state = acme::CertificateState::Failing;
  certificate.nextAttempt = Time(std::chrono::hours(500001));
  certificate.attempts = 2;
  certificate.lastError = acme::LastError{"urn:ietf:params:acme:error:dns", "no such name", "imap.example.org",
                                          Time(std::chrono::hours(499999))};
  status.certificates.push_back(certificate);
  acme::ProviderStatus provider;
  provider.name = "le";
  provider.directory = "https://ca.example/dir";
  provider.ledger = {{"certificates per registered domain example.org", 3, Time(std::chrono::hours(500024))},
                     {"new orders per account", 300, std::nullopt}};
  status.providers.push_back(provider);
  return status;
}

TEST(Status, ShowsEveryMemberAndUnknownOnesAsNull) {
  const Json json = statusJson(viewOf(failing()));
  EXPECT_EQ(json["pid"].integer(), ::getpid());
  EXPECT_EQ(json["uptime_seconds"].integer(), 3600);
  EXPECT_FALSE(json["config"]["last_reload"]["ok"].boolean(true));
  EXPECT_EQ(json["config"]["last_reload"]["error"].string(), "first\nsecond");
  const Json& certificate = json["certificates"].array().at(0);
  EXPECT_EQ(certificate["state"].string(), "failing");
  EXPECT_EQ(certificate["next_attempt"].string(), rfc3339(Time(std::chrono::hours(500001))));
  EXPECT_EQ(certificate["last_error"]["name"].string(), "imap.example.org");
  for (const char* unknown : {"serial", "issuer", "not_before", "not_after", "renew_at", "renew_reason"}) {
    EXPECT_EQ(certificate.object().count(unknown), 1U) << unknown;
    EXPECT_TRUE(certificate[unknown].isNull()) << unknown;
  }
  const Json& provider = json["providers"].array().at(0);
  EXPECT_EQ(provider["state"].string(), "unknown");
  EXPECT_TRUE(provider["account"].isNull());
  EXPECT_TRUE(provider["last_error"].isNull());
}

TEST(Status, ShowsAChallengePortThatCouldNotBeOpenedAtItsProvider) {
  const Json json = statusJson(
      viewOf(failing(), {{"le", {"postern:challenge-port", "address in use", "", Time(std::chrono::hours(499999))}}}));
  EXPECT_EQ(json["providers"].array().at(0)["last_error"]["detail"].string(), "address in use");
}

TEST(Status, SaysWhatTheLimitsOfAProviderLeave) {
  const Json json = statusJson(viewOf(failing()));
  const auto& ledger = json["providers"].array().at(0)["ledger"].array();
  ASSERT_EQ(ledger.size(), 2U);
  EXPECT_EQ(ledger[0]["limit"].string(), "certificates per registered domain example.org");
  EXPECT_EQ(ledger[0]["left"].integer(), 3);
  EXPECT_EQ(ledger[0]["refill_at"].string(), rfc3339(Time(std::chrono::hours(500024))));
  EXPECT_EQ(ledger[1].object().count("refill_at"), 1U);
  EXPECT_TRUE(ledger[1]["refill_at"].isNull());
  const std::string text = statusText(json);
  EXPECT_NE(text.find("LIMIT"), std::string::npos) << text;
  EXPECT_NE(text.find("certificates per registered domain example.org  le        3     " +
                      rfc3339(Time(std::chrono::hours(500024)))),
            std::string::npos)
      << text;
}

TEST(Status, NamesTheKeyTypeOfEachCertificate) {
  auto acme = failing();
  acme.certificates.push_back(acme.certificates.front());
  acme.certificates.back().keyType = "rsa-2048";
  const std::string text = statusText(statusJson(viewOf(acme)));
  EXPECT_NE(text.find("ecdsa-p256  failing"), std::string::npos) << text;
  EXPECT_NE(text.find("rsa-2048    failing"), std::string::npos) << text;
}

TEST(Status, IsATableForAPerson) {
  const std::string text = statusText(statusJson(viewOf(failing())));
  EXPECT_NE(text.find("refused\nfirst\nsecond"), std::string::npos) << text;
  EXPECT_NE(text.find("mail.example.org,imap.example.org"), std::string::npos);
  EXPECT_NE(text.find("urn:ietf:params:acme:error:dns: no such name (imap.example.org)"), std::string::npos);
}

TEST(Metrics, EscapeLabelsAndCountFailures) {
  auto acme = failing();
  acme.certificates[0].provider = "a\"b\\c\nd";
  const std::string text = metricsText(viewOf(acme));
  EXPECT_NE(text.find("postern_certificate_failures{names=\"mail.example.org,imap.example.org\","
                      "provider=\"a\\\"b\\\\c\\nd\",key_type=\"ecdsa-p256\",state=\"failing\"} 2\n"),
            std::string::npos)
      << text;
  EXPECT_NE(text.find("postern_probe_failures_total 3\n"), std::string::npos);
}

}  // namespace
}  // namespace postern::server
