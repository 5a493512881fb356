// A disk that fills up, or goes read-only, at any step: orders stop, serving does not, and when there is space again
// the certificate comes without a second one being bought.
#include <fcntl.h>

#include <iostream>

#include "tests/crash/scene.h"

namespace postern::test {
namespace {

class Disk : public Scene {
 protected:
  struct Walk {
    int points = 0;
    int forcedOrders = 0;
    int refusedStarts = 0;
  };

  // One life for each point at which the trouble can begin.
  template <class Prepare, class Check>
  Walk walk(Fault fault, Prepare prepare, Check check, const std::string& successorOf = "") {
    Walk result;
    for (;;) {
      prepare();
      const int orders = ca->orders(), issued = ca->issued(), accounts = ca->accounts();
      Life made = life(successorOf);
      made.fault = fault;
      made.fault.point = result.points + 1;
      Ending ending = live(made);
      const std::string what = "trouble from point " + std::to_string(made.fault.point) + " on";
      // A cache that cannot even be made is a start refused in words, and whoever starts servers tries again.
      if (ending.status == 1 &&
          ending.words.find("cannot create the folder " + cache().string()) != std::string::npos) {
        ++result.refusedStarts;
        clock.advance(fault.lasts);
        Life again = life(successorOf);
        ending = live(again);
        ending.points = made.fault.point;
      }
      expectServedAndKept(ending, what);
      EXPECT_EQ(ca->issued(), issued + 1) << what;
      // A URL that could not be written down is no order that can be gone on with.
      EXPECT_LE(ca->orders(), orders + 2) << what;
      result.forcedOrders += ca->orders() - orders - 1;
      check(ending, what, accounts);
      if (HasFailure()) {
        std::cout << said();
        return result;
      }
      if (ending.points < made.fault.point) return result;
      ++result.points;
    }
  }
};

TEST_F(Disk, FullAtAnyStepOfTheFirstIssuanceOnlyDelaysIt) {
  const Walk result = walk(
      {Fault::Kind::NoSpace},
      [&] {
        forgetCache();
        newCa();
      },
      [&](const Ending&, const std::string& what, int) { EXPECT_EQ(ca->accounts(), 1) << what; });
  EXPECT_GT(result.points, 50);
  std::cout << "disk full: first issuance: from each of " << result.points << " points on, served after each; "
            << result.forcedOrders << " orders whose URL could not be written, " << result.refusedStarts
            << " starts refused because the cache could not be made" << std::endl;
}

TEST_F(Disk, FullAtAnyStepOfARenewalServesTheOldCertificateMeanwhile) {
  const Ending first = live(life());
  ASSERT_EQ(first.status, 0) << first.words;
  keepCacheAs("one");
  const Time due = clock.now() + renewalDue;
  const Walk result = walk(
      {Fault::Kind::NoSpace},
      [&] {
        restoreCache("one");
        clock.set(due);
      },
      [&](const Ending& ending, const std::string& what, int accounts) {
        EXPECT_TRUE(ending.servedAlways) << what;
        EXPECT_EQ(ca->accounts(), accounts) << what;
      },
      first.serial);
  EXPECT_GT(result.points, 30);
  std::cout << "disk full: renewal: from each of " << result.points << " points on, served throughout; "
            << result.forcedOrders << " orders whose URL could not be written" << std::endl;
}

TEST_F(Disk, ReadOnlyFromAnyStepOfARenewalServesTheOldCertificateMeanwhile) {
  const Ending first = live(life());
  ASSERT_EQ(first.status, 0) << first.words;
  keepCacheAs("one");
  const Time due = clock.now() + renewalDue;
  Fault readOnly{Fault::Kind::ReadOnly};
  readOnly.lasts = 2h;
  const Walk result = walk(
      readOnly,
      [&] {
        restoreCache("one");
        clock.set(due);
      },
      [&](const Ending& ending, const std::string& what, int accounts) {
        EXPECT_TRUE(ending.servedAlways) << what;
        EXPECT_EQ(ca->accounts(), accounts) << what;
      },
      first.serial);
  std::cout << "read-only: renewal: from each of " << result.points << " points on, served throughout; "
            << result.forcedOrders << " orders whose URL could not be written" << std::endl;
}

TEST_F(Disk, ReadOnlyFromTheStartOrdersNothingUntilItCanBeWritten) {
  const Ending first = live(life());
  ASSERT_EQ(first.status, 0) << first.words;
  clock.advance(renewalDue);
  const int before = ca->total();
  Life made = life(first.serial);
  made.fault = {Fault::Kind::ReadOnly, 1};
  made.fault.lasts = 24h;
  const Time begins = clock.now();
  const Ending ending = live(made);
  expectServedAndKept(ending, "read-only for a day");
  EXPECT_TRUE(ending.servedAlways);
  EXPECT_NE(ending.serial, first.serial);
  EXPECT_GE(ending.ends, begins + 24h);
  EXPECT_EQ(ca->issued(), 2);
  EXPECT_EQ(ca->orders(), 2);
  EXPECT_LE(ca->total(), before + 20);  // nothing was asked for in vain, minute after minute
}

}  // namespace
}  // namespace postern::test
