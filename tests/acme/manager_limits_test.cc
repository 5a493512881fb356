// How many orders there may be: at once, and by the limits that a CA has told or published.
#include "tests/acme/care_fixture.h"

namespace postern::acme {
namespace {

TEST_F(CareTest, HasNoMoreOrdersAtOnceThanTheProviderAllows) {
  ca.failNext("newOrder", Failure::Hang, 1000);
  std::vector<Names> many;
  for (int i = 0; i < 6; ++i) many.push_back({"n" + std::to_string(i) + ".example.org"});
  Plan plan = wanting(many);
  plan.providers[0].orders = 2;
  run(plan);
  ASSERT_TRUE(eventually([&] { return ca.count("newOrder") == 2; }));
  letDecide(plan);  // the other provider is not held up
  EXPECT_EQ(ca.count("newOrder"), 2);
  ca.release();
  for (const auto& names : many) EXPECT_TRUE(waitFor(names));
}

TEST_F(CareTest, KeepsASlotForOthersThoughThoseThatHaveFailedBeforeTakeLong) {
  std::vector<Names> failing;
  for (int i = 0; i < 3; ++i) failing.push_back({"n" + std::to_string(i) + ".example.org"});
  for (const auto& names : failing) ca.unresolvable(names.front());
  Plan plan = wanting(failing);
  plan.providers[0].orders = 2;
  run(plan);
  for (const auto& names : failing) EXPECT_FALSE(waitFor(names));
  const int before = ca.count("newOrder");
  ca.failNext("newOrder", Failure::Hang, 1000);
  pass(1h);
  ASSERT_TRUE(eventually([&] { return ca.count("newOrder") == before + 1; }));
  letDecide(plan);
  EXPECT_EQ(ca.count("newOrder"), before + 1);
  plan.certificates.push_back({"main", mail});
  run(plan);
  ASSERT_TRUE(eventually([&] { return ca.count("newOrder") == before + 2; }));
  EXPECT_EQ(statusOf(mail).state, CertificateState::Issuing);
}

TEST_F(CareTest, ObeysWhatA429ToldAcrossARestart) {
  ca.retryAfter(5h);
  ca.failNext("newOrder", Failure::RateLimited);
  run(wanting({mail}));
  ASSERT_TRUE(eventually([&] { return statusOf(mail).attempts == 1; }));
  restart();
  letDecide(wanting({mail}));
  pass(4h);
  letDecide(wanting({mail}));
  EXPECT_EQ(ca.count("newOrder"), 1);
  const auto ledger = manager->status().providers[0].ledger;
  ASSERT_EQ(ledger.size(), 1U);
  EXPECT_EQ(ledger[0].left, 0);
  pass(2h);
  ASSERT_TRUE(eventually([&] { return served(mail) != nullptr; }));
}

TEST_F(CareTest, SaysUntilWhenTheLedgerDelaysWhatIsForced) {
  run(wanting({mail}));
  ASSERT_TRUE(waitFor(mail));
  ca.retryAfter(5h);
  ca.failNext("newOrder", Failure::RateLimited);
  manager->renew({mail, "", true});
  EXPECT_FALSE(waitFor(mail));
  const auto answer = manager->renew({mail, "", true});
  ASSERT_EQ(answer.certificates.size(), 1U);
  EXPECT_FALSE(answer.certificates[0].ordered);
  EXPECT_NE(answer.certificates[0].words.find("until " + rfc3339(clock.now() + 5h).substr(0, 13)), std::string::npos)
      << answer.certificates[0].words;
}

// --- limits that the CA has published

TEST_F(CareTest, RenewsAgainstTheLedgerWhatWouldExpireAndSaysSo) {
  run(atLetsEncrypt());
  ASSERT_TRUE(waitFor(mail));
  const auto first = served(mail);
  manager.reset();
  clock.set(first->notAfter() - 24h);
  ASSERT_GT(emptyBucket(), first->notAfter());
  run(atLetsEncrypt());
  ASSERT_TRUE(waitFor(mail));
  EXPECT_NE(served(mail)->serial(), first->serial());
  EXPECT_EQ(letsEncrypt.issued(), 2);
  EXPECT_EQ(timesLogged("acme.limit.passed"), 1);
  EXPECT_EQ(timesLogged("acme.order.delayed"), 0);
}

TEST_F(CareTest, DelaysARenewalByTheLedgerWhileTheCertificateLivesLongEnough) {
  run(atLetsEncrypt());
  ASSERT_TRUE(waitFor(mail));
  manager.reset();
  clock.advance(61 * day);
  const Time until = emptyBucket();
  letDecide(atLetsEncrypt());
  EXPECT_EQ(letsEncrypt.orders(), 1);
  EXPECT_EQ(timesLogged("acme.order.delayed"), 1);
  EXPECT_EQ(statusOf(mail).nextAttempt, until);
  expectDelayed(until, false);
  clock.set(until);
  manager->wake();
  ASSERT_TRUE(waitFor(mail));
  EXPECT_EQ(letsEncrypt.issued(), 2);
  EXPECT_EQ(timesLogged("acme.limit.passed"), 0);
}

TEST_F(CareTest, DelaysAFirstOrderByTheLedgerAlsoWhenItIsForced) {
  const Time until = emptyBucket();
  letDecide(atLetsEncrypt());
  EXPECT_EQ(letsEncrypt.orders(), 0);
  EXPECT_EQ(statusOf(mail).nextAttempt, until);
  expectDelayed(until, false);
  expectDelayed(until, true);
  clock.set(until);
  manager->wake();
  ASSERT_TRUE(waitFor(mail));
  EXPECT_EQ(letsEncrypt.issued(), 1);
}

TEST_F(CareTest, DelaysTheSixthForcedOrderForTheSameNamesInAWeek) {
  const Time begun = clock.now();
  run(atLetsEncrypt());
  ASSERT_TRUE(waitFor(mail));
  for (int i = 0; i < 4; ++i) {
    ASSERT_TRUE(manager->renew({mail, "", true}).certificates.at(0).ordered);
    ASSERT_TRUE(waitFor(mail));
  }
  EXPECT_EQ(letsEncrypt.issued(), 5);
  expectDelayed(begun + untilOneMore, true);
}

TEST_F(CareTest, DelaysTheSixthFailedValidationInAnHourThoughSomebodyIsInAHurry) {
  Problem problem = makeProblem("dns", "DNS problem: NXDOMAIN");
  problem.status = 400;
  letsEncrypt.failName(mail[0], problem);
  const Time begun = clock.now();
  run(atLetsEncrypt());
  EXPECT_FALSE(waitFor(mail));
  for (int i = 0; i < 4; ++i) {
    ASSERT_TRUE(manager->renew({mail, "", false}).certificates.at(0).ordered);
    EXPECT_FALSE(waitFor(mail));
  }
  EXPECT_EQ(letsEncrypt.orders(), 5);
  expectDelayed(begun + 12min + 42s, false);
}

}  // namespace
}  // namespace postern::acme
