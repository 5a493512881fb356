// strict-sni: who comes without a name of this listener is refused, and everybody else is served as ever.
#include <gtest/gtest.h>

#include "tests/tls/server_fixture.h"

namespace postern::tls {
namespace {

using testing::shakeHands;

class StrictSniTest : public ServerFixture {
 protected:
  ServingPlan strict() const {
    auto made = plan();
    made.policy.strictSni = true;
    return made;
  }
};

TEST_F(StrictSniTest, RefusesUnknownAndMissingNamesWithUnrecognizedName) {
  store_.publish(own_, ca_.issue({"imap.example.org"}));
  const auto server = context(strict());
  for (const char* name : {"unknown.example.org", "", "example.org", "a.imap.example.org"}) {
    for (const int version : {TLS1_2_VERSION, TLS1_3_VERSION}) {
      auto options = to(name);
      options.newest = options.oldest = version;
      const auto refused = shakeHands(*server, options);
      EXPECT_FALSE(refused.completed) << name;
      EXPECT_EQ(refused.alertNumber, 112) << name;
    }
  }
  EXPECT_TRUE(shakeHands(*server, to("imap.example.org")).completed);
  EXPECT_TRUE(shakeHands(*server, to("IMAP.example.org")).completed);
}

TEST_F(StrictSniTest, TakesEveryNameThatIsServed) {
  const auto rule = staticCertificate("rule");
  const auto wildcard = acmeCertificate("le", {"*.example.net"});
  store_.publish({{own_, ca_.issue({"imap.example.org"})},
                  {rule, ca_.issue({"rule.example.org"})},
                  {wildcard, ca_.issue({"*.example.net"})}});
  auto made = strict();
  made.hostnames.push_back("*.hosts.example.org");
  made.sni = {{"rule.example.org", rule}};
  made.domains = {{wildcard}};
  const auto server = context(made);
  for (const char* name : {"imap.example.org", "rule.example.org", "any.example.net", "one.hosts.example.org"})
    EXPECT_TRUE(shakeHands(*server, to(name)).completed) << name;
  EXPECT_EQ(shakeHands(*server, to("a.b.example.net")).alertNumber, 112);
}

TEST_F(StrictSniTest, KnowsTheListenersOwnNamesBeforeTheirCertificateArrives) {
  const auto server = context(strict());
  EXPECT_EQ(serialFor(*server, "imap.example.org"), bootstrap_->serial());
  EXPECT_EQ(shakeHands(*server, to("other.example.org")).alertNumber, 112);
}

TEST_F(StrictSniTest, LeavesChallengesAlone) {
  auto made = strict();
  made.answersChallenges = true;
  const auto server = context(made);
  const auto answer = makeChallengeCertificate("new.example.org", std::string(32, 'd'), testing::machineTime());
  challenges_.present("new.example.org", answer);
  auto options = to("new.example.org");
  options.alpn = {"acme-tls/1"};
  EXPECT_EQ(shakeHands(*server, options).serial, answer->serial());
}

TEST_F(StrictSniTest, SwitchedOnByAReloadEndsNoTicket) {
  const auto server = context();
  const auto before = shakeHands(*server, to("imap.example.org"));
  server->serve(strict());
  EXPECT_TRUE(shakeHands(*server, resuming(before, to("imap.example.org"))).resumed);
}

}  // namespace
}  // namespace postern::tls
