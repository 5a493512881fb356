#include "listeners/mail/maildir.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include <csignal>
#include <thread>

#include "base/error.h"
#include "listeners/mail/uid_list.h"
#include "tests/support/temporary_folder.h"

namespace postern::mail {
namespace {

using support::contentOf;
using support::entriesIn;
using support::TemporaryFolder;
using testing::ElementsAre;
using testing::IsEmpty;

class MailboxTest : public testing::Test {
 protected:
  std::string deliver(const std::string& text = "Subject: x\r\n\r\nbody\r\n", std::optional<Flags> flags = {}) {
    Incoming incoming(folder_);
    incoming.append(text);
    incoming.commit(flags);
    return incoming.name();
  }
  Mailbox opened(bool claim = true) {
    Mailbox mailbox(folder_);
    mailbox.scan(claim);
    return mailbox;
  }
  static std::vector<std::uint32_t> uids(const Mailbox& mailbox) {
    std::vector<std::uint32_t> result;
    for (const auto& message : mailbox.messages()) result.push_back(message.uid);
    return result;
  }

  TemporaryFolder temporary_;
  const std::filesystem::path folder_ = temporary_ / "jane";
};

TEST_F(MailboxTest, ReadsWhatWasDeliveredWithCrlf) {
  deliver("Subject: x\r\n\r\none\r\ntwo\r\n");
  auto mailbox = opened();
  ASSERT_EQ(mailbox.messages().size(), 1u);
  const auto& message = mailbox.messages().front();
  EXPECT_EQ(contentOf(folder_ / message.file), "Subject: x\n\none\ntwo\n");
  EXPECT_EQ(mailbox.read(message), "Subject: x\r\n\r\none\r\ntwo\r\n");
  EXPECT_EQ(message.size, mailbox.read(message)->size());
}

TEST_F(MailboxTest, KeepsLineEndsAcrossPieces) {
  Incoming incoming(folder_);
  for (const char* piece : {"a\r", "\nb\r", "\r\n", "c\r\n\r", "\n", "d\r"}) incoming.append(piece);
  incoming.commit();
  auto mailbox = opened();
  const auto& message = mailbox.messages().front();
  EXPECT_EQ(contentOf(folder_ / message.file), "a\nb\r\nc\n\nd\r");
  EXPECT_EQ(message.size, mailbox.read(message)->size());
}

TEST_F(MailboxTest, GivesTheSameSizeToWhatOthersDelivered) {
  deliver();
  support::write(folder_ / "new" / "1600000000.foreign.host", "From: a\n\nx\ny\r\nz\n");
  auto mailbox = opened();
  ASSERT_EQ(mailbox.messages().size(), 2u);
  const auto& foreign = mailbox.messages().front();
  EXPECT_EQ(mailbox.read(foreign), "From: a\r\n\r\nx\r\ny\r\nz\r\n");
  EXPECT_EQ(foreign.size, mailbox.read(foreign)->size());
}

TEST_F(MailboxTest, ShowsNothingBeforeTheCommit) {
  auto mailbox = opened();
  {
    Incoming incoming(folder_);
    incoming.append("half");
    mailbox.scan(true);
    EXPECT_THAT(mailbox.messages(), IsEmpty());
    EXPECT_EQ(entriesIn(folder_ / "tmp"), 1u);
  }
  EXPECT_EQ(entriesIn(folder_ / "tmp"), 0u);
}

TEST_F(MailboxTest, MakesFoldersAndFilesForTheOwnerAlone) {
  deliver();
  struct stat status {};
  ASSERT_EQ(stat((folder_ / "new").c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 0777u, 0700u);
  const auto mailbox = opened();
  ASSERT_EQ(stat((folder_ / mailbox.messages().front().file).c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 0777u, 0600u);
}

TEST_F(MailboxTest, KeepsUidsAcrossRestartsFlagsAndRemovals) {
  for (int i = 0; i < 4; ++i) deliver();
  std::uint32_t validity = 0;
  {
    auto mailbox = opened();
    validity = mailbox.uidValidity();
    EXPECT_THAT(uids(mailbox), ElementsAre(1, 2, 3, 4));
    EXPECT_TRUE(mailbox.setFlags(2, {.seen = true, .flagged = true}));
    EXPECT_TRUE(mailbox.remove(3));
    EXPECT_TRUE(mailbox.remove(4));
  }
  deliver();
  auto mailbox = opened();
  EXPECT_EQ(mailbox.uidValidity(), validity);
  EXPECT_NE(validity, 0u);
  EXPECT_THAT(uids(mailbox), ElementsAre(1, 2, 5)) << "the UID of a removed message is never given again";
  EXPECT_EQ(mailbox.uidNext(), 6u);
  EXPECT_EQ(mailbox.messages()[1].flags, (Flags{.seen = true, .flagged = true}));
}

TEST_F(MailboxTest, SeesAtOnceWhatOthersDid) {
  deliver();
  deliver();
  auto mine = opened(), other = opened();
  EXPECT_TRUE(other.setFlags(1, {.answered = true}));
  EXPECT_TRUE(other.remove(2));
  deliver();
  mine.scan(true);
  EXPECT_THAT(uids(mine), ElementsAre(1, 3));
  EXPECT_TRUE(mine.messages()[0].flags.answered);
}

TEST_F(MailboxTest, FindsAMessageThatSomebodyRenamed) {
  deliver("x\r\n");
  auto mine = opened(), other = opened();
  ASSERT_TRUE(other.setFlags(1, {.seen = true}));
  EXPECT_EQ(mine.read(mine.messages().front()), "x\r\n");
  EXPECT_TRUE(mine.setFlags(1, {.draft = true}));
  ASSERT_TRUE(other.setFlags(1, {.seen = true}));
  EXPECT_TRUE(mine.remove(1));
  EXPECT_FALSE(other.setFlags(1, {})) << "gone";
  EXPECT_FALSE(other.remove(1));
  EXPECT_FALSE(other.read(other.messages().front()).has_value());
}

TEST_F(MailboxTest, KeepsFlagsOfOthersThatItDoesNotKnow) {
  std::filesystem::create_directories(folder_ / "cur");
  support::write(folder_ / "cur" / "1600000000.a.host:2,PSab", "x\n");
  auto mailbox = opened();
  EXPECT_TRUE(mailbox.messages().front().flags.seen);
  ASSERT_TRUE(mailbox.setFlags(1, {.deleted = true}));
  EXPECT_TRUE(std::filesystem::exists(folder_ / "cur" / "1600000000.a.host:2,PTab"));
}

TEST_F(MailboxTest, IsRecentForTheFirstSessionThatSelectsAndForNoOther) {
  deliver();
  const auto looked = opened(false);
  EXPECT_TRUE(looked.messages().front().recent);
  EXPECT_TRUE(looked.messages().front().file.starts_with("new/"));
  auto first = opened();
  EXPECT_TRUE(first.messages().front().recent);
  first.scan(true);
  EXPECT_TRUE(first.messages().front().recent) << "as long as the session lasts";
  EXPECT_FALSE(opened().messages().front().recent);
}

TEST_F(MailboxTest, ClaimsWhatAnEarlierLookLeft) {
  deliver();
  Mailbox mailbox(folder_);
  mailbox.scan(false);
  mailbox.scan(true);
  EXPECT_TRUE(mailbox.messages().front().file.starts_with("cur/"));
  EXPECT_TRUE(mailbox.messages().front().recent);
}

TEST_F(MailboxTest, AppendsWithFlagsAndDate) {
  const std::chrono::sys_seconds date{std::chrono::seconds(981173106)};
  Incoming incoming(folder_);
  incoming.append("x\r\n");
  incoming.commit(Flags{.seen = true, .draft = true}, date);
  const auto mailbox = opened();
  const auto& message = mailbox.messages().front();
  EXPECT_EQ(message.flags, (Flags{.seen = true, .draft = true}));
  EXPECT_EQ(message.internalDate, date);
  EXPECT_EQ(baseName(message.file), incoming.name());
}

TEST_F(MailboxTest, BeginsAnewWithAnotherValidityWhereTheListIsDamaged) {
  for (const char* damage :
       {"", "nonsense", "postern-uidlist 1 5 9 1\n", "postern-uidlist 1 5 3 2\n2 1 a\n1 1 b\n",
        "postern-uidlist 1 5 3 1\n3 1 a\n", "postern-uidlist 1 0 3 0\n", "postern-uidlist 1 5 3 1\n1 1 a"}) {
    deliver();
    const auto before = opened().uidValidity();
    support::write(uidListPath(folder_), damage);
    const auto mailbox = opened();
    EXPECT_NE(mailbox.uidValidity(), before) << damage;
    EXPECT_EQ(mailbox.messages().front().uid, 1u);
    EXPECT_EQ(contentOf(folder_ / "postern-uidlist.damaged"), damage);
    EXPECT_EQ(opened().uidValidity(), mailbox.uidValidity());
  }
}

TEST_F(MailboxTest, ServesThousandsOfMessages) {
  constexpr std::uint32_t count = 3000;
  opened();
  for (std::uint32_t i = 0; i < count; ++i) {
    support::write(folder_ / "cur" / ("16000" + std::to_string(10000 + i) + ".x.host,W=2:2,"), "\n");
  }
  auto mailbox = opened();
  ASSERT_EQ(mailbox.messages().size(), count);
  EXPECT_EQ(mailbox.messages().back().uid, count);
  EXPECT_EQ(mailbox.messages().back().size, 2u);
  EXPECT_TRUE(mailbox.setFlags(count / 2, {.seen = true}));
  EXPECT_EQ(opened().messages()[count / 2 - 1].flags.seen, true);
}

TEST_F(MailboxTest, NumbersEachMessageOnceThoughManyLookAtOnce) {
  opened();
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([this] {
      for (int i = 0; i < 10; ++i) {
        deliver();
        opened();
      }
    });
  }
  for (auto& thread : threads) thread.join();
  auto mailbox = opened();
  ASSERT_EQ(mailbox.messages().size(), 40u);
  EXPECT_EQ(mailbox.messages().back().uid, 40u);
  EXPECT_EQ(mailbox.uidNext(), 41u);
}

TEST_F(MailboxTest, SweepsOnlyWhatIsOldOutOfTmp) {
  opened();
  support::write(folder_ / "tmp" / "old", "x");
  support::write(folder_ / "tmp" / "young", "x");
  std::filesystem::create_directories(folder_ / "tmp" / "removed-x" / "cur");
  const timespec times[2] = {{1000, 0}, {1000, 0}};
  for (const char* name : {"old", "removed-x"}) {
    ASSERT_EQ(utimensat(0, (folder_ / "tmp" / name).c_str(), times, 0), 0);
  }
  opened();
  EXPECT_FALSE(std::filesystem::exists(folder_ / "tmp" / "removed-x"));
  EXPECT_FALSE(std::filesystem::exists(folder_ / "tmp" / "old"));
  EXPECT_TRUE(std::filesystem::exists(folder_ / "tmp" / "young"));
}

TEST_F(MailboxTest, LeavesNothingWhereTheDiskIsFull) {
  opened();
  struct rlimit before {};
  ASSERT_EQ(getrlimit(RLIMIT_FSIZE, &before), 0);
  const auto handler = std::signal(SIGXFSZ, SIG_IGN);
  struct rlimit small = before;
  small.rlim_cur = 1000;
  ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &small), 0);
  bool thrown = false;
  try {
    Incoming incoming(folder_);
    incoming.append(std::string(5000, 'x'));
    incoming.commit();
  } catch (const SystemError& error) {
    thrown = error.error() == EFBIG;
  }
  ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &before), 0);
  std::signal(SIGXFSZ, handler);
  EXPECT_TRUE(thrown);
  EXPECT_EQ(entriesIn(folder_ / "tmp"), 0u);
  EXPECT_EQ(entriesIn(folder_ / "new"), 0u);
}

TEST(Maildir, ListsInboxFirstAndOnlyRealFolders) {
  TemporaryFolder temporary;
  Maildir maildir(temporary / "jane");
  EXPECT_THAT(maildir.folders(), ElementsAre("INBOX"));
  EXPECT_TRUE(maildir.create("Sent"));
  EXPECT_TRUE(maildir.create("Archive"));
  std::filesystem::create_directory(temporary / "jane/.NoMaildir");
  EXPECT_THAT(maildir.folders(), ElementsAre("INBOX", "Archive", "Sent"));
  EXPECT_FALSE(maildir.create("Sent"));
  EXPECT_FALSE(maildir.create("inbox"));
  EXPECT_TRUE(maildir.exists("InBox"));
  EXPECT_TRUE(std::filesystem::is_directory(temporary / "jane/.Sent/new"));
  EXPECT_EQ(maildir.path("Sent"), temporary / "jane/.Sent");
  EXPECT_EQ(maildir.path("inbox"), temporary / "jane");
}

TEST(Maildir, RefusesNamesThatLeadElsewhere) {
  TemporaryFolder temporary;
  Maildir maildir(temporary / "jane");
  for (const std::string& name :
       {std::string(""), std::string("."), std::string(".."), std::string("../joe"), std::string("a/b"),
        std::string("/etc"), std::string("a..b"), std::string("a."), std::string(".a"), std::string("a\0b", 3),
        std::string("a\nb"), std::string("\xc3\xa4"), std::string("a*"), std::string("a%"), std::string(300, 'a')}) {
    EXPECT_FALSE(maildir.path(name)) << name;
    EXPECT_FALSE(maildir.create(name)) << name;
    EXPECT_FALSE(maildir.exists(name)) << name;
    EXPECT_FALSE(maildir.remove(name)) << name;
  }
}

TEST(Maildir, MakesSuperiorFoldersToo) {
  TemporaryFolder temporary;
  Maildir maildir(temporary / "jane");
  EXPECT_TRUE(maildir.create("a.b.c"));
  EXPECT_THAT(maildir.folders(), ElementsAre("INBOX", "a", "a.b", "a.b.c"));
}

TEST(Maildir, RemovesAFolderWithItsMailAndKeepsInferiorOnes) {
  TemporaryFolder temporary;
  Maildir maildir(temporary / "jane");
  maildir.create("a.b");
  Incoming incoming(*maildir.path("a"));
  incoming.commit();
  EXPECT_TRUE(maildir.remove("a"));
  EXPECT_FALSE(maildir.remove("a"));
  EXPECT_FALSE(maildir.remove("INBOX"));
  EXPECT_THAT(maildir.folders(), ElementsAre("INBOX", "a.b"));
  EXPECT_EQ(entriesIn(temporary / "jane/tmp"), 0u);
}

TEST(Maildir, GivesAFolderThatIsMadeAgainAnotherValidity) {
  TemporaryFolder temporary;
  Maildir maildir(temporary / "jane");
  std::vector<std::uint32_t> seen;
  for (int i = 0; i < 3; ++i) {
    maildir.create("a");
    Mailbox mailbox(*maildir.path("a"));
    mailbox.scan(true);
    EXPECT_THAT(seen, testing::Not(testing::Contains(mailbox.uidValidity())));
    seen.push_back(mailbox.uidValidity());
    maildir.remove("a");
  }
}

TEST(Maildir, RenamesWithInferiorsUidsAndMail) {
  TemporaryFolder temporary;
  Maildir maildir(temporary / "jane");
  maildir.create("a.b");
  maildir.create("ab");
  Incoming(*maildir.path("a")).commit();
  Mailbox before(*maildir.path("a"));
  before.scan(true);
  EXPECT_FALSE(maildir.rename("a", "ab"));
  EXPECT_FALSE(maildir.rename("a", "a.b.c"));
  EXPECT_FALSE(maildir.rename("none", "x"));
  EXPECT_FALSE(maildir.rename("a", "INBOX"));
  EXPECT_TRUE(maildir.rename("a", "x.y"));
  EXPECT_THAT(maildir.folders(), ElementsAre("INBOX", "ab", "x", "x.y", "x.y.b"));
  Mailbox after(*maildir.path("x.y"));
  after.scan(true);
  EXPECT_EQ(after.uidValidity(), before.uidValidity());
  EXPECT_EQ(after.messages().size(), 1u);
}

TEST(Maildir, RenamingInboxMovesItsMailAndKeepsIt) {
  TemporaryFolder temporary;
  Maildir maildir(temporary / "jane");
  Incoming(maildir.root()).commit();
  maildir.create("other");
  EXPECT_TRUE(maildir.rename("INBOX", "old"));
  Mailbox inbox(maildir.root()), old(*maildir.path("old"));
  inbox.scan(true);
  old.scan(true);
  EXPECT_THAT(inbox.messages(), IsEmpty());
  EXPECT_EQ(old.messages().size(), 1u);
  EXPECT_THAT(maildir.folders(), ElementsAre("INBOX", "old", "other"));
}

TEST(Maildir, RemembersSubscriptions) {
  TemporaryFolder temporary;
  Maildir maildir(temporary / "jane");
  EXPECT_FALSE(maildir.subscribed("Sent"));
  maildir.subscribe("Sent", true);
  maildir.subscribe("Sent", true);
  maildir.subscribe("inbox", true);
  maildir.subscribe("../x", true);
  EXPECT_THAT(Maildir(temporary / "jane").subscriptions(), ElementsAre("Sent", "INBOX"));
  EXPECT_TRUE(maildir.subscribed("INBOX"));
  maildir.subscribe("Sent", false);
  EXPECT_FALSE(maildir.subscribed("Sent"));
}

}  // namespace
}  // namespace postern::mail
