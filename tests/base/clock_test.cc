#include "base/clock.h"

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <thread>

namespace postern {
namespace {

using namespace std::chrono_literals;

Time at(std::chrono::milliseconds sinceEpoch) {
  return Time{sinceEpoch};
}

TEST(SystemClock, TellsTheWallClock) {
  const auto before = std::chrono::system_clock::now() - 1ms;
  const Time now = SystemClock().now();
  EXPECT_GE(now, before);
  EXPECT_LE(now, std::chrono::system_clock::now());
}

TEST(SystemClock, WaitsForTheTime) {
  SystemClock clock;
  const auto begin = std::chrono::steady_clock::now();
  EXPECT_TRUE(clock.wait(30ms, {}));
  // The wall clock, which may be slewed, decides too: hence not the full 30.
  EXPECT_GE(std::chrono::steady_clock::now() - begin, 20ms);
}

TEST(SystemClock, ReturnsAtOnceWhenItIsStopped) {
  SystemClock clock;
  std::atomic<bool> waited{true};
  std::jthread thread([&](std::stop_token stop) { waited = clock.wait(24h, stop); });
  thread.request_stop();
  thread.join();  // the test's time-out is the failure
  EXPECT_FALSE(waited);
}

TEST(SystemClock, DoesNotWaitWhenItWasStoppedBefore) {
  std::stop_source stop;
  stop.request_stop();
  EXPECT_FALSE(SystemClock().wait(24h, stop.get_token()));
  EXPECT_FALSE(SystemClock().wait(0ms, stop.get_token()));
}

TEST(SystemClock, DoesNotWaitForTimesThatHavePassed) {
  EXPECT_TRUE(SystemClock().wait(0ms, {}));
  EXPECT_TRUE(SystemClock().wait(-1h, {}));
}

TEST(Rfc3339, WritesUtcToTheSecond) {
  EXPECT_EQ(rfc3339(at(0ms)), "1970-01-01T00:00:00Z");
  EXPECT_EQ(rfc3339(at(1772366400999ms)), "2026-03-01T12:00:00Z");
  EXPECT_EQ(rfc3339(at(-1ms)), "1969-12-31T23:59:59Z");
  EXPECT_EQ(rfc3339(at(951827696000ms)), "2000-02-29T12:34:56Z");
}

TEST(Rfc3339, ReadsFractionsAndOffsets) {
  const Time noon = at(1772366400000ms);
  EXPECT_EQ(parseRfc3339("2026-03-01T12:00:00Z"), noon);
  EXPECT_EQ(parseRfc3339("2026-03-01t12:00:00z"), noon);
  EXPECT_EQ(parseRfc3339("2026-03-01T14:30:00+02:30"), noon);
  EXPECT_EQ(parseRfc3339("2026-02-28T23:00:00-13:00"), noon);
  EXPECT_EQ(parseRfc3339("2026-03-01T12:00:00.5Z"), noon + 500ms);
  EXPECT_EQ(parseRfc3339("2026-03-01T12:00:00.123456789Z"), noon + 123ms);
  EXPECT_EQ(parseRfc3339("2016-12-31T23:59:60Z"), parseRfc3339("2017-01-01T00:00:00Z"));
}

TEST(Rfc3339, RefusesWhatIsNone) {
  for (const char* text :
       {"", "2026", "2026-03-01", "2026-03-01T12:00:00", "2026-13-01T12:00:00Z", "2026-02-29T12:00:00Z",
        "2026-03-01T24:00:00Z", "2026-03-01T12:60:00Z", "2026-03-01T12:00:61Z", "2026-03-01T12:00:00.Z",
        "2026-03-01T12:00:00+0200", "2026-03-01T12:00:00+24:00", "2026-03-01T12:00:00Zx", " 2026-03-01T12:00:00Z",
        "2026-3-1T12:00:00Z", "+026-03-01T12:00:00Z", "2026-00-01T12:00:00Z", "2026-03-00T12:00:00Z"}) {
    EXPECT_FALSE(parseRfc3339(text)) << text;
  }
}

TEST(Rfc3339, ReadsWhatItWrites) {
  for (auto time = at(-86400000ms * 40000); time < at(86400000ms * 40000); time += 86400000ms * 17 + 12345s) {
    EXPECT_EQ(parseRfc3339(rfc3339(time)), time);
  }
}

TEST(InWords, SaysTwoUnitsAtMost) {
  EXPECT_EQ(inWords(0ms), "0s");
  EXPECT_EQ(inWords(250ms), "250ms");
  EXPECT_EQ(inWords(90s), "90s");
  EXPECT_EQ(inWords(2min), "2m");
  EXPECT_EQ(inWords(2min + 5s + 3ms), "2m5s");
  EXPECT_EQ(inWords(90min), "1h30m");
  EXPECT_EQ(inWords(1h + 30s), "1h");
  EXPECT_EQ(inWords(std::chrono::days(29) + 12h + 59min), "29d12h");
  EXPECT_EQ(inWords(-90min), "-1h30m");
}

}  // namespace
}  // namespace postern
