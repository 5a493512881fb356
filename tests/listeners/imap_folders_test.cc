#include "listeners/imap/folder_commands.h"
#include "tests/listeners/imap_fixture.h"

namespace postern::imap {
namespace {

class ImapFolders : public ImapTest {};

TEST_F(ImapFolders, ListsWithPatternsAndSpecialUses) {
  auto driver = loggedIn();
  for (const char* name : {"Sent", "Work", "Work.Old", "\"With space\""}) {
    EXPECT_EQ(driver.send("c CREATE " + std::string(name) + "\r\n"), "c OK Done\r\n");
  }
  EXPECT_EQ(driver.send("a LIST \"\" \"*\"\r\n"),
            "* LIST (\\HasNoChildren) \".\" INBOX\r\n"
            "* LIST (\\HasNoChildren \\Sent) \".\" Sent\r\n"
            "* LIST (\\HasNoChildren) \".\" \"With space\"\r\n"
            "* LIST (\\HasChildren) \".\" Work\r\n"
            "* LIST (\\HasNoChildren) \".\" Work.Old\r\n"
            "a OK Done\r\n");
  EXPECT_EQ(countOf(driver.send("a LIST \"\" %\r\n"), "* LIST"), 4);
  EXPECT_EQ(driver.send("a LIST Work. *\r\n"), "* LIST (\\HasNoChildren) \".\" Work.Old\r\na OK Done\r\n");
  EXPECT_EQ(driver.send("a LIST \"\" inbox\r\n"), "* LIST (\\HasNoChildren) \".\" INBOX\r\na OK Done\r\n");
  EXPECT_EQ(driver.send("a LIST \"\" \"\"\r\n"), "* LIST (\\Noselect) \".\" \"\"\r\na OK Done\r\n");
  EXPECT_EQ(driver.send("a LIST \"\" nothing\r\n"), "a OK Done\r\n");
  EXPECT_THAT(driver.send("a LIST \"\"\r\n"), StartsWith("a BAD "));
  EXPECT_THAT(driver.send("a LIST \"\" " + std::string(600, '*') + "\r\n"), StartsWith("a BAD "));
}

TEST_F(ImapFolders, MatchesPatternsInBoundedTime) {
  EXPECT_TRUE(matchesPattern("*", "a.b"));
  EXPECT_FALSE(matchesPattern("%", "a.b"));
  EXPECT_TRUE(matchesPattern("%.%", "a.b"));
  EXPECT_TRUE(matchesPattern("a*b", "a.x.b"));
  EXPECT_TRUE(matchesPattern("*%*", ""));
  EXPECT_FALSE(matchesPattern("", "a"));
  std::string stars;
  for (int i = 0; i < 200; ++i) stars += "*a";
  EXPECT_FALSE(matchesPattern(stars + "b", std::string(199, 'a')));
}

TEST_F(ImapFolders, Subscribes) {
  auto driver = loggedIn();
  driver.send("c CREATE Work.Old\r\n");
  EXPECT_EQ(driver.send("a SUBSCRIBE Work.Old\r\n"), "a OK Done\r\n");
  EXPECT_EQ(driver.send("a SUBSCRIBE inbox\r\n"), "a OK Done\r\n");
  EXPECT_THAT(driver.send("a SUBSCRIBE Nowhere\r\n"), StartsWith("a NO [NONEXISTENT]"));
  const auto all = driver.send("a LSUB \"\" *\r\n");
  EXPECT_THAT(all, AllOf(HasSubstr("* LSUB () \".\" Work.Old\r\n"), HasSubstr("* LSUB () \".\" INBOX\r\n")));
  EXPECT_THAT(driver.send("a LSUB \"\" %\r\n"), HasSubstr("* LSUB (\\Noselect) \".\" Work\r\n"));
  EXPECT_EQ(driver.send("a UNSUBSCRIBE Work.Old\r\n"), "a OK Done\r\n");
  EXPECT_THAT(driver.send("a LSUB \"\" *\r\n"), Not(HasSubstr("Work")));
}

TEST_F(ImapFolders, CreatesRenamesAndDeletes) {
  auto driver = loggedIn();
  EXPECT_EQ(driver.send("a CREATE Work.\r\n"), "a OK Done\r\n");
  EXPECT_THAT(driver.send("a CREATE Work\r\n"), StartsWith("a NO [ALREADYEXISTS]"));
  EXPECT_THAT(driver.send("a CREATE inbox\r\n"), StartsWith("a NO [ALREADYEXISTS]"));
  EXPECT_EQ(driver.send("a RENAME Work Done\r\n"), "a OK Done\r\n");
  EXPECT_THAT(driver.send("a RENAME Work Done\r\n"), StartsWith("a NO [NONEXISTENT]"));
  EXPECT_THAT(driver.send("a RENAME Done INBOX\r\n"), StartsWith("a NO [ALREADYEXISTS]"));
  EXPECT_THAT(driver.send("a RENAME Done ../x\r\n"), StartsWith("a NO [CANNOT]"));
  EXPECT_TRUE(maildir().exists("Done"));
  EXPECT_EQ(driver.send("a DELETE Done\r\n"), "a OK Done\r\n");
  EXPECT_FALSE(maildir().exists("Done"));
  EXPECT_THAT(driver.send("a DELETE Done\r\n"), StartsWith("a NO [NONEXISTENT]"));
  EXPECT_THAT(driver.send("a DELETE INBOX\r\n"), StartsWith("a NO [CANNOT]"));
  for (const char* name : {"..", "../joe", "a/b", "\"a..b\"", ".hidden", "\"\"", "{3+}\r\na\tb"}) {
    EXPECT_THAT(driver.send("a CREATE " + std::string(name) + "\r\n"), StartsWith("a NO ")) << name;
  }
  EXPECT_THAT(driver.send("a CREATE\r\n"), StartsWith("a BAD "));
  EXPECT_THAT(driver.send("a CREATE a b\r\n"), StartsWith("a BAD "));
}

TEST_F(ImapFolders, RenamingTheInboxMovesItsMessages) {
  deliverNumbered(2);
  auto driver = selected();
  const auto said = driver.send("a RENAME INBOX Old\r\n");
  EXPECT_EQ(countOf(said, "EXPUNGE\r\n"), 2) << said;
  EXPECT_THAT(driver.send("a STATUS Old (MESSAGES)\r\n"), StartsWith("* STATUS Old (MESSAGES 2)\r\n"));
}

TEST_F(ImapFolders, WillNotTakeTheSelectedMailboxAway) {
  auto driver = loggedIn();
  driver.send("a CREATE Work.Old\r\na SELECT Work.Old\r\n");
  EXPECT_THAT(driver.send("a DELETE Work.Old\r\n"), StartsWith("a NO [INUSE]"));
  EXPECT_THAT(driver.send("a RENAME Work Play\r\n"), StartsWith("a NO [INUSE]"));
  EXPECT_EQ(driver.send("a UNSELECT\r\n"), "a OK Done\r\n");
  EXPECT_EQ(driver.send("a DELETE Work.Old\r\n"), "a OK Done\r\n");
}

TEST_F(ImapFolders, TellsStatus) {
  deliverNumbered(2);
  deliver("Subject: 3\r\n\r\n", mail::Flags{.seen = true});
  auto driver = loggedIn();
  const auto validity = std::to_string([&] {
    mail::Mailbox mailbox(*maildir().path("INBOX"));
    mailbox.scan(false);
    return mailbox.uidValidity();
  }());
  EXPECT_EQ(driver.send("a STATUS inbox (MESSAGES RECENT UIDNEXT UIDVALIDITY UNSEEN)\r\n"),
            "* STATUS INBOX (MESSAGES 3 RECENT 2 UIDNEXT 4 UIDVALIDITY " + validity + " UNSEEN 2)\r\na OK Done\r\n");
  EXPECT_THAT(driver.send("a STATUS Nowhere (MESSAGES)\r\n"), StartsWith("a NO [NONEXISTENT]"));
  for (const char* arguments : {"INBOX", "INBOX ()", "INBOX (MESSAGES", "INBOX (FOO)", "INBOX MESSAGES", ""}) {
    EXPECT_THAT(driver.send("a STATUS " + std::string(arguments) + "\r\n"), StartsWith("a BAD ")) << arguments;
  }
}

TEST_F(ImapFolders, SelectsWithEverythingAClientNeeds) {
  deliver("Subject: 1\r\n\r\n", mail::Flags{.seen = true});
  deliverNumbered(2);
  auto driver = loggedIn();
  const auto said = driver.send("a SELECT INBOX\r\n");
  EXPECT_THAT(said, AllOf(HasSubstr("* FLAGS (\\Answered \\Flagged \\Deleted \\Seen \\Draft)\r\n"),
                          HasSubstr("* 3 EXISTS\r\n"), HasSubstr("* 2 RECENT\r\n"), HasSubstr("* OK [UNSEEN 2] "),
                          HasSubstr("* OK [PERMANENTFLAGS (\\Answered \\Flagged \\Deleted \\Seen \\Draft)] "),
                          HasSubstr("* OK [UIDVALIDITY "), HasSubstr("* OK [UIDNEXT 4] ")));
  EXPECT_THAT(said, EndsWith("a OK [READ-WRITE] Done\r\n"));
  // \Recent belongs to the first who looks.
  EXPECT_THAT(selected().send("a EXAMINE INBOX\r\n"), HasSubstr("* 0 RECENT\r\n"));
}

TEST_F(ImapFolders, ExamineChangesNothing) {
  deliverNumbered(1);
  auto driver = loggedIn();
  const auto said = driver.send("a EXAMINE INBOX\r\n");
  EXPECT_THAT(said, AllOf(HasSubstr("* OK [PERMANENTFLAGS ()] "), HasSubstr("* 1 RECENT\r\n"),
                          EndsWith("a OK [READ-ONLY] Done\r\n")));
  EXPECT_THAT(driver.send("a STORE 1 +FLAGS (\\Deleted)\r\n"), StartsWith("a NO "));
  EXPECT_THAT(driver.send("a EXPUNGE\r\n"), StartsWith("a NO "));
  EXPECT_THAT(driver.send("a MOVE 1 INBOX\r\n"), StartsWith("a NO "));
  driver.send("a FETCH 1 BODY[]\r\n");
  EXPECT_THAT(driver.send("a FETCH 1 FLAGS\r\n"), StartsWith("* 1 FETCH (FLAGS (\\Recent))\r\n"));
  EXPECT_EQ(driver.send("a CLOSE\r\n"), "a OK Done\r\n");
  EXPECT_THAT(loggedIn().send("a SELECT INBOX\r\n"), HasSubstr("* 1 RECENT\r\n")) << "EXAMINE must not take \\Recent";
}

TEST_F(ImapFolders, AFailedSelectLeavesNothingSelected) {
  auto driver = selected();
  EXPECT_THAT(driver.send("a SELECT Nowhere\r\n"), StartsWith("a NO [NONEXISTENT]"));
  EXPECT_EQ(driver.send("a CHECK\r\n"), "a BAD Not in this state\r\n");
  EXPECT_THAT(driver.send("a SELECT ../joe\r\n"), StartsWith("a NO "));
  EXPECT_THAT(driver.send("a SELECT\r\n"), StartsWith("a BAD "));
}

TEST_F(ImapFolders, UidsAndUidValiditySurviveTheSession) {
  deliverNumbered(3);
  auto first = selected();
  first.send("a STORE 1 +FLAGS (\\Deleted)\r\na EXPUNGE\r\n");
  const auto before = first.send("a UID FETCH 1:* UID\r\n");
  EXPECT_EQ(before, "* 1 FETCH (UID 2)\r\n* 2 FETCH (UID 3)\r\na OK Done\r\n");
  auto second = loggedIn();
  const auto again = second.send("s SELECT INBOX\r\n");
  EXPECT_EQ(second.send("a UID FETCH 1:* UID\r\n"), before);
  auto third = loggedIn();
  const auto validity = [](const std::string& said) { return said.substr(said.find("UIDVALIDITY"), 24); };
  EXPECT_EQ(validity(third.send("s SELECT INBOX\r\n")), validity(again));
}

TEST_F(ImapFolders, AnswersNoWhenTheDiskFails) {
  deliverNumbered(1);
  auto driver = loggedIn();
  std::filesystem::remove_all(root_ / "jane" / "cur");
  support::write(root_ / "jane" / "cur", "no folder");
  EXPECT_THAT(driver.send("a SELECT INBOX\r\n"),
              EndsWith("a NO [UNAVAILABLE] The mail cannot be reached just now\r\n"));
  EXPECT_THAT(logged(), HasSubstr("imap.storage.failed"));
  EXPECT_EQ(driver.send("a NOOP\r\n"), "a OK Done\r\n");
}

}  // namespace
}  // namespace postern::imap
