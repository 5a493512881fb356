#include "server/reload.h"

#include <gtest/gtest.h>

#include "base/text.h"
#include "tests/server/loading.h"

namespace postern::server {
namespace {

using testing::base;
using testing::settings;

std::string replaced(std::string text, const std::string& what, const std::string& with) {
  return text.replace(text.find(what), what.size(), with);
}

struct Case {
  const char *name, *what, *with, *words;
};

void PrintTo(const Case& one, std::ostream* out) {
  *out << one.name;
}

class Differences : public ::testing::TestWithParam<Case> {};

TEST_P(Differences, AreSaidInWords) {
  const auto& [name, what, with, words] = GetParam();
  EXPECT_EQ(joined(differences(settings(base), settings(replaced(base, what, with))), "; "), words);
}

INSTANTIATE_TEST_SUITE_P(
    Reload, Differences,
    ::testing::Values(
        Case{"Nothing", "imap", "imap", ""},
        Case{"AListener", "listener.imaps", "listener.other", "listener imaps removed; listener other added"},
        Case{"ABind", "127.0.0.1:993", "127.0.0.1:994", "listener imaps changed: bind"},
        Case{"AHostname", "\"imap\"", "\"imap\"\nhostname = \"imap.example.org\"", "listener imaps changed: hostname"},
        Case{"TlsOfAListener", "\"imap\"", "\"imap\"\ntls.groups = \"P-256\"", "listener imaps changed: tls"},
        Case{"OtherSettingsOfAListener", "\"imap\"", "\"imap\"\nidle-timeout = \"40m\"",
             "listener imaps changed: settings"},
        Case{"AProvider", "cache = ", "contact = \"a@example.org\"\ncache = ", "acme le changed"},
        Case{"TheMaildir", "[acme.le]", "[storage]\nmaildir = \"mail\"\n[acme.le]", "storage.maildir changed"},
        Case{"TheLog", "[acme.le]", "[global.tracing]\nlevel = \"debug\"\n[acme.le]", "global.tracing changed"}),
    [](const auto& one) { return one.param.name; });

TEST(Restart, IsNeededForRunAsThreadsControlSocketAndAUsedCacheAndTheRunningValuesStay) {
  const auto before = settings(base);
  auto after =
      settings(replaced(base, "\"cache\"", "\"other\"") +
               "[global]\nthread-pool = 9\n[control]\nsocket = \"elsewhere\"\n[server.run-as]\nuser = \"x\"\n");
  EXPECT_EQ(keepWhatNeedsRestart(before, after),
            (std::vector<std::string>{"server.run-as", "global.thread-pool", "control.socket", "acme.le.cache"}));
  EXPECT_EQ(after.threads, before.threads);
  EXPECT_EQ(after.controlSocket, before.controlSocket);
  EXPECT_EQ(after.providers, before.providers);
  EXPECT_EQ(after.runAs, before.runAs);
}

TEST(Restart, IsNotNeededForTheCacheOfANewProvider) {
  const auto before = settings(base);
  auto after = settings(base + "[acme.more]\ncache = \"another\"\n");
  EXPECT_TRUE(keepWhatNeedsRestart(before, after).empty());
  EXPECT_EQ(after.providers.back().cache, "another");
}

}  // namespace
}  // namespace postern::server
