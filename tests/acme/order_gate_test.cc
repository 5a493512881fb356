#include "acme/order_gate.h"

#include <gtest/gtest.h>

#include "tests/support/fake_clock.h"
#include "tests/support/temporary_folder.h"

namespace postern::acme {
namespace {

using namespace std::chrono_literals;

class OrderGateTest : public ::testing::Test {
 protected:
  std::vector<std::string> name(int number) const { return {"n" + std::to_string(number) + ".example.org"}; }

  support::TemporaryFolder folder;
  Log log;
  testing::FakeClock clock;
  std::shared_ptr<LedgerFile> ledger = std::make_shared<LedgerFile>(
      std::filesystem::path(folder / "le"), "https://acme-v02.api.letsencrypt.org/directory", log);
  OrderGate gate{ledger, clock};
};

TEST_F(OrderGateTest, CountsOrdersUnderWayAsIfTheyHadBroughtTheirCertificates) {
  for (int i = 0; i < 48; ++i) {
    ledger->record({LedgerEntry::Kind::Issuance, clock.now(), name(i), OrderKind::First}, clock.now());
  }
  const auto first = gate.enter(name(100), OrderKind::First, false);
  const auto second = gate.enter(name(101), OrderKind::First, false);
  EXPECT_THROW(gate.enter(name(102), OrderKind::First, false), Delayed);
  EXPECT_GT(gate.earliest(name(102), OrderKind::First, clock.now()), clock.now());
  EXPECT_EQ(gate.earliest(name(102), OrderKind::Renewal, clock.now()), clock.now());
}

TEST_F(OrderGateTest, GivesBackWhatAnOrderThatFailedHeld) {
  for (int i = 0; i < 49; ++i) {
    ledger->record({LedgerEntry::Kind::Issuance, clock.now(), name(i), OrderKind::First}, clock.now());
  }
  auto only = gate.enter(name(100), OrderKind::First, false);
  EXPECT_THROW(gate.enter(name(101), OrderKind::First, false), Delayed);
  only.reset();
  EXPECT_NO_THROW(gate.enter(name(101), OrderKind::First, false));
}

TEST_F(OrderGateTest, EntersAnOrderOnceAndItsCertificateWhenItIsThere) {
  const auto pass = gate.enter(name(1), OrderKind::First, false);
  pass->ordered();
  pass->ordered();
  pass->issued();
  const auto states = ledger->left(clock.now());
  ASSERT_EQ(states.size(), 3U);  // orders, registered domain, set
  EXPECT_EQ(states[0].left, 4);
  EXPECT_EQ(states[1].left, 49);
  EXPECT_EQ(states[2].left, 299);
}

TEST_F(OrderGateTest, LetsOutWhatMayNotWait) {
  for (int i = 0; i < 50; ++i) {
    ledger->record({LedgerEntry::Kind::Issuance, clock.now(), name(i), OrderKind::First}, clock.now());
  }
  EXPECT_NO_THROW(gate.enter(name(100), OrderKind::First, true));
}

}  // namespace
}  // namespace postern::acme
