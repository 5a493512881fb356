#include "acme/polling.h"

#include <gtest/gtest.h>

#include <utility>
#include <vector>

#include "tests/support/fake_clock.h"

namespace postern::acme {
namespace {

using namespace std::chrono_literals;

class PollingTest : public ::testing::Test {
 protected:
  // The offsets from the beginning at which `polling` lets look, until its bound.
  std::vector<Duration> looks(Polling& polling, std::optional<Duration> told, std::size_t most = 1000) {
    std::vector<Duration> offsets;
    try {
      while (offsets.size() < most) {
        polling.pause(told ? std::optional<Time>(clock.now() + *told) : std::nullopt, {});
        offsets.push_back(clock.now() - begun);
      }
    } catch (const Error& error) {
      EXPECT_EQ(error.problem.type, "postern:timeout");
    }
    return offsets;
  }

  testing::FakeClock clock;
  const Time begun = clock.now();
};

TEST_F(PollingTest, LooksThreeTimesInTheFirstHalfSecondAndThenLaterAndLater) {
  Polling polling(clock, "it", begun);
  EXPECT_EQ(looks(polling, {}, 9),
            (std::vector<Duration>{50ms, 150ms, 400ms, 1400ms, 3400ms, 7400ms, 14400ms, 24400ms, 34400ms}));
}

TEST_F(PollingTest, EndsWithinItsBoundAndNotAfterWaitingInVain) {
  Polling polling(clock, "it", begun, 2min);
  std::vector<Duration> all = looks(polling, {});
  EXPECT_LE(all.back(), 2min);
  EXPECT_GT(all.back(), 100s);
  EXPECT_EQ(clock.now() - begun, all.back());
}

TEST_F(PollingTest, ObeysRetryAfterAndLooksNoEarlier) {
  Polling polling(clock, "it", begun);
  EXPECT_EQ(looks(polling, 7s, 3), (std::vector<Duration>{7s, 14s, 21s}));
}

TEST_F(PollingTest, WaitsTwiceAsLongForWhatRetryAfterTells) {
  Polling polling(clock, "it", begun);
  polling.pause({}, {});
  EXPECT_EQ(looks(polling, 4min), (std::vector<Duration>{4min + 50ms, 8min + 50ms, 9min + 50ms}));
}

TEST_F(PollingTest, LooksEachMinuteWhereRetryAfterIsBeyondAllThatCanBeWaitedFor) {
  Polling polling(clock, "it", begun);
  EXPECT_EQ(looks(polling, 24h), (std::vector<Duration>{1min, 2min, 3min, 4min, 5min, 6min, 7min, 8min, 9min, 10min}));
}

TEST_F(PollingTest, LooksNeverUnderASecondAfterARetryAfter) {
  Polling polling(clock, "it", begun);
  polling.pause(clock.now() + 10ms, {});
  EXPECT_EQ(clock.now() - begun, 1s);
  EXPECT_EQ(looks(polling, {}, 3), (std::vector<Duration>{2s, 4s, 8s}));
}

TEST_F(PollingTest, CountsTheEarlyLooksFromTheRequestThatBeganItAll) {
  clock.advance(120ms);  // so long did the answer to it take
  Polling polling(clock, "it", begun);
  EXPECT_EQ(looks(polling, {}, 4), (std::vector<Duration>{120ms, 150ms, 400ms, 1400ms}));
}

TEST_F(PollingTest, LooksAtOnceAndThenAfterASecondAtWhatBeganLongAgo) {
  clock.advance(30s);
  Polling polling(clock, "it", begun);
  EXPECT_EQ(looks(polling, {}, 3), (std::vector<Duration>{30s, 31s, 33s}));
}

TEST_F(PollingTest, DoesNotWaitLongBecauseTheClockWasSetBack) {
  Polling polling(clock, "it", begun);
  clock.set(begun - 1h);
  polling.pause({}, {});
  EXPECT_LE(clock.now() - (begun - 1h), 1s);
}

TEST_F(PollingTest, ForgivesThreeFailuresInARowThatMayPass) {
  Polling polling(clock, "it", begun);
  const Error away(makeProblem("postern:connection", "refused"));
  for (int round = 0; round < 3; ++round) {
    for (int i = 0; i < 3; ++i) EXPECT_NO_THROW(polling.forgive(away));
    polling.looked();
  }
  for (int i = 0; i < 3; ++i) polling.forgive(away);
  EXPECT_THROW(polling.forgive(away), Error);
}

TEST_F(PollingTest, ForgivesNoRefusalAndNoRetryAfterBeyondItsBound) {
  Polling polling(clock, "it", begun);
  Problem refusal = makeProblem("urn:ietf:params:acme:error:unauthorized", "no");
  refusal.status = 403;
  EXPECT_THROW(polling.forgive(Error(refusal)), Error);
  Problem away = makeProblem("postern:http", "away");
  away.status = 503;
  EXPECT_NO_THROW(polling.forgive(Error(away, clock.now() + 1min)));
  EXPECT_THROW(polling.forgive(Error(away, clock.now() + 1h)), Error);
}

}  // namespace
}  // namespace postern::acme
