// The process is killed between any two steps of storage. Whoever comes next on that cache serves a certificate, with
// the same account and the same order.
#include <iostream>
#include <utility>

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
    int cutWindows = 0;  // killed in the middle of writing down the CA's renewal window
    int repeated = 0;    // the second life had to be told again what the first was to do
  };

  // Kills a life at its first point of storage, its second, ..., until it survives, and lives again on each cache.
  // `prepare` sets cache and time before each; nothing of one round is seen by the next. `repeats`: whether whoever
  // gave the first life its deed does so again with the second, else that obtains.
  template <class Prepare, class Check, class Repeats>
  Walk walk(const Life& wanted, Prepare prepare, Check check, Repeats repeats) {
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
      result.cutWindows += crash.killed && leftWindowBegun() ? 1 : 0;

      Life second = first;
      second.fault = {};
      if (!repeats()) {
        second.deed = Deed::Obtain;
      } else if (crash.killed) {
        ++result.repeated;
      }
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
  template <class Prepare, class Check>
  Walk walk(const Life& wanted, Prepare prepare, Check check) {
    return walk(wanted, std::move(prepare), std::move(check), [] { return false; });
  }

  // Whether a window lies there that was written and not renamed into its place.
  bool leftWindowBegun() const {
    std::error_code error;
    for (fs::directory_iterator at(certificateFolder(), error), end; !error && at != end; at.increment(error)) {
      if (at->is_regular_file() && acme::isLeftover(at->path().filename()) &&
          support::contentOf(at->path()).find("\"ask_again\"") != std::string::npos) {
        return true;
      }
    }
    return false;
  }

  static void print(const char* scenario, const Walk& walk) {
    std::cout << "crashes: " << scenario << ": killed at each of " << walk.killed << " points, served after each; "
              << walk.forcedOrders << " of them between newOrder's answer and its URL on disk" << std::endl;
  }

  // Three generations and the account, as a server leaves them that has run for half a year.
  void liveThreeGenerations(bool reuseKey = false, bool ari = false) {
    if (ari) offerWindows();
    std::string serial;
    for (int generation = 0; generation < 3; ++generation) {
      Life made = life(serial);
      made.reuseKey = reuseKey;
      made.awaitsWindow = ari;
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
  Walk walkRenewal(bool reuseKey, bool ari = false) {
    Life renewal = life(last_);
    renewal.reuseKey = reuseKey;
    renewal.awaitsWindow = ari;
    const tls::CertifiedKeyRef before = current();
    return walk(
        renewal,
        [&] {
          restoreCache("three");
          clock.set(due_);
          ca->forgetOrders();  // of the rounds before: each has replaced the same certificate
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
  liveThreeGenerations(false, true);
  if (HasFatalFailure()) return;
  const Walk result = walkRenewal(false, true);
  EXPECT_GT(result.killed, 30);
  EXPECT_GT(result.forcedOrders, 0);
  EXPECT_GT(result.cutWindows, 0);  // the CA's window is among what is written
  EXPECT_GT(ca->replaced().size(), 30U);
  print("renewal in the CA's window", result);
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
    rollover.deed = Deed::RollOver;
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

// The CA may know of a revocation that the disk does not: the command has failed then, and is given again.
TEST_F(Crash, AnywhereInARevocationEndsWithASuccessorOfAnotherKey) {
  Life made = life();
  made.reuseKey = true;
  const Ending first = live(made);
  ASSERT_EQ(first.status, 0) << first.words;
  const tls::CertifiedKeyRef revoked = current();
  const auto revocations = [&] {
    const auto all = ca->revocations();
    return std::count_if(all.begin(), all.end(), [&](const auto& each) { return each.serial == revoked->serial(); });
  };
  keepCacheAs("one");
  Life revocation = life(first.serial);
  revocation.reuseKey = true;
  revocation.deed = Deed::Revoke;
  const Time begins = clock.now();
  // The CA does not take a revocation back, so from the second round on it says that it is revoked already.
  const Walk result = walk(
      revocation,
      [&] {
        restoreCache("one");
        clock.set(begins);
      },
      [&](const Ending& ending, const std::string& what, int accounts) {
        EXPECT_NE(ending.serial, first.serial) << what;
        EXPECT_NE(EVP_PKEY_eq(current()->key(), revoked->key()), 1) << what;
        EXPECT_EQ(revocations(), 1) << what;
        EXPECT_EQ(ca->accounts(), accounts) << what;
        EXPECT_TRUE(ending.servedAlways) << what;
      },
      [&] { return current()->serial() == first.serial && !wantsNewKey(); });
  EXPECT_GT(result.killed, 40);
  EXPECT_GT(result.repeated, 0);
  EXPECT_LT(result.repeated, result.killed / 2);  // behind the first answer it goes on by itself
  print("revocation and successor", result);
}

TEST_F(Crash, AnywhereInADeactivationLeavesItKnownOrUndone) {
  const Time begins = clock.now();
  int killed = 0, undone = 0, untold = 0;
  for (int point = 1, survived = 0; survived < survivedInARow; ++point) {
    newCa();
    forgetCache();
    clock.set(begins);
    // Its window is on disk, so that no question about it stores beside the deactivation.
    offerWindows();
    Life begun = life();
    begun.awaitsWindow = true;
    const Ending first = live(begun);
    ASSERT_EQ(first.status, 0) << first.words;
    Life deactivation = life();
    deactivation.deed = Deed::Deactivate;
    deactivation.fault = {Fault::Kind::Kill, point};
    const Ending crash = live(deactivation);
    const std::string what = "killed at point " + std::to_string(point);
    ASSERT_TRUE(crash.killed || crash.status == 0) << what << ": " << crash.words << said();
    survived = crash.killed ? 0 : survived + 1;
    killed += crash.killed ? 1 : 0;
    const bool atCa = ca->accountStatus() == "deactivated", onDisk = accountOnDisk()["deactivated"].isString();
    EXPECT_TRUE(atCa || !onDisk) << what;
    EXPECT_TRUE(crash.killed || onDisk) << what;
    clock.advance(renewalDue);
    Life next = life(first.serial);
    next.deed = Deed::Attempt;
    const Ending attempt = live(next);
    if (!atCa) {
      ++undone;
      EXPECT_EQ(attempt.status, 0) << what << ": " << attempt.words;
      EXPECT_EQ(ca->issued(), 2) << what;
    } else {
      EXPECT_NE(attempt.words.find("unauthorized"), std::string::npos) << what << ": " << attempt.words;
      EXPECT_EQ(attempt.words.find("was deactivated at") != std::string::npos, onDisk) << what << attempt.words;
      EXPECT_EQ(ca->orders(), 1) << what;
      Life again = life();  // by whoever's command died: known already, or known from now on
      again.deed = Deed::Deactivate;
      if (!onDisk) ++untold;
      EXPECT_EQ(live(again).status, onDisk ? 1 : 0) << what;
      EXPECT_TRUE(accountOnDisk()["deactivated"].isString()) << what;
    }
    EXPECT_EQ(ca->accounts(), 1) << what;
    EXPECT_EQ(current()->serial() == first.serial, atCa) << what;  // what there was is kept
    EXPECT_EQ(halfWritten(), std::vector<std::string>()) << what;
    if (HasFailure()) {
      std::cout << said();
      return;
    }
  }
  EXPECT_GT(undone, 0);
  EXPECT_GT(untold, 0);
  EXPECT_GT(killed, undone + untold);  // some were killed with all of it on disk
  std::cout << "crashes: account deactivation: killed at each of " << killed << " points: undone at " << undone
            << ", known to the CA alone at " << untold << ", ordered nothing with it after either" << std::endl;
}

}  // namespace
}  // namespace postern::test
