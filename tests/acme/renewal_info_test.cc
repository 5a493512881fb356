#include "acme/renewal_info.h"

#include <gtest/gtest.h>

#include "acme/error.h"
#include "tests/support/fake_ca_crypto.h"
#include "tests/support/fake_clock.h"
#include "tests/support/test_certificates.h"

namespace postern::acme {
namespace {

using namespace std::chrono_literals;

// RFC 9773 appendix A.
constexpr const char* rfcCertificate = R"(-----BEGIN CERTIFICATE-----
MIIBQzCB66ADAgECAgUAh2VDITAKBggqhkjOPQQDAjAVMRMwEQYDVQQDEwpFeGFt
cGxlIENBMCIYDzAwMDEwMTAxMDAwMDAwWhgPMDAwMTAxMDEwMDAwMDBaMBYxFDAS
BgNVBAMTC2V4YW1wbGUuY29tMFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEeBZu
7cbpAYNXZLbbh8rNIzuOoqOOtmxA1v7cRm//AwyMwWxyHz4zfwmBhcSrf47NUAFf
qzLQ2PPQxdTXREYEnKMjMCEwHwYDVR0jBBgwFoAUaYhba4dGQEHhs3uEe6CuLN4B
yNQwCgYIKoZIzj0EAwIDRwAwRAIge09+S5TZAlw5tgtiVvuERV6cT4mfutXIlwTb
+FYN/8oCIClDsqBklhB9KAelFiYt9+6FDj3z4KGVelYM5MdsO3pK
-----END CERTIFICATE-----
)";

class RenewalInfoTest : public ::testing::Test {
 protected:
  HttpResponse answer(const std::string& body, const std::string& retryAfter = "") const {
    HttpResponse response;
    response.status = 200;
    response.body = body;
    if (!retryAfter.empty()) response.headers.emplace("retry-after", retryAfter);
    return response;
  }
  HttpResponse window(Time from, Time to, const std::string& retryAfter = "") const {
    return answer(R"({"suggestedWindow":{"start":")" + rfc3339(from) + R"(","end":")" + rfc3339(to) + R"("}})",
                  retryAfter);
  }
  RenewalInfo read(const HttpResponse& response, double chance = 0.5,
                   const std::optional<RenewalInfo>& before = {}) const {
    return readRenewalInfo(response, "aki.serial", expiry, before, clock.now(), chance);
  }
  std::string complaint(const std::string& body) const {
    try {
      read(answer(body));
    } catch (const Error& error) {
      EXPECT_EQ(error.problem.type, "postern:malformed");
      return error.problem.detail;
    }
    return "no complaint";
  }

  testing::FakeClock clock;
  const Time start = clock.now() + 24h * 50, end = clock.now() + 24h * 52, expiry = clock.now() + 24h * 90;
};

TEST_F(RenewalInfoTest, NamesTheCertificateOfTheRfcAsTheRfcDoes) {
  tls::CertPtr certificate = test::certificateFromPem(rfcCertificate);
  ASSERT_TRUE(certificate);
  EXPECT_EQ(renewalCertificateId(certificate.get()), "aYhba4dGQEHhs3uEe6CuLN4ByNQ.AIdlQyE");
}

TEST_F(RenewalInfoTest, HasNoNameForACertificateThatDoesNotSayWhoIssuedIt) {
  const tls::KeyPtr key = tls::generateKey(tls::KeyType::EcdsaP256);
  EXPECT_EQ(renewalCertificateId(*tls::makeSelfSigned(key.get(), {"mail.example.org"}, clock.now())), "");
}

TEST_F(RenewalInfoTest, DrawsThePickInsideTheWindow) {
  for (double chance : {0.0, 0.25, 0.5, 0.999999}) {
    RenewalInfo info = read(window(start, end), chance);
    EXPECT_EQ(info.certificateId, "aki.serial");
    EXPECT_EQ(info.start, start);
    EXPECT_EQ(info.end, end);
    ASSERT_TRUE(info.pick);
    EXPECT_GE(*info.pick, start);
    EXPECT_LE(*info.pick, end);
  }
  EXPECT_EQ(read(window(start, end), 0.25).pick, start + 12h);
}

TEST_F(RenewalInfoTest, KeepsThePickWhileTheWindowIsTheSame) {
  const RenewalInfo first = read(window(start, end), 0.25);
  EXPECT_EQ(read(window(start, end), 0.75, first).pick, first.pick);
}

TEST_F(RenewalInfoTest, DrawsAnewInAWindowThatMovedOrIsOfAnotherCertificate) {
  RenewalInfo first = read(window(start, end), 0.25);
  const RenewalInfo moved = read(window(start - 24h * 10, end - 24h * 10), 0.75, first);
  EXPECT_EQ(moved.pick, start - 24h * 10 + 36h);
  first.certificateId = "another.one";
  EXPECT_EQ(read(window(start, end), 0.75, first).pick, start + 36h);
}

TEST_F(RenewalInfoTest, TakesAWindowWhollyInThePast) {
  const RenewalInfo info = read(window(clock.now() - 48h, clock.now() - 24h), 0.5);
  EXPECT_EQ(info.pick, clock.now() - 36h);
}

TEST_F(RenewalInfoTest, LeavesOutAWindowThatIsEmptyReversedOrBeyondExpiry) {
  const std::pair<Time, Time> windows[] = {
      {start, start}, {end, start}, {expiry, expiry + 24h}, {expiry + 1h, expiry + 2h}};
  for (const auto& [from, to] : windows) {
    const RenewalInfo info = read(window(from, to, "3600"));
    EXPECT_FALSE(info.start || info.end || info.pick) << rfc3339(from);
    EXPECT_EQ(info.askAgain, clock.now() + 1h);
  }
}

TEST_F(RenewalInfoTest, PicksNoTimeAfterExpiryInAWindowThatReachesBeyondIt) {
  const RenewalInfo info = read(window(expiry - 24h, expiry + 24h * 30), 0.99);
  ASSERT_TRUE(info.pick);
  EXPECT_LE(*info.pick, expiry);
}

TEST_F(RenewalInfoTest, AsksAgainAsToldBetweenOneMinuteAndADay) {
  EXPECT_EQ(read(window(start, end, "7200")).askAgain, clock.now() + 2h);
  EXPECT_EQ(read(window(start, end, "0")).askAgain, clock.now() + 1min);
  EXPECT_EQ(read(window(start, end, "864000")).askAgain, clock.now() + 24h);
  EXPECT_EQ(read(window(start, end, "99999999999999999999")).askAgain, clock.now() + 24h);
  EXPECT_EQ(read(window(start, end, "Sun, 01 Mar 2026 15:00:00 GMT")).askAgain, clock.now() + 3h);
  EXPECT_EQ(read(window(start, end, "soon")).askAgain, clock.now() + 6h);
  EXPECT_EQ(read(window(start, end)).askAgain, clock.now() + 6h);
}

TEST_F(RenewalInfoTest, KeepsTheExplanationWhereItIsAWebAddress) {
  const auto explained = [&](const std::string& url) {
    return read(answer(R"({"suggestedWindow":{"start":"2026-04-20T12:00:00.5Z","end":"2026-04-22T14:00:00+02:00"},)"
                       R"("explanationURL":")" +
                       url + R"(","mood":7})"));
  };
  const RenewalInfo info = explained("https://ca.test/incident/1");
  EXPECT_EQ(info.explanationUrl, "https://ca.test/incident/1");
  EXPECT_EQ(rfc3339(*info.start), "2026-04-20T12:00:00Z");
  EXPECT_EQ(rfc3339(*info.end), "2026-04-22T12:00:00Z");
  EXPECT_EQ(explained("javascript:alert(1)").explanationUrl, "");
  EXPECT_EQ(explained("https://ca.test/" + std::string(3000, 'x')).explanationUrl, "");
}

TEST_F(RenewalInfoTest, SaysWhatIsNoRenewalInformation) {
  EXPECT_NE(complaint("<html>").find("no JSON object"), std::string::npos);
  EXPECT_NE(complaint("{}").find("suggestedWindow"), std::string::npos);
  EXPECT_NE(complaint(R"({"suggestedWindow":"now"})").find("suggestedWindow"), std::string::npos);
  EXPECT_NE(complaint(R"({"suggestedWindow":{"end":"2026-04-22T12:00:00Z"}})").find("start"), std::string::npos);
  EXPECT_NE(complaint(R"({"suggestedWindow":{"start":"2026-04-22T12:00:00Z","end":7}})").find("end"),
            std::string::npos);
}

}  // namespace
}  // namespace postern::acme
