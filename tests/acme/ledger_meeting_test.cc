// Two caches that order from one CA: each has an account and a ledger, and the limits that are everybody's once.
#include <gtest/gtest.h>

#include <filesystem>
#include <memory>
#include <random>

#include "acme/error.h"
#include "acme/order_gate.h"
#include "tests/support/fake_clock.h"
#include "tests/support/temporary_folder.h"

namespace postern::acme {
namespace {

namespace fs = std::filesystem;
using namespace std::chrono_literals;
using Kind = LedgerEntry::Kind;
using Names = std::vector<std::string>;

const std::string production = "https://acme-v02.api.letsencrypt.org/directory";

// Times on disk are whole seconds.
::testing::AssertionResult soonAfter(Time found, Time expected) {
  if (found >= expected - 3s && found <= expected + 3s) return ::testing::AssertionSuccess();
  return ::testing::AssertionFailure() << rfc3339(found) << ", not " << rfc3339(expected);
}

class TwoCaches : public ::testing::Test {
 protected:
  TwoCaches() { restart(); }

  // As the process would end and begin again, in either order.
  void restart(bool secondFirst = false) {
    one.reset();
    two.reset();
    gate = std::make_unique<OrderGate>(clock, log);
    for (const bool second : {secondFirst, !secondFirst}) {
      auto& ledger = second ? two : one;
      ledger = std::make_shared<LedgerFile>(second ? foldersTwo : foldersOne, production, log);
      gate->join(ledger);
    }
  }
  void record(const std::shared_ptr<LedgerFile>& in, Kind kind, const Names& names,
              OrderKind order = OrderKind::First) {
    gate->record(*in, {kind, clock.now(), names, order});
  }
  void issue(const std::shared_ptr<LedgerFile>& in, int certificates) {
    for (int i = 0; i < certificates; ++i) record(in, Kind::Issuance, host(++hosts_));
  }
  Time earliest(const std::shared_ptr<LedgerFile>& of, const Names& names, OrderKind kind = OrderKind::First) const {
    return gate->earliest(*of, names, kind, clock.now());
  }
  bool passes(const std::shared_ptr<LedgerFile>& of, const Names& names, OrderKind kind = OrderKind::First) const {
    return earliest(of, names, kind) == clock.now();
  }
  int left(const std::shared_ptr<LedgerFile>& of, const std::string& limit) const {
    for (const auto& state : of->left(clock.now())) {
      if (state.limit == limit) return state.left;
    }
    return -1;
  }
  static Names host(int number) { return {"host" + std::to_string(number) + ".example.org"}; }
  std::string content(const std::shared_ptr<LedgerFile>& of) const {
    return fs::exists(of->path()) ? support::contentOf(of->path()) : "";
  }

  const Names fresh{"fresh.example.org"};
  support::TemporaryFolder folder;
  const fs::path foldersOne = folder / "one" / "le", foldersTwo = folder / "two" / "le";
  Log log;
  testing::FakeClock clock;
  std::unique_ptr<OrderGate> gate;
  std::shared_ptr<LedgerFile> one, two;

 private:
  int hosts_ = 0;
};

TEST_F(TwoCaches, ShareTheCertificatesOfARegisteredDomain) {
  issue(one, 30);
  issue(two, 19);
  EXPECT_TRUE(passes(one, fresh));
  EXPECT_TRUE(passes(two, fresh));
  issue(one, 1);
  EXPECT_FALSE(passes(one, fresh));
  EXPECT_FALSE(passes(two, fresh));
  EXPECT_TRUE(passes(two, fresh, OrderKind::Renewal));
  EXPECT_TRUE(passes(two, {"fresh.example.net"}));
  const std::string limit = "certificates per registered domain example.org";
  EXPECT_EQ(left(one, limit), 0);
  EXPECT_EQ(left(two, limit), 0);
}

TEST_F(TwoCaches, ShareTheCertificatesOfAnExactSet) {
  for (int i = 0; i < 5; ++i) {
    EXPECT_TRUE(passes(one, fresh, OrderKind::Renewal));
    EXPECT_TRUE(passes(two, fresh, OrderKind::Renewal));
    record(i % 2 == 0 ? one : two, Kind::Issuance, fresh, OrderKind::Renewal);
  }
  EXPECT_FALSE(passes(one, fresh, OrderKind::Renewal));
  EXPECT_FALSE(passes(two, fresh, OrderKind::Renewal));
  EXPECT_TRUE(passes(two, fresh, OrderKind::Ari));
}

TEST_F(TwoCaches, ShareTheNewAccountsOfAnAddress) {
  for (int i = 0; i < 10; ++i) record(i % 2 == 0 ? one : two, Kind::Account, {});
  EXPECT_GT(one->earliestAccount(clock.now()), clock.now());
  EXPECT_GT(two->earliestAccount(clock.now()), clock.now());
}

TEST_F(TwoCaches, HaveEachItsAccountsOrders) {
  for (int i = 0; i < 300; ++i) record(one, Kind::Order, fresh);
  EXPECT_FALSE(passes(one, fresh));
  EXPECT_TRUE(passes(two, fresh));
  EXPECT_EQ(left(two, "orders per account"), -1);  // not touched
}

TEST_F(TwoCaches, HaveEachItsAccountsFailedValidations) {
  for (int i = 0; i < 5; ++i) record(one, Kind::FailedValidation, fresh);
  EXPECT_FALSE(passes(one, fresh));
  EXPECT_TRUE(passes(two, fresh));
  record(two, Kind::FailedValidation, fresh);
  record(one, Kind::Issuance, fresh);  // ends the row of one's failures, not of two's
  EXPECT_EQ(left(one, "failed validations in a row of fresh.example.org"), -1);
  EXPECT_EQ(left(two, "failed validations in a row of fresh.example.org"), 1151);
}

TEST_F(TwoCaches, LeaveWhatTheCaToldToTheAccountItToldIt) {
  one->told(clock.now() + 2h, fresh, clock.now());
  EXPECT_FALSE(passes(one, fresh));
  EXPECT_TRUE(passes(two, fresh));
}

TEST_F(TwoCaches, CountTheOrdersThatAreUnderWayAtTheOther) {
  issue(one, 24);
  issue(two, 24);
  const auto first = gate->enter(*one, host(1000), OrderKind::First, false);
  auto second = gate->enter(*two, host(1001), OrderKind::First, false);
  EXPECT_THROW(gate->enter(*one, fresh, OrderKind::First, false), Delayed);
  EXPECT_THROW(gate->enter(*two, fresh, OrderKind::First, false), Delayed);
  second.reset();
  EXPECT_TRUE(passes(one, fresh));
  // What is under way at one is no failure, no order and no account of two's.
  EXPECT_EQ(left(two, "orders per account"), -1);
}

TEST_F(TwoCaches, AddUpWhatEachDidBeforeTheyMetAndAddItUpOnce) {
  gate = std::make_unique<OrderGate>(clock, log);
  gate->join(one);
  issue(one, 30);
  clock.advance(20min);
  gate = std::make_unique<OrderGate>(clock, log);
  gate->join(two);
  issue(two, 19);
  EXPECT_TRUE(passes(one, fresh));
  for (int i = 0; i < 5; ++i) {
    restart(i % 2 == 0);
    EXPECT_EQ(left(one, "certificates per registered domain example.org"), 1);
    EXPECT_EQ(left(two, "certificates per registered domain example.org"), 1);
    EXPECT_TRUE(passes(one, fresh));
  }
  issue(two, 1);
  const Time until = earliest(two, fresh);
  EXPECT_GT(until, clock.now());
  for (int i = 0; i < 5; ++i) {
    restart(i % 2 == 0);
    EXPECT_TRUE(soonAfter(earliest(one, fresh), until));
    EXPECT_TRUE(soonAfter(earliest(two, fresh), until));
  }
}

TEST_F(TwoCaches, KnowOnlyTheLaterHistoryWhereABucketWasFullInBetween) {
  gate = std::make_unique<OrderGate>(clock, log);
  gate->join(one);
  issue(one, 30);
  clock.advance(8 * 24h);
  gate = std::make_unique<OrderGate>(clock, log);
  gate->join(two);
  issue(two, 20);
  restart();
  EXPECT_EQ(left(one, "certificates per registered domain example.org"), 30);
  EXPECT_EQ(left(two, "certificates per registered domain example.org"), 30);
}

TEST_F(TwoCaches, GoOnAfterARestartWhereTheyWere) {
  // In turn and as fast as the limit refills: either ledger alone would say that all of it is left.
  issue(one, 25);
  issue(two, 25);
  for (int i = 0; i < 40; ++i) {
    clock.advance(12096s);
    issue(i % 2 == 0 ? one : two, 1);
  }
  const Time until = earliest(one, fresh);
  EXPECT_GT(until, clock.now());
  EXPECT_EQ(earliest(two, fresh), until);
  restart();
  EXPECT_TRUE(soonAfter(earliest(one, fresh), until));
  EXPECT_TRUE(soonAfter(earliest(two, fresh), until));
  // The file that was written last knows everything.
  fs::remove_all(foldersOne);
  restart();
  EXPECT_TRUE(soonAfter(earliest(one, fresh), until));
  // And what it told the other one is on the other's disk with its next entry.
  record(one, Kind::Order, fresh, OrderKind::Renewal);
  fs::remove_all(foldersTwo);
  restart();
  EXPECT_TRUE(soonAfter(earliest(two, fresh), until));
}

TEST_F(TwoCaches, DecideLikeOneLedgerThatSawEverything) {
  int firstHeldBack = 0, renewalsHeldBack = 0;
  for (unsigned seed = 1; seed <= 8; ++seed) {
    fs::remove_all(folder / "one");
    fs::remove_all(folder / "two");
    restart();
    std::mt19937 random(seed);
    const auto draw = [&](int below) { return static_cast<int>(random() % static_cast<unsigned>(below)); };
    Ledger all(production);
    for (int step = 0; step < 150; ++step) {
      clock.advance(std::chrono::milliseconds(draw(4) == 0 ? draw(6 * 3'600'000) : draw(60'000)));
      const auto& in = draw(3) == 0 ? two : one;
      const Names names = draw(3) == 0 ? host(draw(3)) : host(100 + draw(100'000));
      const auto kind = all.issuedBefore(names, clock.now()) ? OrderKind::Renewal : OrderKind::First;
      if (passes(in, names, kind)) {
        all.record({Kind::Issuance, clock.now(), names, kind}, clock.now());
        record(in, Kind::Issuance, names, kind);
      } else {
        ++(kind == OrderKind::First ? firstHeldBack : renewalsHeldBack);
      }
      if (draw(20) == 0) restart(draw(2) == 0);
      for (const auto& each : {one, two}) {
        const std::string where = "seed " + std::to_string(seed) + ", step " + std::to_string(step);
        ASSERT_TRUE(soonAfter(earliest(each, fresh), all.earliest(fresh, OrderKind::First, clock.now()))) << where;
        ASSERT_TRUE(
            soonAfter(earliest(each, names, OrderKind::Renewal), all.earliest(names, OrderKind::Renewal, clock.now())))
            << where;
      }
    }
  }
  EXPECT_GT(firstHeldBack, 0);
  EXPECT_GT(renewalsHeldBack, 0);
}

TEST_F(TwoCaches, DoNotWaitForTheDiskOfTheOther) {
  fs::create_directories(folder / "two");
  support::write(foldersTwo, "a file stands where the folder should");
  EXPECT_NO_THROW(issue(one, 50));
  EXPECT_FALSE(passes(two, fresh));
  EXPECT_THROW(issue(two, 1), Error);
  const Time until = earliest(one, fresh);
  fs::remove(foldersTwo);
  record(two, Kind::Order, fresh);  // and with its recovery everything is on it
  fs::remove_all(foldersOne);
  restart();
  EXPECT_TRUE(soonAfter(earliest(one, fresh), until));
}

TEST_F(TwoCaches, KeepWhatTheOtherDidInBoundsThoughOneIsIdleForYears) {
  for (int i = 0; i < 1000; ++i) {
    clock.advance(4h);
    record(one, Kind::Issuance, {"host" + std::to_string(i) + "." + std::string(60, 'a') + ".a-long-name.example"});
  }
  EXPECT_EQ(content(two), "");
  record(two, Kind::Order, fresh);
  EXPECT_LT(fs::file_size(two->path()), 200'000U);
  const Time until = two->earliest({"x.a-long-name.example"}, OrderKind::First, clock.now());
  fs::remove_all(foldersOne);
  restart();
  EXPECT_TRUE(soonAfter(two->earliest({"x.a-long-name.example"}, OrderKind::First, clock.now()), until));
}

TEST_F(TwoCaches, CountNothingMoreOfACacheThatWasClosed) {
  issue(two, 50);
  two.reset();
  EXPECT_FALSE(passes(one, fresh));  // what it did it did
  EXPECT_NO_THROW(issue(one, 1));
}

}  // namespace
}  // namespace postern::acme
