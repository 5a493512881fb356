#include "base/json.h"

#include <gtest/gtest.h>

#include <limits>
#include <random>
#include <string>

namespace postern {
namespace {

std::string again(std::string_view text) {
  const auto json = Json::parse(text);
  return json ? json->dump() : "(none)";
}

TEST(Json, ReadsEveryKindOfValue) {
  const auto json = Json::parse(
      R"( {"n":null,"b":true,"i":-42,"d":2.5,"s":"x\"\u00e9\ud834\udd1e","a":[1,"two",[]],"o":{"k":"v"}} )");
  ASSERT_TRUE(json);
  EXPECT_TRUE((*json)["n"].isNull());
  EXPECT_TRUE((*json)["b"].boolean());
  EXPECT_EQ((*json)["i"].integer(), -42);
  EXPECT_EQ((*json)["d"].dump(), "2.5");
  EXPECT_EQ((*json)["s"].string(), "x\"\xc3\xa9\xf0\x9d\x84\x9e");
  EXPECT_EQ((*json)["a"].array().size(), 3U);
  EXPECT_EQ((*json)["o"]["k"].string(), "v");
}

TEST(Json, TakesAnyValueAtTheRoot) {
  EXPECT_EQ(again("1"), "1");
  EXPECT_EQ(again("\"x\""), "\"x\"");
  EXPECT_EQ(again("null"), "null");
  EXPECT_EQ(again(" [ ] "), "[]");
}

TEST(Json, RefusesWhatIsNotOneWholeValue) {
  for (const char* text : {"",
                           " ",
                           "{",
                           "[1,2",
                           "[1,]",
                           "{\"a\":1,}",
                           "{\"a\"}",
                           "{a:1}",
                           "{'a':1}",
                           "1 2",
                           "{}x",
                           "// c\n1",
                           "[1 /* c */]",
                           "01",
                           "1.",
                           "-",
                           "+1",
                           ".5",
                           "1e",
                           "NaN",
                           "Infinity",
                           "nul",
                           "\"a",
                           "\"a\nb\"",
                           "\"\\x41\"",
                           "]",
                           "[}",
                           "\xef\xbb\xbf{}",
                           "{\"a\":1,\"a\":2}",
                           "[,1]"}) {
    EXPECT_FALSE(Json::parse(text)) << text;
  }
  EXPECT_FALSE(Json::parse(std::string_view("{}\0", 3)));
}

TEST(Json, RefusesNestingDeeperThanSixtyFour) {
  const auto nested = [](std::size_t depth) { return std::string(depth, '[') + std::string(depth, ']'); };
  EXPECT_TRUE(Json::parse(nested(64)));
  EXPECT_FALSE(Json::parse(nested(65)));
  EXPECT_FALSE(Json::parse(std::string(1'000'000, '[')));
  std::string objects;
  for (int i = 0; i < 100'000; ++i) objects += "{\"a\":";
  EXPECT_FALSE(Json::parse(objects));
  EXPECT_TRUE(Json::parse("\"" + std::string(1000, '[') + "\"")) << "brackets in a string do not nest";
}

TEST(Json, SurvivesGarbage) {
  std::mt19937 random(1);
  const std::string whole = R"({"status":"valid","list":[1,2.5e3,"x\u00e9",{"a":null}],"t":true})";
  for (int round = 0; round < 20'000; ++round) {
    std::string text = whole;
    for (unsigned i = random() % 4; i < 4; ++i) text[random() % text.size()] = static_cast<char>(random());
    const auto json = Json::parse(text.substr(0, random() % (text.size() + 1)));
    if (json) {
      EXPECT_TRUE(Json::parse(json->dump())) << text;
    }
  }
}

TEST(Json, GivesTheFallbackForWhatIsMissingOrOfAnotherType) {
  const Json json(Json::Object{{"s", "text"}, {"n", 7}});
  EXPECT_EQ(json["none"].string("x"), "x");
  EXPECT_EQ(json["s"].integer(3), 3);
  EXPECT_EQ(json["n"].string("x"), "x");
  EXPECT_TRUE(json["s"].boolean(true));
  EXPECT_TRUE(json["s"]["deeper"]["still"].isNull());
  EXPECT_TRUE(json["s"].array().empty());
  EXPECT_TRUE(json["s"].object().empty());
}

TEST(Json, ReadsWholeNumbersHoweverTheyAreWritten) {
  EXPECT_EQ(Json::parse("3600.0")->integer(), 3600);
  EXPECT_EQ(Json::parse("36e2")->integer(), 3600);
  EXPECT_EQ(Json::parse("1.5")->integer(-1), -1);
  EXPECT_EQ(Json::parse("1e300")->integer(-1), -1);
  EXPECT_EQ(Json::parse("9223372036854775807")->integer(), std::numeric_limits<std::int64_t>::max());
  EXPECT_EQ(Json::parse("18446744073709551615")->integer(-1), -1);
  EXPECT_EQ(Json::parse("-9223372036854775808")->integer(), std::numeric_limits<std::int64_t>::min());
}

TEST(Json, PassesOverWhatIsNoStringInAStringList) {
  EXPECT_EQ(Json::parse(R"(["a",1,null,"b",["c"]])")->stringList(), (std::vector<std::string>{"a", "b"}));
  EXPECT_TRUE(Json("a").stringList().empty());
}

TEST(Json, BuildsObjectsByNaming) {
  Json json;
  json["b"]["inner"] = 1;
  json["a"] = Json::strings({"x", "y"});
  json["absent"] = std::optional<std::string>();
  json["present"] = std::optional<std::string>("here");
  EXPECT_EQ(json.dump(), R"({"a":["x","y"],"absent":null,"b":{"inner":1},"present":"here"})");
}

TEST(Json, WritesOneLineOfAsciiWhateverTheStringsHold) {
  Json json;
  json["k\n"] = std::string("line\r\n\x7f\xc3\xa9\xff\0end", 14);
  const std::string line = json.dump();
  for (char c : line) {
    EXPECT_GE(c, ' ') << line;
  }
  const auto back = Json::parse(line);
  ASSERT_TRUE(back);
  EXPECT_EQ((*back)["k\n"].string(), std::string("line\r\n\x7f\xc3\xa9\xef\xbf\xbd\0end", 16));
}

TEST(Json, WritesWhatItReadsBackEqual) {
  const Json json(
      Json::Object{{"list", Json::Array{1, "two", nullptr, true, 0.1, Json::Object{}}}, {"n", std::int64_t{1} << 62}});
  EXPECT_EQ(Json::parse(json.dump()), json);
  EXPECT_EQ(Json::parse(json.pretty()), json);
  EXPECT_EQ(json.pretty().back(), '\n');
}

TEST(Json, WritesNoNumberThatIsNone) {
  EXPECT_EQ(Json(std::numeric_limits<double>::infinity()).dump(), "null");
  EXPECT_EQ(Json(std::numeric_limits<double>::quiet_NaN()).dump(), "null");
}

}  // namespace
}  // namespace postern
