// Files under data/: each invalid one names its defect and says what is expected of it; each valid one loads.
#include <gmock/gmock.h>

#include <algorithm>
#include <regex>

#include "loading.h"

namespace postern::config {
namespace {

using testing::HasSubstr;

std::vector<std::string> filesIn(const std::string& folder) {
  std::vector<std::string> files;
  for (const auto& entry : std::filesystem::directory_iterator(std::string(POSTERN_TEST_DATA) + "/" + folder))
    files.push_back(entry.path());
  std::sort(files.begin(), files.end());
  return files;
}

TEST(Data, EveryInvalidFileIsRefusedForItsDefectsAndNothingElse) {
  const auto files = filesIn("invalid");
  ASSERT_GT(files.size(), 50U);
  for (const std::string& file : files) {
    std::vector<std::string> expected;
    std::ifstream in(file);
    for (std::string line; std::getline(in, line) && line.rfind("# expect: ", 0) == 0;)
      expected.push_back(line.substr(10));
    ASSERT_FALSE(expected.empty()) << file;
    const Loaded result = load(file, surroundings());
    EXPECT_FALSE(result.settings) << file << " loads";
    std::vector<std::string> errors;
    for (const Diagnostic& diagnostic : result.diagnostics.all) {
      if (diagnostic.severity == Severity::Error) errors.push_back(diagnostic.text());
    }
    EXPECT_EQ(errors.size(), expected.size()) << result.diagnostics.text();
    for (const std::string& pattern : expected) {
      EXPECT_TRUE(std::any_of(errors.begin(), errors.end(),
                              [&](const std::string& e) { return std::regex_search(e, std::regex(pattern)); }))
          << file << ": " << pattern << "\n"
          << result.diagnostics.text();
    }
    for (const std::string& error : errors) {
      EXPECT_TRUE(std::regex_search(error, std::regex("^" + file + ":[0-9]+: error: "))) << error;
    }
  }
}

TEST(Data, EveryValidFileLoadsWithoutAWord) {
  const auto files = filesIn("valid");
  ASSERT_GE(files.size(), 4U);
  for (const std::string& file : files) {
    const Loaded result = load(file, surroundings());
    EXPECT_TRUE(result.settings) << result.diagnostics.text();
    EXPECT_EQ(result.diagnostics.text(), "");
  }
}

TEST(Data, TheContractsSampleSaysWhatItSays) {
  const Loaded result = load(POSTERN_TEST_DATA "/valid/contract-sample.toml", surroundings());
  ASSERT_TRUE(result.settings) << result.diagnostics.text();
  const Settings& settings = *result.settings;
  ASSERT_EQ(settings.listeners.size(), 2U);
  const ListenerConfig &imaps = settings.listeners[0], &mx = settings.listeners[1];
  EXPECT_EQ(imaps.listener.hostnames, (std::vector<std::string>{"imap.example.org", "pop.example.org"}));
  EXPECT_EQ(imaps.listener.tls, listeners::TlsMode::Implicit);
  EXPECT_EQ(imaps.acme, "letsencrypt");
  EXPECT_EQ(imaps.decidedBy, "server.tls.acme");
  EXPECT_EQ(mx.listener.hostnames, (std::vector<std::string>{"mail.example.org"}));
  EXPECT_EQ(mx.listener.tls, listeners::TlsMode::StartTls);
  EXPECT_EQ(mx.listener.role, listeners::Role::Mx);
  ASSERT_EQ(settings.providers.size(), 1U);
  EXPECT_EQ(settings.providers[0].cache, "/var/lib/postern/acme");
  EXPECT_EQ(settings.providers[0].contact, (std::vector<std::string>{"mailto:postmaster@example.org"}));
  EXPECT_EQ(settings.providers[0].renewBefore, std::chrono::hours(24 * 30));
}

TEST(Data, TheSameFilesGiveTheSameSettings) {
  const std::string file = POSTERN_TEST_DATA "/valid/everything.toml";
  EXPECT_TRUE(*load(file, surroundings()).settings == *load(file, surroundings()).settings);
}

TEST(Data, AConfigurationOfStalwartLoads) {
  const std::string folder = POSTERN_TEST_DATA "/stalwart";
  const Loaded result = load(folder + "/config.toml", surroundings({{"STALWART_PATH", folder}}));
  ASSERT_TRUE(result.settings) << result.diagnostics.text();
  const Settings& settings = *result.settings;
  std::vector<std::string> ids;
  for (const ListenerConfig& config : settings.listeners) ids.push_back(config.listener.id);
  EXPECT_EQ(ids,
            (std::vector<std::string>{"imap", "imaptls", "jmap", "management", "smtp", "submission", "submissions"}));
  EXPECT_EQ(listenerOf(settings, "jmap").listener.protocol, listeners::Protocol::Http);
  EXPECT_EQ(listenerOf(settings, "jmap").listener.tls, listeners::TlsMode::Implicit);
  EXPECT_EQ(listenerOf(settings, "smtp").listener.trustedNetworks.size(), 1U);
  EXPECT_EQ(listenerOf(settings, "smtp").listener.greeting, "mail at your service");
  EXPECT_EQ(settings.log.file, "/var/log/mail/server.log");
  EXPECT_EQ(settings.threads, 4);
  ASSERT_EQ(settings.accounts.size(), 2U);
  EXPECT_EQ(settings.accounts[0].name, "chef");
  EXPECT_EQ(settings.accounts[1].emails, (std::vector<std::string>{"lager@firma.example"}));
  const std::string said = result.diagnostics.text();
  EXPECT_THAT(said, HasSubstr("warning: server.listener.jmap.protocol = \"jmap\": read as http"));
  EXPECT_THAT(said, HasSubstr("warning: server.listener.sieve.protocol = \"managesieve\": not opened"));
  for (const char* section : {"session", "queue", "resolver", "signature", "report", "auth", "imap", "jmap", "oauth",
                              "store", "storage", "directory.ldap"}) {
    const std::string line = std::string(": note: ") + section + ": ";
    const auto first = said.find(line);
    EXPECT_NE(first, std::string::npos) << section;
    EXPECT_EQ(said.find(line, first + 1), std::string::npos) << section << " is told twice";
  }
  EXPECT_EQ(said.find("unknown"), std::string::npos) << said;
  EXPECT_EQ(said.find("geheim"), std::string::npos);
}

}  // namespace
}  // namespace postern::config
