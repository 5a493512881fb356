#include "acme/pace.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <vector>

#include "acme/error.h"
#include "tests/support/fake_clock.h"

namespace postern::acme {
namespace {

using namespace std::chrono_literals;

class PaceTest : public ::testing::Test {
 protected:
  // When each of `count` requests was let go.
  std::vector<Time> requests(int count) {
    std::vector<Time> times;
    for (int i = 0; i < count; ++i) {
      pace.request({});
      times.push_back(clock.now());
    }
    return times;
  }
  static int mostInAnyMinute(const std::vector<Time>& times) {
    long most = 0;
    for (Time from : times) {
      most = std::max(most, std::count_if(times.begin(), times.end(),
                                          [&](Time each) { return from <= each && each < from + 1min; }));
    }
    return static_cast<int>(most);
  }

  testing::FakeClock clock;
  Pace pace{clock};
};

TEST_F(PaceTest, LetsAFirstAttemptGoAsFastAsItCan) {
  Time begun = clock.now();
  requests(500);
  EXPECT_EQ(clock.now(), begun);
  EXPECT_EQ(pace.requests(), 500);
}

TEST_F(PaceTest, LetsTenRequestsGoInAnyMinuteOnceItIsBound) {
  pace.bound(true);
  Time begun = clock.now();
  std::vector<Time> times = requests(95);
  EXPECT_EQ(mostInAnyMinute(times), 10);
  EXPECT_EQ(clock.now() - begun, 9min);  // and no slower than that
}

TEST_F(PaceTest, KeepsTheBoundHoweverTheRequestsAreSpread) {
  pace.bound(true);
  std::vector<Time> times;
  for (int i = 0; i < 200; ++i) {
    clock.advance(Duration((i * 7919) % 9000));
    pace.request({});
    times.push_back(clock.now());
  }
  EXPECT_LE(mostInAnyMinute(times), 10);
}

TEST_F(PaceTest, CountsWhatWentUnboundInTheMinuteBefore) {
  requests(25);
  pace.bound(true);
  Time begun = clock.now();
  pace.request({});
  EXPECT_EQ(clock.now() - begun, 1min);
}

TEST_F(PaceTest, CountsRepetitionsApart) {
  pace.bound(true);
  Time begun = clock.now();
  for (int i = 0; i < 10; ++i) {
    pace.request({});
    pace.repetition({});
  }
  EXPECT_EQ(clock.now(), begun);
  EXPECT_EQ(pace.requests(), 10);
  pace.repetition({});
  EXPECT_EQ(clock.now(), begun + 1min);
  EXPECT_EQ(pace.requests(), 10);
}

TEST_F(PaceTest, IsFreeAgainWhenItIsNoLongerBound) {
  pace.bound(true);
  requests(10);
  pace.bound(false);
  Time begun = clock.now();
  requests(50);
  EXPECT_EQ(clock.now(), begun);
}

TEST_F(PaceTest, StopsWhileItWaits) {
  pace.bound(true);
  requests(10);
  std::stop_source stop;
  clock.onWait([&](Duration) { stop.request_stop(); });
  EXPECT_THROW(pace.request(stop.get_token()), Stopped);
  EXPECT_EQ(pace.requests(), 10);
}

TEST_F(PaceTest, DoesNotWaitForAClockThatWasSetBack) {
  pace.bound(true);
  requests(10);
  clock.set(clock.now() - 24h);
  Time begun = clock.now();
  pace.request({});
  EXPECT_LE(clock.now() - begun, 1min);
}

}  // namespace
}  // namespace postern::acme
