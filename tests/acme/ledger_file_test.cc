#include "acme/ledger_file.h"

#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include <algorithm>
#include <fstream>
#include <memory>
#include <thread>

#include "acme/error.h"
#include "tests/support/needs_descriptors.h"
#include "tests/support/temporary_folder.h"

namespace postern::acme {
namespace {

namespace fs = std::filesystem;
using namespace std::chrono_literals;
using Kind = LedgerEntry::Kind;
using Names = std::vector<std::string>;
constexpr auto day = 24h;

const std::string production = "https://acme-v02.api.letsencrypt.org/directory";
const Time start = *parseRfc3339("2026-01-01T00:00:00Z");

class LedgerFileTest : public ::testing::Test {
 protected:
  LedgerFileTest() {
    LogSettings settings;
    settings.file = folder / "log";
    if (std::string failed = log.configure(settings); !failed.empty()) throw std::runtime_error(failed);
    restart();
  }
  void restart() { ledger = std::make_unique<LedgerFile>(directory, production, log); }
  void record(Kind kind, const Names& names, Time at = start, OrderKind order = OrderKind::First) {
    ledger->record({kind, at, names, order}, at);
  }
  bool passes(const Names& names, OrderKind kind = OrderKind::First, Time now = start) const {
    return ledger->earliest(names, kind, now) == now;
  }
  std::string content() const { return support::contentOf(ledger->path()); }
  std::string logged() const { return support::contentOf(folder / "log"); }
  std::size_t lines() const {
    const std::string text = content();
    return static_cast<std::size_t>(std::count(text.begin(), text.end(), '\n'));
  }
  std::size_t setAsideFiles() const {
    std::size_t count = 0;
    for (const auto& entry : fs::directory_iterator(directory)) {
      if (entry.path().filename().string().find(".damaged-") != std::string::npos) ++count;
    }
    return count;
  }
  void putFile(const std::string& text) {
    fs::create_directories(directory);
    support::write(directory / "ledger.jsonl", text);
  }

  support::TemporaryFolder folder;
  const fs::path directory = folder / "cache" / "acme-v02.api.letsencrypt.org-0123abcd";
  Log log;
  std::unique_ptr<LedgerFile> ledger;
};

TEST_F(LedgerFileTest, RemembersEveryKindOfEntryAcrossARestart) {
  for (int i = 0; i < 5; ++i) {
    record(Kind::Issuance, {"set.example.org"}, start, OrderKind::Renewal);
    record(Kind::FailedValidation, {"failing.example.org"});
  }
  for (int i = 0; i < 10; ++i) record(Kind::Account, {});
  const auto before = ledger->left(start);
  ASSERT_EQ(before.size(), 4u);
  restart();
  EXPECT_EQ(ledger->left(start), before);
  EXPECT_FALSE(passes({"set.example.org"}, OrderKind::Renewal));
  EXPECT_FALSE(passes({"failing.example.org"}));
  EXPECT_GT(ledger->earliestAccount(start), start);
  EXPECT_EQ(ledger->kindOf({"set.example.org"}, start), OrderKind::Renewal);
  EXPECT_EQ(ledger->kindOf({"set.example.org", "other.example.org"}, start), OrderKind::First);
  for (int i = 0; i < 300; ++i) record(Kind::Order, {"host.example.org"});
  restart();
  EXPECT_FALSE(passes({"other.example.org"}));
}

TEST_F(LedgerFileTest, ObeysAcrossRestartsWhatTheCaTold) {
  ledger->told(start + 2h, {"a.example.org"}, start);
  ledger->told(start + 1h, {}, start);
  restart();
  EXPECT_EQ(ledger->earliest({"a.example.org"}, OrderKind::Ari, start), start + 2h);
  EXPECT_EQ(ledger->earliest({"b.example.org"}, OrderKind::Renewal, start), start + 1h);
  EXPECT_TRUE(passes({"b.example.org"}, OrderKind::First, start + 1h));
}

TEST_F(LedgerFileTest, IsOnDiskForTheOwnerAloneBeforeRecordReturns) {
  record(Kind::Order, {"a.example.org"});
  EXPECT_EQ(lines(), 1u);
  EXPECT_NE(content().find("\"a.example.org\""), std::string::npos);
  struct stat file {
  }, parent{};
  ASSERT_EQ(stat(ledger->path().c_str(), &file), 0);
  ASSERT_EQ(stat(directory.c_str(), &parent), 0);
  EXPECT_EQ(file.st_mode & 07777U, 0600U);
  EXPECT_EQ(parent.st_mode & 07777U, 0700U);
  record(Kind::Order, {"b.example.org"});
  EXPECT_EQ(lines(), 2u);
}

TEST_F(LedgerFileTest, PassesATornLastLineOver) {
  for (int i = 0; i < 5; ++i) record(Kind::FailedValidation, {"a.example.org"});
  const std::string whole = content();
  for (std::size_t cut = 1; cut < whole.size() / 5; cut += 7) {
    putFile(whole + whole.substr(0, cut));
    restart();
    EXPECT_FALSE(passes({"a.example.org"})) << cut;
    EXPECT_EQ(setAsideFiles(), 0u);
    // What comes next does not end up behind the fragment.
    record(Kind::Issuance, {"b.example.org"});
    restart();
    EXPECT_EQ(ledger->kindOf({"b.example.org"}, start), OrderKind::Renewal) << cut;
    EXPECT_FALSE(passes({"a.example.org"})) << cut;
    EXPECT_EQ(setAsideFiles(), 0u);
  }
  EXPECT_EQ(logged().find("acme.cache.damaged"), std::string::npos);
}

TEST_F(LedgerFileTest, PassesATornLineOverWhereThereIsNothingElseToKeep) {
  putFile("{\"kind\":\"issu");
  LedgerFile other(directory, "https://ca.test/dir", log);
  other.record({Kind::Order, start, {"a.example.org"}}, start);  // which no limit of this CA counts
  other.record({Kind::Issuance, start, {"a.example.org"}}, start);
  LedgerFile again(directory, "https://ca.test/dir", log);
  EXPECT_EQ(again.kindOf({"a.example.org"}, start), OrderKind::Renewal);
  EXPECT_EQ(setAsideFiles(), 0u);
}

TEST_F(LedgerFileTest, SetsADamagedFileAsideAndKeepsWhatWasReadable) {
  for (int i = 0; i < 5; ++i) record(Kind::FailedValidation, {"a.example.org"});
  const std::string whole = content();
  const std::size_t cut = whole.find('\n') + 1;
  std::size_t files = 0;
  for (const std::string& damage :
       {std::string("garbage\n"), std::string("{\"kind\":\"order\"}\n"), std::string("[1]\n"),
        std::string(100, '\0') + "\n", std::string("{\"kind\":\"bucket\",\"limit\":\"orders\",\"full\":7}\n"),
        std::string("{\"at\":3}\n")}) {
    putFile(whole.substr(0, cut) + damage + whole.substr(cut));
    restart();
    EXPECT_EQ(setAsideFiles(), ++files) << damage;
    EXPECT_FALSE(passes({"a.example.org"})) << damage;
    restart();  // written anew at once: nothing is lost though nothing was recorded since
    EXPECT_FALSE(passes({"a.example.org"})) << damage;
    EXPECT_EQ(setAsideFiles(), files) << damage;
  }
  EXPECT_NE(logged().find("acme.cache.damaged"), std::string::npos);
}

TEST_F(LedgerFileTest, BeginsAnewWhereNothingOfTheFileCanBeRead) {
  putFile("no ledger\nat all\n");
  restart();
  EXPECT_EQ(setAsideFiles(), 1u);
  EXPECT_TRUE(passes({"a.example.org"}));
  record(Kind::Issuance, {"a.example.org"});
  restart();
  EXPECT_EQ(ledger->kindOf({"a.example.org"}, start), OrderKind::Renewal);
}

TEST_F(LedgerFileTest, SetsAsideWhatIsNoFile) {
  fs::create_directories(directory / "ledger.jsonl" / "x");
  restart();
  EXPECT_EQ(setAsideFiles(), 1u);
  record(Kind::Issuance, {"a.example.org"});
  restart();
  EXPECT_EQ(ledger->kindOf({"a.example.org"}, start), OrderKind::Renewal);
}

TEST_F(LedgerFileTest, PassesOverWhatALaterVersionWrites) {
  putFile(
      "{\"kind\":\"of-the-future\",\"x\":1}\n{\"kind\":\"issued\",\"set\":\"0011223344556677\",\"at\":"
      "\"2026-01-01T00:00:00Z\",\"more\":[]}\n");
  restart();
  EXPECT_EQ(setAsideFiles(), 0u);
  EXPECT_TRUE(passes({"a.example.org"}));
}

TEST_F(LedgerFileTest, IsWrittenAnewBeforeItGrowsManyTimesWhatItSays) {
  // Names long enough to make a line of 16 kB; what they leave behind is one bucket each time the same.
  const Names names{std::string(4000, 'a'), std::string(4000, 'b'), std::string(4000, 'c'), std::string(4000, 'd')};
  Time now = start;
  std::uintmax_t largest = 0;
  for (int i = 0; i < 100; ++i) {
    record(Kind::Order, names, now, OrderKind::Renewal);
    record(Kind::FailedValidation, {"a.example.org"}, now);
    now += 10min;
    largest = std::max(largest, fs::file_size(ledger->path()));
  }
  EXPECT_LT(largest, 300'000u);
  EXPECT_LT(lines(), 50u);
  const auto before = ledger->left(now);
  ASSERT_FALSE(before.empty());
  restart();
  const auto after = ledger->left(now);
  ASSERT_EQ(after.size(), before.size());
  for (std::size_t i = 0; i < before.size(); ++i) {
    EXPECT_EQ(after[i].limit, before[i].limit);
    EXPECT_EQ(after[i].left, before[i].left);
  }
}

TEST_F(LedgerFileTest, StaysSmallWithTenThousandCertificates) {
  // A year of 10,000 certificates of 90 days condensed: each set's bucket for a while, its hash for good.
  std::string text;
  for (int i = 0; i < 10000; ++i) {
    text += "{\"at\":\"2026-01-01T00:00:00Z\",\"kind\":\"issuance\",\"names\":[\"mail.customer" + std::to_string(i) +
            ".example\"],\"order\":\"renewal\"}\n";
  }
  putFile(text);
  restart();
  EXPECT_EQ(ledger->kindOf({"mail.customer9999.example"}, start), OrderKind::Renewal);
  const auto before = std::chrono::steady_clock::now();
  for (int i = 0; i < 100; ++i) record(Kind::Order, {"mail.customer1.example"}, start, OrderKind::Renewal);
  EXPECT_LT(std::chrono::steady_clock::now() - before, 2min);
  EXPECT_EQ(lines(), 10100u);  // appended, not written anew each time
}

TEST_F(LedgerFileTest, SaysThatTheDiskFailedAndCountsAllTheSame) {
  fs::create_directories(directory.parent_path());
  support::write(directory, "a file stands where the folder should");
  restart();
  for (int i = 0; i < 5; ++i) {
    try {
      record(Kind::FailedValidation, {"a.example.org"});
      FAIL() << "no error";
    } catch (const Error& error) {
      EXPECT_EQ(error.problem.type, "postern:storage");
    }
  }
  EXPECT_FALSE(passes({"a.example.org"}));
  fs::remove(directory);
  record(Kind::Order, {"b.example.org"});  // and with the disk's recovery everything is on it
  restart();
  EXPECT_FALSE(passes({"a.example.org"}));
}

#ifndef POSTERN_NEEDS_DESCRIPTORS
TEST_F(LedgerFileTest, KeepsWhatIsOnDiskAndWhatHappenedWhileItCouldNotBeRead) {
  for (int i = 0; i < 3; ++i) record(Kind::FailedValidation, {"a.example.org"});
  rlimit files{};
  ASSERT_EQ(getrlimit(RLIMIT_NOFILE, &files), 0);
  rlimit none = files;
  none.rlim_cur = 0;
  ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &none), 0);  // the process has no descriptor left
  restart();
  const Time later = start + 2s;
  EXPECT_THROW(record(Kind::FailedValidation, {"a.example.org"}, later), Error);
  EXPECT_THROW(record(Kind::FailedValidation, {"a.example.org"}, later), Error);
  EXPECT_THROW(ledger->told(later + 1h, {"b.example.org"}, later), Error);
  ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &files), 0);
  for (int i = 0; i < 2; ++i) {
    EXPECT_FALSE(passes({"a.example.org"}, OrderKind::First, later)) << i;
    EXPECT_FALSE(passes({"b.example.org"}, OrderKind::First, later)) << i;
    if (i == 0) record(Kind::Order, {"c.example.org"}, later);
    restart();
  }
  EXPECT_EQ(setAsideFiles(), 0u);
}
#endif

TEST_F(LedgerFileTest, IsNotBlockedByAFileOfTheFuture) {
  for (int i = 0; i < 300; ++i) record(Kind::Order, {"a.example.org"}, start + 4000 * day);
  ledger->told(start + 4007 * day, {}, start + 4000 * day);
  restart();
  EXPECT_TRUE(passes({"a.example.org"}));
  record(Kind::Order, {"a.example.org"});
  restart();
  EXPECT_LE(ledger->earliest({"a.example.org"}, OrderKind::First, start), start + 5min);
}

TEST_F(LedgerFileTest, TakesRecordsFromManyThreads) {
  {
    std::vector<std::jthread> threads;
    for (int t = 0; t < 4; ++t) {
      threads.emplace_back([&, t] {
        for (int i = 0; i < 20; ++i) {
          record(Kind::Order, {"a.example.org"});
          record(Kind::Issuance, {"n" + std::to_string(t * 20 + i) + ".example.org"}, start, OrderKind::Renewal);
          ledger->left(start);
        }
      });
    }
  }
  EXPECT_EQ(lines(), 160u);
  restart();
  EXPECT_EQ(ledger->kindOf({"n79.example.org"}, start), OrderKind::Renewal);
  const auto left = ledger->left(start);
  const auto orders =
      std::find_if(left.begin(), left.end(), [](const auto& state) { return state.limit == "orders per account"; });
  ASSERT_NE(orders, left.end());
  EXPECT_EQ(orders->left, 220);
}

}  // namespace
}  // namespace postern::acme
