// The process is killed between any two steps of storage. Whoever comes next on that cache serves a certificate, with
// the same account and the same order.
#include <iostream>

#include "tests/crash/scene.h"

namespace postern::test {
namespace {

constexpr int survivedInARow = 3;  // threads change the last points' order: one survivor is not the end of them

class Crash : public Scene {
 protected:
  struct Walk {
    int killed = 0;
    int forcedOrders =
        0;  // the CA's answer with the order's URL died with the process: RFC 8555 has no way to ask for it
  };

  // Kills a life at its first point of storage, its second, ..., until it survives, and lives again on each cache.
  // `prepare` sets cache and time before each; nothing of one round is seen by the next.
  template <class Prepare, class Check>
  Walk walk(const Life& wanted, Prepare prepare, Check check) {
    Walk result;
    for (int point = 1, survived = 0; survived < survivedInARow; ++point) {
      prepare();
      const int accounts = ca->accounts(), orders = ca->orders(), issued = ca->issued();
      Life first = wanted;
      first.cache = cache();
      first.begins = clock.now();
      first.fault = {Fault::Kind::Kill, point};
      const Ending crash = live(first);
      const std::string what = "killed at point " + std::to_string(point);
      if (!crash.killed && crash.status != 0) {
        ADD_FAILURE() << what << ", it failed instead: " << crash.words << "\n" << said();
        return result;
      }
      survived = crash.killed ? 0 : survived + 1;
      result.killed += crash.killed ? 1 : 0;
      // Made by the CA, and its URL neither on disk nor done with.
      const bool lost = ca->orders() > orders && ca->issued() == issued && !knowsAnOrder();
      result.forcedOrders += lost ? 1 : 0;

      Life second = first;
      second.fault = {};
      second.begins = clock.now();
      const Ending ending = live(second);
      expectServedAndKept(ending, what);
      if (HasFatalFailure()) return result;
      EXPECT_EQ(current()->serial(), ending.serial) << what;
      EXPECT_EQ(ca->issued(), issued + 1) << what;
      EXPECT_EQ(ca->orders(), orders + (lost ? 2 : 1)) << what;
      check(ending, what, accounts);
      EXPECT_EQ(halfWritten(), std::vector<std::string>()) << what;
      if (HasFailure()) {
        std::cout << said();
        return result;
      }
    }
    return result;
  }

  static void print(const char* scenario, const Walk& walk) {
    std::cout << "crashes: " << scenario << ": killed at each of " << walk.killed << " points, served after each; "
              << walk.forcedOrders << " of them between newOrder's answer and its URL on disk" << std::endl;
  }

  // Three generations and the account, as a server leaves them that has run for half a year.
  void liveThreeGenerations(bool reuseKey = false) {
    std::string serial;
    for (int generation = 0; generation < 3; ++generation) {
      Life made = life(serial);
      made.reuseKey = reuseKey;
      const Ending ending = live(made);
      ASSERT_EQ(ending.status, 0) << ending.words;
      serial = ending.serial;
      clock.advance(renewalDue);
    }
    ASSERT_EQ(generations(), 3U);
    keepCacheAs("three");
    due_ = clock.now();
    last_ = serial;
  }
  Walk walkRenewal(bool reuseKey) {
    Life renewal = life(last_);
    renewal.reuseKey = reuseKey;
    const tls::CertifiedKeyRef before = current();
    return walk(
        renewal,
        [&] {
          restoreCache("three");
          clock.set(due_);
        },
        [&](const Ending& ending, const std::string& what, int accounts) {
          EXPECT_EQ(ca->accounts(), accounts) << what;
          EXPECT_TRUE(ending.servedAlways) << what;
          EXPECT_EQ(EVP_PKEY_eq(current()->key(), before->key()) == 1, reuseKey) << what;
        });
  }

  Time due_{};
  std::string last_;
};

TEST_F(Crash, AnywhereInTheFirstIssuanceEndsWithOneAccountAndOneCertificate) {
  const Walk result = walk(
      life(),
      [&] {
        forgetCache();
        newCa();
      },
      [&](const Ending&, const std::string& what, int) { EXPECT_EQ(ca->accounts(), 1) << what; });
  EXPECT_GT(result.killed, 50);
  EXPECT_GT(result.forcedOrders, 0);
  print("first issuance", result);
}

TEST_F(Crash, AnywhereInARenewalEndsWithTheNewCertificateAndAskedForItOnce) {
  liveThreeGenerations();
  if (HasFatalFailure()) return;
  const Walk result = walkRenewal(false);
  EXPECT_GT(result.killed, 30);
  EXPECT_GT(result.forcedOrders, 0);
  print("renewal", result);
}

TEST_F(Crash, AnywhereInARenewalWithTheSameKeyKeepsThatKey) {
  liveThreeGenerations(true);
  if (HasFatalFailure()) return;
  const Walk result = walkRenewal(true);
  EXPECT_GT(result.killed, 30);
  print("renewal with reuse-key", result);
}

TEST_F(Crash, AnywhereInARolloverLeavesTheSameAccountUsable) {
  const Time begins = clock.now();
  int killed = 0;
  for (int point = 1, survived = 0; survived < survivedInARow; ++point) {
    newCa();
    forgetCache();
    clock.set(begins);
    const Ending first = live(life());
    ASSERT_EQ(first.status, 0) << first.words;
    Life rollover = life();
    rollover.rollsOver = true;
    rollover.fault = {Fault::Kind::Kill, point};
    const Ending crash = live(rollover);
    const std::string what = "killed at point " + std::to_string(point);
    ASSERT_TRUE(crash.killed || crash.status == 0) << what << ": " << crash.words << said();
    survived = crash.killed ? 0 : survived + 1;
    killed += crash.killed ? 1 : 0;
    clock.advance(renewalDue);
    const Ending ending = live(life(first.serial));
    expectServedAndKept(ending, what);
    if (HasFatalFailure()) return;
    EXPECT_EQ(ending.account, first.account) << what;
    EXPECT_EQ(ca->accounts(), 1) << what;
    EXPECT_EQ(ca->issued(), 2) << what;
    EXPECT_EQ(ca->orders(), 2) << what;
    EXPECT_EQ(halfWritten(), std::vector<std::string>()) << what;
    if (HasFailure()) {
      std::cout << said();
      return;
    }
  }
  EXPECT_GT(killed, 10);
  std::cout << "crashes: account rollover: killed at each of " << killed
            << " points, renewed with the same account after each" << std::endl;
}

}  // namespace
}  // namespace postern::test
