#include "tls/alpn_challenges.h"

#include <gtest/gtest.h>

#include <string>

#include "tests/support/test_certificates.h"

namespace postern::tls {
namespace {

CertifiedKeyRef answer() {
  return makeChallengeCertificate("mail.example.org", std::string(32, 'd'), testing::machineTime());
}

TEST(AlpnChallengesTest, FindsAnAnswerByItsNameInAnyCaseUntilItIsTakenDown) {
  AlpnChallenges challenges;
  const auto certificate = answer();
  const auto handle = challenges.present("Mail.example.org", certificate);
  EXPECT_EQ(challenges.find("mail.EXAMPLE.org"), certificate);
  EXPECT_EQ(challenges.find("example.org"), nullptr);
  EXPECT_EQ(challenges.find("a.mail.example.org"), nullptr);
  EXPECT_EQ(challenges.find(""), nullptr);
  challenges.cleanUp(handle);
  EXPECT_EQ(challenges.find("mail.example.org"), nullptr);
}

TEST(AlpnChallengesTest, ShowsTheLatestAnswerAndTheOneBeforeWhenThatIsTakenDown) {
  AlpnChallenges challenges;
  const auto one = answer(), two = answer();
  const auto first = challenges.present("mail.example.org", one);
  const auto second = challenges.present("mail.example.org", two);
  EXPECT_EQ(challenges.find("mail.example.org"), two);
  challenges.cleanUp(second);
  EXPECT_EQ(challenges.find("mail.example.org"), one);
  challenges.cleanUp(second);  // twice does no harm
  challenges.cleanUp(first);
  EXPECT_EQ(challenges.find("mail.example.org"), nullptr);
}

TEST(AlpnChallengesTest, FindsAnAddressByItsReverseName) {
  EXPECT_EQ(challengeServerName("192.0.2.1"), "1.2.0.192.in-addr.arpa");
  EXPECT_EQ(challengeServerName("2001:db8::1"),
            "1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa");
  EXPECT_EQ(challengeServerName("Mail.Example.org"), "mail.example.org");
  AlpnChallenges challenges;
  challenges.present("192.0.2.1", answer());
  EXPECT_NE(challenges.find("1.2.0.192.in-addr.arpa"), nullptr);
}

}  // namespace
}  // namespace postern::tls
