#include "acme/order_gate.h"

#include <gtest/gtest.h>

#include "tests/support/fake_clock.h"
#include "tests/support/temporary_folder.h"

namespace postern::acme {
namespace {

using namespace std::chrono_literals;

class OrderGateTest : public ::testing::Test {
 protected:
  OrderGateTest() { gate.join(ledger); }

  std::vector<std::string> name(int number) const { return {"n" + std::to_string(number) + ".example.org"}; }
  std::unique_ptr<OrderGate::Pass> enter(int number, bool whatever = false) {
    return gate.enter(*ledger, name(number), OrderKind::First, whatever);
  }
  Time earliest(int number, OrderKind kind = OrderKind::First) const {
    return gate.earliest(*ledger, name(number), kind, clock.now());
  }
  void issued(int certificates) {
    for (int i = 0; i < certificates; ++i) gate.record(*ledger, {LedgerEntry::Kind::Issuance, clock.now(), name(i)});
  }

  support::TemporaryFolder folder;
  Log log;
  testing::FakeClock clock;
  std::shared_ptr<LedgerFile> ledger = std::make_shared<LedgerFile>(
      std::filesystem::path(folder / "le"), "https://acme-v02.api.letsencrypt.org/directory", log);
  OrderGate gate{clock, log};
};

TEST_F(OrderGateTest, CountsOrdersUnderWayAsIfTheyHadBroughtTheirCertificates) {
  issued(48);
  const auto first = enter(100);
  const auto second = enter(101);
  EXPECT_THROW(enter(102), Delayed);
  EXPECT_GT(earliest(102), clock.now());
  EXPECT_EQ(earliest(102, OrderKind::Renewal), clock.now());
}

TEST_F(OrderGateTest, GivesBackWhatAnOrderThatFailedHeld) {
  issued(49);
  auto only = enter(100);
  EXPECT_THROW(enter(101), Delayed);
  only.reset();
  EXPECT_NO_THROW(enter(101));
}

TEST_F(OrderGateTest, EntersAnOrderOnceAndItsCertificateWhenItIsThere) {
  const auto pass = enter(1);
  pass->ordered();
  pass->ordered();
  pass->issued();
  const auto states = ledger->left(clock.now());
  ASSERT_EQ(states.size(), 3U);  // orders, registered domain, set
  EXPECT_EQ(states[0].left, 4);
  EXPECT_EQ(states[1].left, 49);
  EXPECT_EQ(states[2].left, 299);
}

TEST_F(OrderGateTest, CountsACertificateThatHasComeOnceThoughItsOrderIsNotOver) {
  issued(48);
  const auto pass = enter(100);
  pass->issued();
  EXPECT_EQ(earliest(101), clock.now());  // 49 of 50
  EXPECT_NO_THROW(enter(101));
}

TEST_F(OrderGateTest, TakesTheSameNamesForAnotherKeyTypeForTheRenewalThatTheyAreToTheCa) {
  issued(50);
  EXPECT_GT(earliest(100), clock.now());
  EXPECT_EQ(earliest(7), clock.now());
  const auto pass = enter(7);
  pass->ordered();
  for (const auto& state : ledger->left(clock.now())) EXPECT_NE(state.limit, "orders per account");
}

TEST_F(OrderGateTest, LetsOutWhatMayNotWait) {
  issued(50);
  EXPECT_NO_THROW(enter(100, true));
}

}  // namespace
}  // namespace postern::acme
