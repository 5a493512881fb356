#include "listeners/rate_limit.h"

#include <gtest/gtest.h>

namespace postern::listeners {
namespace {

using namespace std::chrono_literals;

class RateLimitTest : public ::testing::Test {
 protected:
  RateLimitTest() { limit_.set({3, 3s}); }
  static IpBytes address(const std::string& text) { return *parseIp(text); }
  int takes(const IpBytes& from, int tries = 10) {
    int taken = 0;
    for (int i = 0; i < tries; ++i) taken += limit_.take(from, now_) ? 1 : 0;
    return taken;
  }

  RateLimit limit_;
  RateLimit::Clock::time_point now_ = RateLimit::Clock::now();
  const IpBytes one_ = address("192.0.2.1"), two_ = address("192.0.2.2");
};

TEST_F(RateLimitTest, LetsSoManyThroughAtOnceAndThenAsManyInThatTime) {
  EXPECT_EQ(takes(one_), 3);
  now_ += 1s;
  EXPECT_EQ(takes(one_), 1);
  now_ += 2s;
  EXPECT_EQ(takes(one_), 2);
  now_ += 1h;
  EXPECT_EQ(takes(one_), 3);
}

TEST_F(RateLimitTest, DoesNotCountWhatIsRefused) {
  EXPECT_EQ(takes(one_), 3);
  for (int i = 0; i < 10; ++i) {
    now_ += 1s;
    EXPECT_EQ(takes(one_, 1000), 1) << i;
  }
}

TEST_F(RateLimitTest, CountsEachAddressByItself) {
  EXPECT_EQ(takes(one_), 3);
  EXPECT_EQ(takes(two_), 3);
}

TEST_F(RateLimitTest, TakesOneNetworkOfIpv6ForOneAddress) {
  EXPECT_TRUE(limit_.take(address("2001:db8:0:1::1"), now_));
  EXPECT_TRUE(limit_.take(address("2001:db8:0:1::2"), now_));
  EXPECT_TRUE(limit_.take(address("2001:db8:0:1:ffff::3"), now_));
  EXPECT_FALSE(limit_.take(address("2001:db8:0:1::4"), now_));
  EXPECT_TRUE(limit_.take(address("2001:db8:0:2::4"), now_));
}

TEST_F(RateLimitTest, IsUnlimitedWithoutARate) {
  limit_.set({});
  EXPECT_EQ(takes(one_, 1000), 1000);
}

TEST_F(RateLimitTest, GoesByANewRateAtOnce) {
  EXPECT_EQ(takes(one_), 3);
  limit_.set({10, 1s});
  EXPECT_EQ(takes(one_, 20), 0);
  now_ += 1s;  // and not the three of before
  EXPECT_EQ(takes(one_, 20), 10);
}

TEST_F(RateLimitTest, RemembersWhoHasHadItsShareThroughAFloodOfOtherAddresses) {
  // Each of the others takes one, so that who has taken three is the last to be forgotten in any row.
  EXPECT_EQ(takes(one_), 3);
  for (std::uint32_t i = 0; i < 4 * RateLimit::rows * RateLimit::perRow; ++i) {
    IpBytes other = address("10.0.0.0");
    other[13] = static_cast<std::uint8_t>(i >> 16);
    other[14] = static_cast<std::uint8_t>(i >> 8);
    other[15] = static_cast<std::uint8_t>(i);
    limit_.take(other, now_);
  }
  EXPECT_EQ(takes(one_), 0);
}

}  // namespace
}  // namespace postern::listeners
