// Ways to a certificate that get in one another's way: orders left at a fallback, staging in trouble, shared folders.
#include "tests/acme/manager_fixture.h"

namespace postern::acme {
namespace {

class RoutesTest : public ManagerTest {
 protected:
  template <class Change>
  Plan with(Change change) const {
    Plan plan = wanting({mail});
    change(plan.providers[0]);
    return plan;
  }
};

TEST_F(RoutesTest, OrderNothingForAnOrderLeftAtTheFallback) {
  const auto plan = with([](Provider& provider) { provider.fallback = {"other"}; });
  ca.refuseNext("rejectedIdentifier", "newOrder", 1);
  otherCa.failNext("finalize", Failure::ServerError, 1);
  run(plan);
  ASSERT_TRUE(eventually([&] { return otherCa.count("finalize") >= 1; }));
  ASSERT_FALSE(waitFor(mail));
  pass(31h);  // the first one's turn again
  ASSERT_TRUE(eventually([&] { return served(mail) != nullptr; }));
  EXPECT_EQ(ca.issued(), 1);
  const int orders = ca.orders() + otherCa.orders();
  for (int i = 0; i < 3; ++i) {
    restart();
    letDecide(plan);
  }
  EXPECT_EQ(ca.orders() + otherCa.orders(), orders + 3);  // those of letDecide
  EXPECT_EQ(ca.orders(), 1);
}

TEST_F(RoutesTest, OrderWithoutTheProofWhereTheStagingCaIsInTrouble) {
  for (const Failure trouble : {Failure::Refused, Failure::RateLimited, Failure::Unavailable}) {
    ca.unresolvable("mail.example.org");
    run(with([](Provider& provider) { provider.staging = "other"; }));
    EXPECT_FALSE(waitFor(mail));
    ca.mendName("mail.example.org");
    otherCa.failNext("newOrder", trouble, 1);
    manager->renew({mail, "", false});
    EXPECT_TRUE(waitFor(mail)) << static_cast<int>(trouble);
    manager.reset();
    fs::remove_all(folder / "cache");
    restart();
  }
  EXPECT_EQ(timesLogged("acme.order.not-proved"), 3);
}

TEST_F(RoutesTest, ServeTheCertificateThatCameLastAndNotTheOneThatLivesLongest) {
  const auto plan = with([](Provider& provider) { provider.fallback = {"other"}; });
  ca.refuseNext("rejectedIdentifier", "newOrder", 1);
  ca.lifetime(20 * day);
  run(plan);
  ASSERT_TRUE(eventually([&] { return served(mail) != nullptr; }));  // ninety days, of the fallback
  ASSERT_TRUE(waitFor(mail));
  pass(31h);
  manager->renew({mail, "", true});
  ASSERT_TRUE(eventually([&] { return ca.issued() == 1; }));
  const auto serial = ca.certificates().back().serial;
  ASSERT_TRUE(eventually([&] { return served(mail)->serial() == serial; }));
  restart();
  manager->apply(plan);
  EXPECT_EQ(served(mail)->serial(), serial);
}

TEST_F(RoutesTest, ShareACertificateBetweenSectionsOfOneFolderWithOtherFallbacks) {
  Plan plan = wanting({mail});
  plan.providers.push_back(provider());
  plan.providers.back().name = "second";
  plan.providers.back().fallback = {"other"};
  plan.certificates.push_back({"second", mail});
  run(plan);
  ASSERT_TRUE(manager->waitFor({id(mail), id(mail, "second")}, {}));
  ASSERT_TRUE(eventually([&] { return served(mail) && served(mail, "second"); }));
  EXPECT_EQ(served(mail)->serial(), served(mail, "second")->serial());
  EXPECT_EQ(ca.issued(), 1);
}

TEST_F(RoutesTest, TakeTheNextTypeWhereTheCaDoesNotOfferTheFirst) {
  ca.offerOnly({"http-01"});
  ca.fetchHttpWith([&](const std::string&, const std::string& token) { return httpChallenges.find(token); });
  run(with([](Provider& provider) { provider.challenge = {ChallengeType::TlsAlpn01, ChallengeType::Http01}; }));
  EXPECT_FALSE(waitFor(mail));
  pass(1h);
  EXPECT_TRUE(waitFor(mail));
}

}  // namespace
}  // namespace postern::acme
