// The examples of docs/acme.md load, without a word, and there is one for every setting.
#include <gmock/gmock.h>

#include <set>
#include <sstream>

#include "config/document.h"
#include "config/keys.h"
#include "loading.h"

namespace postern::config {
namespace {

struct Example {
  int line;  // where it begins
  std::string text;
};

// Every block fenced as toml.
std::vector<Example> examples() {
  std::ifstream in(POSTERN_TEST_DATA "/../../../docs/acme.md");
  EXPECT_TRUE(in);
  std::vector<Example> all;
  bool inside = false;
  int number = 0;
  for (std::string line; std::getline(in, line);) {
    ++number;
    if (!inside && line == "```toml") {
      inside = true;
      all.push_back({number, ""});
    } else if (inside && line == "```") {
      inside = false;
    } else if (inside) {
      all.back().text += line + "\n";
    }
  }
  EXPECT_FALSE(inside);
  return all;
}

// What an example leaves out: a server and a listener.
std::string completed(const Example& example) {
  return example.text.find("[server]") != std::string::npos ? example.text : smtp + example.text;
}

// "Files below /etc/postern and /usr/local/lib/postern stand for files of your own": they are made in `folder`.
std::string withFilesIn(const Folder& folder, std::string text) {
  const std::map<std::string, std::string> files{{"/etc/postern/tsig.key", "AAECAwQFBgcICQ==\n"},
                                                 {"/etc/postern/eab.key", "AAECAwQFBgcICQ\n"},
                                                 {"/etc/postern/internal-root.pem", "-----BEGIN CERTIFICATE-----\n"},
                                                 {"/usr/local/lib/postern/dns-hook", "#!/bin/sh\n"},
                                                 {"/usr/local/lib/postern/on-event", "#!/bin/sh\n"}};
  for (const auto& [path, content] : files) {
    const std::string made = folder.write(path.substr(1), content);
    if (content[0] == '#') std::filesystem::permissions(made, std::filesystem::perms::owner_all);
    for (std::size_t at = 0; (at = text.find(path, at)) != std::string::npos; at += made.size())
      text.replace(at, path.size(), made);
  }
  return text;
}

TEST(AcmeDocumentation, EveryExampleLoadsWithoutAWord) {
  Surroundings around = surroundings();
  around.groupExists = [](const std::string& name) { return name == "ssl-cert"; };
  const auto all = examples();
  ASSERT_GE(all.size(), 15U);
  for (const Example& example : all) {
    const Folder folder;
    const Loaded result = load(folder.write("postern.toml", withFilesIn(folder, completed(example))), around);
    EXPECT_TRUE(result.settings) << "docs/acme.md:" << example.line;
    EXPECT_EQ(result.diagnostics.text(), "") << "docs/acme.md:" << example.line;
  }
}

bool sets(const Node& node, const KeyPath& path, std::size_t from = 0) {
  if (from == path.size()) return true;
  if (path[from] == "<name>") {
    return std::any_of(node.members.begin(), node.members.end(),
                       [&](const auto& member) { return sets(member.second, path, from + 1); });
  }
  const auto at = node.members.find(path[from]);
  return at != node.members.end() && sets(at->second, path, from + 1);
}

TEST(AcmeDocumentation, ShowsAnExampleOfEverySetting) {
  std::vector<Node> parsed;
  for (const Example& example : examples()) {
    const auto document = parseDocument(example.text, "acme.md");
    ASSERT_TRUE(std::holds_alternative<Node>(document)) << "docs/acme.md:" << example.line;
    parsed.push_back(std::get<Node>(document));
  }
  for (const Key& key : keys()) {
    if (key.pattern.rfind("acme.", 0) != 0 && key.pattern.rfind("events.", 0) != 0) continue;
    KeyPath path;
    std::istringstream parts(key.pattern);
    for (std::string part; std::getline(parts, part, '.');) path.push_back(part);
    EXPECT_TRUE(std::any_of(parsed.begin(), parsed.end(), [&](const Node& node) { return sets(node, path); }))
        << "docs/acme.md has no example of " << key.pattern;
  }
}

TEST(AcmeDocumentation, HasASectionForEveryChallengeType) {
  std::ifstream in(POSTERN_TEST_DATA "/../../../docs/acme.md");
  std::set<std::string> headings;
  for (std::string line; std::getline(in, line);) {
    if (line.rfind("### ", 0) == 0) headings.insert(line.substr(4));
  }
  const Key* challenge = findKey({"acme", "le", "challenge"});
  ASSERT_NE(challenge, nullptr);
  for (const std::string& type : challenge->words) EXPECT_EQ(headings.count(type), 1U) << type;
}

}  // namespace
}  // namespace postern::config
