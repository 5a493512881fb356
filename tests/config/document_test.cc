#include "config/document.h"

#include <gtest/gtest.h>

#include <string>

namespace postern::config {
namespace {

Node parsed(const std::string& text) {
  auto result = parseDocument(text, "x.toml");
  EXPECT_TRUE(std::holds_alternative<Node>(result)) << std::get<Diagnostic>(result).text();
  return std::get<Node>(result);
}
Diagnostic refused(const std::string& text) {
  auto result = parseDocument(text, "x.toml");
  EXPECT_TRUE(std::holds_alternative<Diagnostic>(result)) << text;
  return std::holds_alternative<Diagnostic>(result) ? std::get<Diagnostic>(result) : Diagnostic();
}

TEST(Document, EveryValueKnowsItsLine) {
  const Node root = parsed("\n[a]\nb = 1\n\nc = [\n  \"x\",\n  \"y\",\n]\nd.e = true\n");
  const Node& a = root.members.at("a");
  EXPECT_EQ(a.place, (Place{"x.toml", 2}));
  EXPECT_EQ(a.members.at("b").place.line, 3);
  EXPECT_EQ(a.members.at("c").place.line, 5);
  EXPECT_EQ(a.members.at("c").items.at(1).place.line, 7);
  EXPECT_EQ(a.members.at("d").members.at("e").place.line, 9);
}

TEST(Document, EachOfThousandsOfItemsKnowsItsLine) {
  std::string text = "\xEF\xBB\xBFx = [\n";
  for (int i = 0; i < 5000; ++i) text += "\"host-" + std::to_string(i) + ".example.org\",\n";
  const Node root = parsed(text + "]\n");
  const auto& items = root.members.at("x").items;
  ASSERT_EQ(items.size(), 5000U);
  for (std::size_t i = 0; i < items.size(); ++i) ASSERT_EQ(items[i].place.line, static_cast<int>(i) + 2);
}

TEST(Document, QuotedIdsWithDotsStayWhole) {
  const Node root =
      parsed("[certificate.\"mail.example.org\"]\ncert = \"x\"\n[server.listener.\"a.b\"]\nbind = \"y\"\n");
  EXPECT_EQ(root.members.at("certificate").members.count("mail.example.org"), 1U);
  EXPECT_EQ(root.members.at("server").members.at("listener").members.count("a.b"), 1U);
  EXPECT_EQ(dotted({"certificate", "mail.example.org", "cert"}), "certificate.\"mail.example.org\".cert");
  EXPECT_EQ(dotted({"server", "listener", "imaps", "tls"}), "server.listener.imaps.tls");
  EXPECT_EQ(dotted({"a", "q\"q", ""}), "a.\"q\\\"q\".\"\"");
}

TEST(Document, DoubleBracketsAppendAndInlineListsDoNot) {
  const Node root = parsed("[[a]]\nx = 1\n[[a]]\nx = 2\n[b]\nc = [{x = 1}]\n");
  EXPECT_TRUE(root.members.at("a").appends);
  EXPECT_EQ(root.members.at("a").items.size(), 2U);
  EXPECT_FALSE(root.members.at("b").members.at("c").appends);
}

TEST(Document, AKeySetTwiceNamesBothPlaces) {
  const Diagnostic error = refused("a = 1\nb = 2\na = 3\n");
  EXPECT_EQ(error.place.line, 3);
  EXPECT_EQ(error.key, "a");
  EXPECT_NE(error.problem.find("x.toml:1"), std::string::npos) << error.problem;
}

TEST(Document, ASectionBesideItsDottedKeysNamesBothPlaces) {
  const Diagnostic error =
      refused("[server.listener.\"x\"]\ntls.acme = \"a\"\n[server.listener.\"x\".tls]\nimplicit = true\n");
  EXPECT_EQ(error.place.line, 3);
  EXPECT_NE(error.problem.find("x.toml:2"), std::string::npos) << error.problem;
}

TEST(Document, SyntaxErrorsTellLineAndReasonAndNeverTheSource) {
  const struct {
    std::string text;
    int line;
    std::string said;
  } cases[] = {{"a = 1\nsecret = \"hunter2\n", 2, "text is not closed"},
               {"a = 1\nsecret = hunter2\n", 2, "not a value"},
               {"secret = \"hunter2\" hunter2\n", 1, "line should end"},
               {"a = 1\n[hunter2\n", 2, "neither a key nor a section"},
               {"a = [\"hunter2\", \"b\"\nb = 1\n", 1, "list is not closed"},
               {"hunter2\n", 1, "="},
               {"secret = \"\\q hunter2\"\n", 1, "escape"},
               {"secret = \"hunter2\xff\"\n", 1, "UTF-8"},
               {"[[a]]\n[a]\n", 2, "share one name"},
               {"a = {hunter2 = 1\n}\n", 1, "inline table"},
               {"secret = \"\"\"hunter2\n", 1, "text"},
               {"secret =\n", 1, "without a value"}};
  for (const auto& one : cases) {
    const Diagnostic error = refused(one.text);
    EXPECT_EQ(error.text().find("hunter2"), std::string::npos) << error.text();
    EXPECT_NE(error.text().find(one.said), std::string::npos) << one.text << error.text();
    EXPECT_GE(error.place.line, 1) << one.text;
    EXPECT_LE(error.place.line, one.line) << one.text << error.text();
  }
}

TEST(Document, DeepNestingIsRefusedInsteadOfRecursing) {
  EXPECT_NE(refused("a = " + std::string(100'000, '[')).problem.find("nested"), std::string::npos);
  std::string dots = "a";
  for (int i = 0; i < 100'000; ++i) dots += ".a";
  EXPECT_NE(refused(dots + " = 1").problem.find("nested"), std::string::npos);
  // Brackets and dots inside texts and comments are not nesting.
  parsed("a = \"" + std::string(200, '[') + "\" # " + std::string(200, '{') + "\nb = '" + std::string(200, '.') +
         "'\nc = \"\"\"" + std::string(200, '[') + "\n\"\"\"\n");
}

TEST(Document, EmptyAndBlankTextsAreEmptyTables) {
  EXPECT_TRUE(parsed("").members.empty());
  EXPECT_TRUE(parsed("\n# nothing\n").members.empty());
}

}  // namespace
}  // namespace postern::config
