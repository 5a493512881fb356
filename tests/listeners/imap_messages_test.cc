#include "tests/listeners/imap_fixture.h"

namespace postern::imap {
namespace {

class ImapMessages : public ImapTest {};

const mail::Flags deletedFlag{.deleted = true};

TEST_F(ImapMessages, StoresFlagsInEveryWay) {
  deliverNumbered(2);
  auto driver = selected();
  EXPECT_EQ(driver.send("a STORE 1 FLAGS (\\Seen \\Draft)\r\n"),
            "* 1 FETCH (UID 1 FLAGS (\\Seen \\Draft \\Recent))\r\na OK Done\r\n");
  EXPECT_EQ(driver.send("a STORE 1 +FLAGS \\Flagged\r\n"),
            "* 1 FETCH (UID 1 FLAGS (\\Flagged \\Seen \\Draft \\Recent))\r\na OK Done\r\n");
  EXPECT_EQ(driver.send("a UID STORE 1 -FLAGS (\\Seen \\Draft)\r\n"),
            "* 1 FETCH (UID 1 FLAGS (\\Flagged \\Recent))\r\na OK Done\r\n");
  EXPECT_EQ(driver.send("a STORE 1:2 +FLAGS.SILENT (\\Answered $Keyword)\r\n"), "a OK Done\r\n");
  EXPECT_EQ(driver.send("a FETCH 1:2 FLAGS\r\n"),
            "* 1 FETCH (FLAGS (\\Answered \\Flagged \\Recent))\r\n* 2 FETCH (FLAGS (\\Answered \\Recent))\r\n"
            "a OK Done\r\n");
  EXPECT_EQ(driver.send("a STORE 1 FLAGS ()\r\n"), "* 1 FETCH (UID 1 FLAGS (\\Recent))\r\na OK Done\r\n");
  for (const char* arguments : {"1", "1 FLAGS", "1 FLAG (\\Seen)", "1 +FLAGS (\\Seen", "x FLAGS ()", "0 FLAGS ()",
                                "1 FLAGS () x", "1 *FLAGS ()", "1:x FLAGS ()", "1, FLAGS ()"}) {
    EXPECT_THAT(selected().send("a STORE " + std::string(arguments) + "\r\n"), StartsWith("a BAD ")) << arguments;
  }
}

TEST_F(ImapMessages, FlagsSurviveASession) {
  deliverNumbered(1);
  selected().send("a STORE 1 FLAGS (\\Answered \\Flagged \\Deleted \\Seen \\Draft)\r\n");
  EXPECT_EQ(selected().send("a FETCH 1 FLAGS\r\n"),
            "* 1 FETCH (FLAGS (\\Answered \\Flagged \\Deleted \\Seen \\Draft))\r\na OK Done\r\n");
}

TEST_F(ImapMessages, ReadsSequenceSets) {
  deliverNumbered(5);
  auto driver = selected();
  const auto numbers = [&](const std::string& set) {
    const auto said = driver.send("a FETCH " + set + " UID\r\n");
    std::string result;
    for (int i = 1; i <= 5; ++i) {
      if (said.find("(UID " + std::to_string(i) + ")") != std::string::npos) result += std::to_string(i);
    }
    return result;
  };
  EXPECT_EQ(numbers("1"), "1");
  EXPECT_EQ(numbers("2:4"), "234");
  EXPECT_EQ(numbers("4:2"), "234");
  EXPECT_EQ(numbers("1,3,5"), "135");
  EXPECT_EQ(numbers("*"), "5");
  EXPECT_EQ(numbers("4:*"), "45");
  EXPECT_EQ(numbers("*:4,1,1:2"), "1245");
  // A number that no message has (RFC 3501 section 9, seq-number).
  EXPECT_EQ(driver.send("a FETCH 6 UID\r\n"), "a BAD There is no message of that number\r\n");
  EXPECT_EQ(driver.send("a FETCH 1:4294967295 UID\r\n"), "a BAD There is no message of that number\r\n");
  // UIDs may be any; "9:*" holds the last one.
  EXPECT_EQ(driver.send("a UID FETCH 6:4294967295 FLAGS\r\n"), "a OK Done\r\n");
  EXPECT_EQ(driver.send("a UID FETCH 9:* UID\r\n"), "* 5 FETCH (UID 5)\r\na OK Done\r\n");
  for (const char* set : {"4294967296", "99999999999999999999", "1:", ":1", "1,,2", "-1", "1.2"}) {
    EXPECT_THAT(driver.send("a FETCH " + std::string(set) + " UID\r\n"), StartsWith("a BAD Expected")) << set;
    driver.send("a NOOP\r\n");
  }
}

TEST_F(ImapMessages, AnEmptyMailboxMayBeAskedForAll) {
  EXPECT_EQ(selected().send("a FETCH 1:* FLAGS\r\n"), "a OK Done\r\n");
  EXPECT_EQ(selected().send("a UID FETCH 1:* FLAGS\r\n"), "a OK Done\r\n");
  EXPECT_EQ(selected().send("a SEARCH ALL\r\n"), "* SEARCH\r\na OK Done\r\n");
  EXPECT_EQ(selected().send("a EXPUNGE\r\n"), "a OK Done\r\n");
}

TEST_F(ImapMessages, ExpungeRenumbersAsItGoes) {
  deliverNumbered(11);
  auto driver = selected();
  driver.send("a STORE 3,4,7,11 +FLAGS.SILENT (\\Deleted)\r\n");
  // The example of RFC 3501 section 6.4.3.
  EXPECT_EQ(driver.send("A202 EXPUNGE\r\n"),
            "* 3 EXPUNGE\r\n* 3 EXPUNGE\r\n* 5 EXPUNGE\r\n* 8 EXPUNGE\r\nA202 OK Done\r\n");
  EXPECT_THAT(driver.send("a FETCH 3 (UID BODY.PEEK[HEADER.FIELDS (SUBJECT)])\r\n"),
              AllOf(HasSubstr("UID 5"), HasSubstr("Subject: 5")));
}

TEST_F(ImapMessages, UidExpungeTakesOnlyWhatItIsTold) {
  deliverNumbered(4);
  auto driver = selected();
  driver.send("a STORE 1,2,4 +FLAGS.SILENT (\\Deleted)\r\n");
  EXPECT_EQ(driver.send("a UID EXPUNGE 2:3\r\n"), "* 2 EXPUNGE\r\na OK Done\r\n");
  EXPECT_EQ(driver.send("a SEARCH ALL\r\n"), "* SEARCH 1 2 3\r\na OK Done\r\n");
  EXPECT_THAT(driver.send("a UID EXPUNGE\r\n"), StartsWith("a BAD "));
  EXPECT_EQ(driver.send("a CLOSE\r\n"), "a OK Done\r\n") << "CLOSE tells nothing";
  EXPECT_THAT(loggedIn().send("a STATUS INBOX (MESSAGES)\r\n"), HasSubstr("(MESSAGES 1)"));
}

TEST_F(ImapMessages, UnselectKeepsTheDeleted) {
  deliver("Subject: 1\r\n\r\n", deletedFlag);
  EXPECT_EQ(selected().send("a UNSELECT\r\n"), "a OK Done\r\n");
  EXPECT_THAT(loggedIn().send("a STATUS INBOX (MESSAGES)\r\n"), HasSubstr("(MESSAGES 1)"));
}

TEST_F(ImapMessages, CopiesWithFlagsDatesAndCopyUid) {
  deliver("Subject: 1\r\n\r\nbody\r\n", mail::Flags{.flagged = true}, "INBOX",
          std::chrono::sys_seconds(std::chrono::seconds(837596665)));
  deliverNumbered(1);
  auto driver = selected();
  EXPECT_THAT(driver.send("a COPY 1:2 Work\r\n"), StartsWith("a NO [TRYCREATE]"));
  driver.send("a CREATE Work\r\n");
  const auto said = driver.send("a UID COPY 1:2 Work\r\n");
  EXPECT_THAT(said, AllOf(StartsWith("a OK [COPYUID "), HasSubstr(" 1:2 1:2] ")));
  auto other = selected("Work");
  EXPECT_EQ(
      other.send("a FETCH 1 (FLAGS INTERNALDATE RFC822.SIZE)\r\n"),
      "* 1 FETCH (FLAGS (\\Flagged) INTERNALDATE \"17-Jul-1996 09:44:25 +0000\" RFC822.SIZE 20)\r\na OK Done\r\n");
  EXPECT_THAT(driver.send("a COPY 9 Work\r\n"), StartsWith("a BAD "));
  EXPECT_EQ(driver.send("a UID COPY 9:10 Work\r\n"), "a OK Done\r\n");
  EXPECT_THAT(driver.send("a COPY 1\r\n"), StartsWith("a BAD "));
}

TEST_F(ImapMessages, CopyIntoTheSelectedMailboxShowsTheCopy) {
  deliverNumbered(1);
  EXPECT_THAT(selected().send("a COPY 1 INBOX\r\n"), AllOf(StartsWith("* 2 EXISTS\r\n"), HasSubstr("a OK [COPYUID ")));
}

TEST_F(ImapMessages, MovesWithCopyUidBeforeExpunge) {
  deliverNumbered(3);
  auto driver = selected();
  driver.send("a CREATE Trash\r\n");
  EXPECT_THAT(driver.send("a MOVE 1,3 Trash\r\n"),
              AllOf(StartsWith("* OK [COPYUID "), HasSubstr(" 1,3 1:2] Moved\r\n* 1 EXPUNGE\r\n* 2 EXPUNGE\r\n"),
                    EndsWith("a OK Done\r\n")));
  EXPECT_THAT(driver.send("a UID MOVE 2 Trash\r\n"), HasSubstr("* 1 EXPUNGE\r\n"));
  EXPECT_THAT(driver.send("a STATUS Trash (MESSAGES)\r\n"), HasSubstr("(MESSAGES 3)"));
  EXPECT_THAT(driver.send("a STATUS INBOX (MESSAGES)\r\n"), HasSubstr("(MESSAGES 0)"));
}

TEST_F(ImapMessages, AppendsWithFlagsDateAndAppendUid) {
  auto driver = selected();
  const std::string message = "Subject: hello\r\n\r\nline\r\n";
  EXPECT_EQ(driver.send("a APPEND INBOX (\\Seen) \"17-Jul-1996 02:44:25 -0700\" {24}\r\n"), "+ Go on\r\n");
  const auto said = driver.send(message + "\r\n");
  EXPECT_THAT(said, AllOf(StartsWith("* 1 EXISTS\r\n"), HasSubstr("a OK [APPENDUID "), EndsWith(" 1] Done\r\n")));
  EXPECT_EQ(driver.send("a FETCH 1 (FLAGS INTERNALDATE BODY.PEEK[])\r\n"),
            "* 1 FETCH (FLAGS (\\Seen) INTERNALDATE \"17-Jul-1996 09:44:25 +0000\" BODY[] {24}\r\n" + message +
                ")\r\na OK Done\r\n");
  EXPECT_THAT(driver.send("a APPEND \"inbox\" " + literalPlus(message) + "\r\nb NOOP\r\n"),
              AllOf(HasSubstr(" 2] Done\r\n"), EndsWith("b OK Done\r\n")));
  EXPECT_THAT(driver.send("a APPEND " + literalPlus("INBOX") + " " + literalPlus(message) + "\r\n"),
              HasSubstr(" 3] Done\r\n"));
}

TEST_F(ImapMessages, AppendsCutAtEveryByte) {
  const std::string command = "a APPEND INBOX () " + literalPlus("Subject: x\r\n\r\na\r\nb") + "\r\nb NOOP\r\n";
  for (std::size_t cut = 1; cut < command.size(); ++cut) {
    auto driver = loggedIn();
    auto said = driver.send(command.substr(0, cut));
    said += driver.send(command.substr(cut));
    EXPECT_THAT(said, AllOf(StartsWith("a OK [APPENDUID "), EndsWith("b OK Done\r\n"))) << "cut at " << cut;
  }
  auto driver = selected();
  EXPECT_EQ(countOf(driver.send("a FETCH 1:* BODY.PEEK[TEXT]\r\n"), "BODY[TEXT] {4}\r\na\r\nb)\r\n"),
            static_cast<int>(command.size()) - 1);
}

TEST_F(ImapMessages, RefusesAppendsBeforeTheMessageIsSent) {
  auto driver = loggedIn();
  EXPECT_THAT(driver.send("a APPEND Nowhere {10}\r\n"), StartsWith("a NO [TRYCREATE]"));
  EXPECT_EQ(driver.send("b NOOP\r\n"), "b OK Done\r\n");
  EXPECT_THAT(driver.send("a APPEND INBOX {52428801}\r\n"), StartsWith("a NO [TOOBIG]"));
  EXPECT_EQ(driver.send("b NOOP\r\n"), "b OK Done\r\n");
  // What is sent all the same is passed over, not obeyed.
  EXPECT_THAT(driver.send("a APPEND Nowhere " + literalPlus("c LOGOUT\r\n") + "\r\nb NOOP\r\n"),
              AllOf(StartsWith("a NO [TRYCREATE]"), EndsWith("b OK Done\r\n")));
  for (const char* arguments : {"INBOX", "INBOX ()", "INBOX (\\Seen {4+}\r\nx  y", "INBOX \"yesterday\" {4+}\r\nx  y",
                                "INBOX \"32-Jul-1996 02:44:25 -0700\" {4+}\r\nx  y"}) {
    EXPECT_THAT(driver.send("a APPEND " + std::string(arguments) + "\r\n"), StartsWith("a BAD ")) << arguments;
  }
  EXPECT_THAT(driver.send("a APPEND INBOX {52428801+}\r\n"), StartsWith("* BYE [TOOBIG]"));
  EXPECT_TRUE(driver.closed());
}

TEST_F(ImapMessages, TakesOneMessageAnAppendAndNoSecondForCommands) {
  auto driver = loggedIn();
  EXPECT_EQ(driver.send("a APPEND INBOX {1}\r\n"), "+ Go on\r\n");
  EXPECT_THAT(driver.send("x {1}\r\n"), StartsWith("a BAD "));
  EXPECT_EQ(driver.send("b NOOP\r\n"), "b OK Done\r\n");
  EXPECT_THAT(driver.send("a APPEND INBOX {1+}\r\nx {10+}\r\nc LOGOUT\r\n"),
              AllOf(HasSubstr("* BYE "), Not(HasSubstr("c OK"))));
  EXPECT_TRUE(driver.closed());
  EXPECT_THAT(loggedIn().send("a STATUS INBOX (MESSAGES)\r\n"), HasSubstr("(MESSAGES 0)"));
}

TEST_F(ImapMessages, WritesALargeAppendToDiskAsItComes) {
  auto driver = loggedIn();
  const std::size_t size = 5 << 20;
  EXPECT_EQ(driver.send("a APPEND INBOX {" + std::to_string(size) + "}\r\n"), "+ Go on\r\n");
  const int worksBefore = driver.works();
  const std::string line = "0123456789012345678901234567890123456789012345678901234567890\r\n\r";
  std::string piece;
  while (piece.size() < 16384) piece += line;
  piece.resize(16384);
  for (std::size_t sent = 0; sent < size; sent += piece.size()) EXPECT_EQ(driver.send(piece), "");
  EXPECT_GE(driver.works() - worksBefore, 20);
  EXPECT_EQ(support::entriesIn(root_ / "jane" / "tmp"), 1U);
  EXPECT_THAT(driver.send("\r\n"), StartsWith("a OK [APPENDUID "));
  EXPECT_EQ(support::entriesIn(root_ / "jane" / "tmp"), 0U);
}

TEST_F(ImapMessages, AnUnfinishedAppendLeavesNothing) {
  {
    auto driver = loggedIn();
    driver.send("a APPEND INBOX {1000}\r\nhalf");
  }
  EXPECT_EQ(support::entriesIn(root_ / "jane" / "tmp"), 0U);
  EXPECT_EQ(support::entriesIn(root_ / "jane" / "new"), 0U);
}

TEST_F(ImapMessages, IdleTellsOfMailAsItComes) {
  auto driver = selected();
  EXPECT_EQ(driver.send("a IDLE\r\n"), "+ idling\r\n");
  EXPECT_TRUE(driver.awaitsWake());
  EXPECT_EQ(driver.wake(), "");
  EXPECT_TRUE(driver.awaitsWake());
  deliverNumbered(1);
  EXPECT_EQ(driver.wake(), "* 1 EXISTS\r\n* 1 RECENT\r\n");
  auto other = selected();
  other.send("a STORE 1 +FLAGS (\\Seen)\r\n");
  EXPECT_EQ(driver.wake(), "* 1 FETCH (UID 1 FLAGS (\\Seen \\Recent))\r\n");
  other.send("a STORE 1 +FLAGS (\\Deleted)\r\na EXPUNGE\r\n");
  EXPECT_THAT(driver.wake(), EndsWith("* 1 EXPUNGE\r\n"));
  EXPECT_EQ(driver.sendBytewise("DON"), "");
  EXPECT_TRUE(driver.awaitsWake()) << "half a line must not stop the looking";
  EXPECT_EQ(driver.send("E\r\n"), "a OK Done\r\n");
  EXPECT_FALSE(driver.awaitsWake());
  EXPECT_EQ(driver.send("b IDLE\r\nb NOOP\r\n"), "+ idling\r\nb BAD Expected DONE\r\n");
  EXPECT_EQ(driver.send("c IDLE\r\ndone\r\nd NOOP\r\n"), "+ idling\r\nc OK Done\r\nd OK Done\r\n");
  EXPECT_EQ(loggedIn().send("a IDLE\r\nDONE\r\n"), "+ idling\r\na OK Done\r\n") << "also with nothing selected";
}

TEST_F(ImapMessages, TwoSessionsSeeEachOthersChanges) {
  deliverNumbered(3);
  auto one = selected(), two = selected();
  one.send("a STORE 1 +FLAGS (\\Flagged)\r\n");
  two.send("a STORE 1 +FLAGS (\\Seen)\r\n");  // keeps what the other has set
  EXPECT_THAT(one.send("a NOOP\r\n"), HasSubstr("* 1 FETCH (UID 1 FLAGS (\\Flagged \\Seen"));
  one.send("a STORE 2 +FLAGS (\\Deleted)\r\na EXPUNGE\r\n");
  // Sequence numbers must not change under these three (RFC 3501 section 7.4.1).
  for (const char* command : {"FETCH 3 UID", "STORE 3 FLAGS ()", "SEARCH ALL"}) {
    const auto said = two.send("a " + std::string(command) + "\r\n");
    EXPECT_THAT(said, AllOf(Not(HasSubstr("EXPUNGE")), HasSubstr("a OK "))) << command;
  }
  EXPECT_THAT(two.send("a FETCH 3 BODY.PEEK[HEADER]\r\n"), HasSubstr("Subject: 3"));
  EXPECT_EQ(two.send("a FETCH 2 BODY.PEEK[]\r\n"), "a NO [EXPUNGEISSUED] Some of the messages are gone\r\n");
  EXPECT_EQ(two.send("a STORE 2 +FLAGS (\\Seen)\r\n"), "a NO [EXPUNGEISSUED] Some of the messages are gone\r\n");
  two.send("a CREATE Work\r\n");
  EXPECT_EQ(two.send("a UID COPY 1:3 Work\r\n"),
            "* 2 EXPUNGE\r\na NO [EXPUNGEISSUED] Some of the messages are gone\r\n");
  EXPECT_THAT(two.send("a STATUS Work (MESSAGES)\r\n"), HasSubstr("(MESSAGES 0)")) << "all or nothing";
  EXPECT_THAT(two.send("a FETCH 2 BODY.PEEK[HEADER]\r\n"), HasSubstr("Subject: 3"));
  one.send("a STORE 1 +FLAGS (\\Deleted)\r\na EXPUNGE\r\n");
  EXPECT_EQ(two.send("a NOOP\r\n"), "* 1 EXPUNGE\r\na OK Done\r\n");
}

TEST_F(ImapMessages, SearchAndFetchNoticeNewMail) {
  auto driver = selected();
  deliverNumbered(1);
  EXPECT_EQ(driver.send("a SEARCH UNSEEN\r\n"), "* 1 EXISTS\r\n* 1 RECENT\r\n* SEARCH 1\r\na OK Done\r\n");
  deliverNumbered(1);
  EXPECT_THAT(driver.send("a UID FETCH 2:* UID\r\n"), HasSubstr("* 2 FETCH (UID 2)\r\n"));
}

TEST_F(ImapMessages, EndsWhenTheMailboxWasReplaced) {
  loggedIn().send("a CREATE Work\r\n");
  auto driver = selected("Work");
  auto other = loggedIn();
  EXPECT_THAT(other.send("a DELETE Work\r\na CREATE Work\r\n"), EndsWith("a OK Done\r\n"));
  EXPECT_THAT(driver.send("a NOOP\r\n"), HasSubstr("* BYE "));
  EXPECT_TRUE(driver.closed());
}

TEST_F(ImapMessages, AnswersManyPipelinedCommandsInOrder) {
  deliverNumbered(1);
  auto driver = selected();
  std::string commands, answers;
  for (int i = 0; i < 300; ++i) {
    commands += "t" + std::to_string(i) + (i % 2 ? " NOOP\r\n" : " FETCH 1 UID\r\n");
    answers += std::string(i % 2 ? "" : "* 1 FETCH (UID 1)\r\n") + "t" + std::to_string(i) + " OK Done\r\n";
  }
  EXPECT_EQ(driver.send(commands), answers);
}

TEST_F(ImapMessages, LetsAnswersLeaveBeforeItMakesMore) {
  const auto session = std::make_shared<Session>(std::make_shared<const listeners::ListenerSettings>(settings_),
                                                 listeners::Peer{}, nullptr, root_, log_);
  Driver(session).startEncrypted();
  std::string commands, said;
  for (int i = 0; i < 5000; ++i) commands += "a CAPABILITY\r\n";
  int steps = 1;
  for (auto step = session->received(commands);; step = session->resumed(), ++steps) {
    EXPECT_LE(step.reply.size(), 300U << 10);
    said += step.reply;
    if (!step.work) break;
    step.work();
  }
  EXPECT_GT(steps, 1);
  EXPECT_EQ(countOf(said, "a OK Done\r\n"), 5000);
}

}  // namespace
}  // namespace postern::imap
