// Two sections that order from one CA, each with a cache, and so with an account and a ledger, of its own.
#include "acme/ledger_file.h"
#include "tests/acme/manager_fixture.h"

namespace postern::acme {
namespace {

class CachesTest : public ManagerTest {
 protected:
  CachesTest() {
    manager.reset();
    manager = std::make_unique<Manager>(Manager::Parts{
        clock, log, *store, challenges, httpChallenges, test::FakeCa::factory({&ca, &otherCa, &letsEncrypt}), {}});
  }
  ~CachesTest() override {
    letsEncrypt.release();
    manager.reset();
  }

  // "main" and "second" are of the CA whose limits are known; "other" is of the other CA.
  Plan wanting(const std::vector<Wanted>& certificates) const {
    Plan plan;
    plan.providers = {provider("main"), provider("second"), provider("other")};
    for (Provider* each : {&plan.providers[0], &plan.providers[1]}) each->directory = letsEncrypt.directoryUrl();
    plan.providers[1].cache = folder / "second";
    plan.certificates = certificates;
    return plan;
  }
  // Before the manager begins: certificates that "main" has got in this second.
  void issuedBefore(int times, const std::function<Names(int)>& names) {
    LedgerFile ledger(folder / "cache" / directoryFolderName(letsEncrypt.directoryUrl()), letsEncrypt.directoryUrl(),
                      log);
    for (int i = 0; i < times; ++i) {
      ledger.record({LedgerEntry::Kind::Issuance, clock.now(), names(i)}, clock.now());
    }
  }
  std::optional<LimitState> limitOf(const std::string& name, const std::string& limit) const {
    for (const auto& each : manager->status().providers) {
      for (const auto& state : each.ledger) {
        if (each.name == name && state.limit == limit) return state;
      }
    }
    return std::nullopt;
  }

  test::FakeCa letsEncrypt{clock, &challenges, "acme-v02.api.letsencrypt.org"};
};

TEST_F(CachesTest, HoldOneBackForWhatTheOtherHasHadAndSayTheSameInTheStatus) {
  issuedBefore(5, [&](int) { return mail; });
  const auto plan = wanting({{"second", mail}, {"second", imap}});
  run(plan);
  ASSERT_TRUE(waitFor(imap, "second"));
  letDecide(plan);
  EXPECT_EQ(letsEncrypt.orders(), 1);
  const auto answer = manager->renew({mail, "second", true});
  ASSERT_EQ(answer.certificates.size(), 1U);
  EXPECT_FALSE(answer.certificates[0].ordered);
  EXPECT_NE(answer.certificates[0].words.find("delayed by the CA's limits until"), std::string::npos);
  for (const char* name : {"main", "second"}) {
    const auto state = limitOf(name, "certificates per exact set mail.example.org");
    ASSERT_TRUE(state) << name;
    EXPECT_EQ(state->left, 0) << name;
  }
  // The order for `imap` is that of second's account alone.
  EXPECT_TRUE(limitOf("second", "orders per account"));
  EXPECT_FALSE(limitOf("main", "orders per account"));
  pass(33h + 36min + 2h + 1s);
  ASSERT_TRUE(eventually([&] { return served(mail, "second") != nullptr; }));
  EXPECT_EQ(letsEncrypt.accounts(), 1);
}

TEST_F(CachesTest, LetOneOrderWhenAnOrderOfTheOtherHasLeftWhatItHeld) {
  issuedBefore(49, [](int i) { return Names{"host" + std::to_string(i) + ".example.org"}; });
  letsEncrypt.unresolvable(mail.front());
  letsEncrypt.failNext("newOrder", Failure::Hang);
  run(wanting({{"main", mail}}));
  ASSERT_TRUE(eventually([&] { return letsEncrypt.count("newOrder") == 1; }));
  const auto plan = wanting({{"main", mail}, {"second", imap}});
  letDecide(plan);
  EXPECT_FALSE(served(imap, "second"));
  EXPECT_GT(statusOf(imap, "second").nextAttempt, clock.now() + 1h);
  letsEncrypt.release();  // the first one's order goes on, and fails
  ASSERT_TRUE(eventually([&] { return served(imap, "second") != nullptr; }));
  EXPECT_EQ(letsEncrypt.issued(), 1);
  EXPECT_EQ(statusOf(mail, "main").attempts, 1);
}

}  // namespace
}  // namespace postern::acme
