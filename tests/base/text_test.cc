#include "base/text.h"

#include <gtest/gtest.h>

namespace postern {
namespace {

using Parts = std::vector<std::string>;

TEST(Text, LowersAsciiAlone) {
  EXPECT_EQ(lower("MAIL.Example-1.ORG"), "mail.example-1.org");
  EXPECT_EQ(lower("\xc3\x84@[`{"), "\xc3\x84@[`{");
}

TEST(Text, ComparesWithoutCase) {
  EXPECT_TRUE(equalsIgnoringCase("StartTLS", "STARTTLS"));
  EXPECT_FALSE(equalsIgnoringCase("STARTTLS", "STARTTLSX"));
  EXPECT_FALSE(equalsIgnoringCase("[", "{"));
  EXPECT_TRUE(equalsIgnoringCase("", ""));
}

TEST(Text, TrimsBothEnds) {
  EXPECT_EQ(trimmed(" \t a b\r\n"), "a b");
  EXPECT_EQ(trimmed("\r\n "), "");
  EXPECT_EQ(trimmed(""), "");
}

TEST(Text, JoinsAndSplits) {
  EXPECT_EQ(joined({"a", "", "b"}), "a,,b");
  EXPECT_EQ(joined({"a", "b"}, " or "), "a or b");
  EXPECT_EQ(joined({}), "");
  EXPECT_EQ(joined({"", ""}), ",");
  EXPECT_EQ(split("a,,b", ','), (Parts{"a", "", "b"}));
  EXPECT_EQ(split("", ','), (Parts{""}));
  EXPECT_EQ(split(",", ','), (Parts{"", ""}));
}

TEST(Nearest, FindsSlipsOfTheHand) {
  const Parts keys{"timeout", "implicit", "certificate", "renew-before", "acme", "bind"};
  EXPECT_EQ(nearest("timout", keys), "timeout");
  EXPECT_EQ(nearest("timeuot", keys), "timeout");
  EXPECT_EQ(nearest("renew_before", keys), "renew-before");
  EXPECT_EQ(nearest("Certificates", keys), "certificate");
  EXPECT_EQ(nearest("bnid", keys), "bind");
}

TEST(Nearest, DoesNotGuessWildly) {
  const Parts keys{"timeout", "acme", "bind"};
  EXPECT_EQ(nearest("greeting", keys), "");
  EXPECT_EQ(nearest("x", keys), "");
  EXPECT_EQ(nearest("x", {"y"}), "") << "nothing of the word would be left";
  EXPECT_EQ(nearest("", keys), "");
  EXPECT_EQ(nearest("anything", {}), "");
}

TEST(Nearest, PrefersTheCloserOne) {
  EXPECT_EQ(nearest("recv-buffer-siz", {"send-buffer-size", "recv-buffer-size"}), "recv-buffer-size");
}

}  // namespace
}  // namespace postern
