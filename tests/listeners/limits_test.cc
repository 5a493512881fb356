#include "listeners/limits.h"

#include <gtest/gtest.h>

namespace postern::listeners {
namespace {

constexpr IpBytes one{1}, two{2};

TEST(Limits, RefuseBeyondTheTotal) {
  Limits limits;
  limits.set(2, 0);
  EXPECT_TRUE(limits.enter());
  EXPECT_TRUE(limits.enter());
  EXPECT_FALSE(limits.enter());
  limits.leave();
  EXPECT_TRUE(limits.enter());
  EXPECT_EQ(limits.open(), 2u);
}

TEST(Limits, CountEachAddressByItself) {
  Limits limits;
  limits.set(0, 1);
  EXPECT_TRUE(limits.enter(one));
  EXPECT_FALSE(limits.enter(one));
  EXPECT_TRUE(limits.enter(two));
  limits.leave(one);
  EXPECT_TRUE(limits.enter(one));
}

TEST(Limits, ZeroIsUnlimited) {
  Limits limits;
  for (int i = 0; i < 1000; ++i) EXPECT_TRUE(limits.enter() && limits.enter(one));
}

TEST(Limits, LoweredBelowWhatIsOpenRefuseOnlyNewcomers) {
  Limits limits;
  limits.set(0, 0);
  for (int i = 0; i < 3; ++i) EXPECT_TRUE(limits.enter() && limits.enter(one));
  limits.set(2, 2);
  EXPECT_EQ(limits.open(), 3u);
  EXPECT_FALSE(limits.enter());
  EXPECT_FALSE(limits.enter(one));
  for (int i = 0; i < 2; ++i) {
    limits.leave();
    limits.leave(one);
  }
  EXPECT_TRUE(limits.enter());
  EXPECT_TRUE(limits.enter(one));
}

TEST(Limits, GiveOneAddressHalfOfAllHandshakes) {
  for (const std::uint32_t most : {1u, 2u, 3u, 512u}) {
    Limits limits;
    limits.setHandshakes(most, {});
    const std::uint32_t half = (most + 1) / 2;
    for (std::uint32_t i = 0; i < half; ++i) EXPECT_EQ(limits.enterHandshake(one), "") << most;
    EXPECT_NE(limits.enterHandshake(one), "") << most;
    for (std::uint32_t i = half; i < most; ++i) EXPECT_EQ(limits.enterHandshake(two), "") << most;
    EXPECT_EQ(limits.enterHandshake(IpBytes{3}), "max-handshakes") << most;
    limits.leaveHandshake(one);
    EXPECT_EQ(limits.enterHandshake(one), "") << most;
    EXPECT_EQ(limits.handshakes(), most);
  }
}

TEST(Limits, TakeOneNetworkOfIpv6ForOneAddress) {
  Limits limits;
  limits.setHandshakes(4, {});
  const auto address = [](const char* text) { return *parseIp(text); };
  EXPECT_EQ(limits.enterHandshake(address("2001:db8:0:1::1")), "");
  EXPECT_EQ(limits.enterHandshake(address("2001:db8:0:1::2")), "");
  EXPECT_NE(limits.enterHandshake(address("2001:db8:0:1:ffff::3")), "");
  EXPECT_EQ(limits.enterHandshake(address("2001:db8:0:2::1")), "");
  limits.leaveHandshake(address("2001:db8:0:1::2"));
  EXPECT_EQ(limits.enterHandshake(address("2001:db8:0:1:ffff::3")), "");
}

TEST(Limits, CountWhoIsAlwaysLetIn) {
  Limits limits;
  limits.set(1, 1);
  limits.setHandshakes(1, {});
  for (int i = 0; i < 2; ++i) {
    EXPECT_TRUE(limits.enter(true));
    EXPECT_TRUE(limits.enter(one, true));
    EXPECT_EQ(limits.enterHandshake(one, true), "");
  }
  EXPECT_EQ(limits.open(), 2u);
  EXPECT_EQ(limits.handshakes(), 2u);
  limits.leave();
  EXPECT_FALSE(limits.enter());
  limits.leave(one);
  EXPECT_FALSE(limits.enter(one));
}

}  // namespace
}  // namespace postern::listeners
