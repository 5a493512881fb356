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

}  // namespace
}  // namespace postern::listeners
