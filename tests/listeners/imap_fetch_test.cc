#include "tests/listeners/imap_fixture.h"

namespace postern::imap {
namespace {

class ImapFetch : public ImapTest {
 protected:
  // The answer to a FETCH of the only message, without "* 1 FETCH (" and its end.
  std::string fetched(const std::string& items, const std::string& message) {
    for (const auto& entry : std::filesystem::recursive_directory_iterator(temporary_.path())) {
      if (entry.path().parent_path().filename() == "cur") std::filesystem::remove(entry.path());
    }
    deliver(message, mail::Flags{.seen = true});
    auto driver = selected();
    const std::string said = driver.send("a FETCH 1 " + items + "\r\n");
    const std::string begin = "* 1 FETCH (", end = ")\r\na OK Done\r\n";
    if (!said.starts_with(begin) || !said.ends_with(end)) return said;
    return said.substr(begin.size(), said.size() - begin.size() - end.size());
  }
};

const std::string simple =
    "Date: Wed, 17 Jul 1996 02:23:25 -0700 (PDT)\r\n"
    "From: Terry Gray <gray@cac.washington.edu>\r\n"
    "Subject: IMAP4rev1 WG mtg summary\r\n and minutes\r\n"
    "To: imap@cac.washington.edu\r\n"
    "cc: minutes@CNRI.Reston.VA.US, John Klensin <KLENSIN@MIT.EDU>\r\n"
    "Message-Id: <B27397-0100000@cac.washington.edu>\r\n"
    "\r\n"
    "One\r\nTwo\r\n";

const std::string mixed =
    "Subject: outer\r\nMIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=\"out er\"\r\n\r\n"
    "preamble\r\n"
    "--out er\r\n"
    "Content-Type: multipart/alternative; boundary=alt\r\n\r\n"
    "--alt\r\nContent-Type: text/plain; charset=utf-8\r\n\r\nplain\r\ntext\r\n"
    "--alt  \r\nContent-Type: text/html\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n<p>=20</p>\r\n\r\n"
    "--alt--\r\n"
    "--out er\r\n"
    "Content-Type: message/rfc822\r\nContent-Description: forwarded\r\n\r\n"
    "From: inner@example.org\r\nSubject: inner\r\nContent-Type: multipart/mixed; boundary=in\r\n\r\n"
    "--in\r\n\r\nfirst\r\n--in\r\nContent-Type: text/x-c\r\nX-A: b\r\n\r\nint i;\r\n--in--\r\n"
    "\r\n--out er\r\n"
    "Content-Type: image/png; name=a.png\r\nContent-Transfer-Encoding: base64\r\nContent-ID: <p@x>\r\n"
    "Content-Disposition: attachment; filename*=utf-8''%C3%A9.png\r\nContent-Language: de, en\r\n"
    "Content-MD5: Q2hlY2sgSW50ZWdyaXR5IQ==\r\nContent-Location: http://x/\r\n\r\n"
    "iVBORw0KGgo=\r\n"
    "--out er--\r\n"
    "epilogue\r\n";

TEST_F(ImapFetch, TellsTheEnvelopeOfTheStandardsExample) {
  EXPECT_EQ(fetched("ENVELOPE", simple),
            "ENVELOPE (\"Wed, 17 Jul 1996 02:23:25 -0700 (PDT)\" \"IMAP4rev1 WG mtg summary and minutes\" "
            "((\"Terry Gray\" NIL \"gray\" \"cac.washington.edu\")) "
            "((\"Terry Gray\" NIL \"gray\" \"cac.washington.edu\")) "
            "((\"Terry Gray\" NIL \"gray\" \"cac.washington.edu\")) "
            "((NIL NIL \"imap\" \"cac.washington.edu\")) "
            "((NIL NIL \"minutes\" \"CNRI.Reston.VA.US\")(\"John Klensin\" NIL \"KLENSIN\" \"MIT.EDU\")) NIL NIL "
            "\"<B27397-0100000@cac.washington.edu>\")");
}

TEST_F(ImapFetch, TellsGroupsEncodedNamesAndNothing) {
  EXPECT_EQ(fetched("ENVELOPE",
                    "From: =?utf-8?q?J=C3=BCrgen?= <j@x.org>\r\nTo: Team: a@x.org, b@x.org;\r\n"
                    "Sender: s@x.org\r\nReply-To:\r\nIn-Reply-To: <1@x>\r\nSubject: a \"b\" \\c\r\n\r\n"),
            "ENVELOPE (NIL \"a \\\"b\\\" \\\\c\" ((\"=?UTF-8?b?SsO8cmdlbg==?=\" NIL \"j\" \"x.org\")) "
            "((NIL NIL \"s\" \"x.org\")) ((\"=?UTF-8?b?SsO8cmdlbg==?=\" NIL \"j\" \"x.org\")) "
            "((NIL NIL \"Team\" NIL)(NIL NIL \"a\" \"x.org\")(NIL NIL \"b\" \"x.org\")(NIL NIL NIL NIL)) "
            "NIL NIL \"<1@x>\" NIL)");
  EXPECT_EQ(fetched("ENVELOPE", "\r\nno header\r\n"), "ENVELOPE (NIL NIL NIL NIL NIL NIL NIL NIL NIL NIL)");
  EXPECT_EQ(fetched("ENVELOPE", "Subject: caf\xc3\xa9\r\n\r\n"),
            "ENVELOPE (NIL {5}\r\ncaf\xc3\xa9 NIL NIL NIL NIL NIL NIL NIL NIL)");
}

TEST_F(ImapFetch, TellsTheStructureOfASimpleMessage) {
  EXPECT_EQ(fetched("BODY", simple), "BODY (\"text\" \"plain\" (\"charset\" \"us-ascii\") NIL NIL \"7bit\" 10 2)");
  EXPECT_EQ(fetched("BODYSTRUCTURE", simple),
            "BODYSTRUCTURE (\"text\" \"plain\" (\"charset\" \"us-ascii\") NIL NIL \"7bit\" 10 2 NIL NIL NIL NIL)");
}

TEST_F(ImapFetch, TellsTheStructureOfNestedParts) {
  const std::string alternative =
      "((\"text\" \"plain\" (\"charset\" \"utf-8\") NIL NIL \"7bit\" 11 2 NIL NIL NIL NIL)"
      "(\"text\" \"html\" NIL NIL NIL \"quoted-printable\" 12 1 NIL NIL NIL NIL) \"alternative\" "
      "(\"boundary\" \"alt\") NIL NIL NIL)";
  const std::string inner =
      "((\"text\" \"plain\" (\"charset\" \"us-ascii\") NIL NIL \"7bit\" 5 1 NIL NIL NIL NIL)"
      "(\"text\" \"x-c\" NIL NIL NIL \"7bit\" 6 1 NIL NIL NIL NIL) \"mixed\" (\"boundary\" \"in\") NIL NIL NIL)";
  const std::string address = "((NIL NIL \"inner\" \"example.org\"))";
  const std::string message = "(\"message\" \"rfc822\" NIL NIL \"forwarded\" \"7bit\" 158 (NIL \"inner\" " + address +
                              " " + address + " " + address + " NIL NIL NIL NIL NIL) " + inner + " 13 NIL NIL NIL NIL)";
  const std::string image =
      "(\"image\" \"png\" (\"name\" \"a.png\") \"<p@x>\" NIL \"base64\" 12 \"Q2hlY2sgSW50ZWdyaXR5IQ==\" "
      "(\"attachment\" (\"filename*\" \"utf-8''%C3%A9.png\")) (\"de\" \"en\") \"http://x/\")";
  EXPECT_EQ(fetched("BODYSTRUCTURE", mixed),
            "BODYSTRUCTURE (" + alternative + message + image + " \"mixed\" (\"boundary\" \"out er\") NIL NIL NIL)");
}

TEST_F(ImapFetch, LeavesExtensionDataOutOfBody) {
  EXPECT_EQ(fetched("BODY",
                    "Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\nContent-Type: image/gif\r\n"
                    "Content-Disposition: inline\r\n\r\nGIF\r\n--b--\r\n"),
            "BODY ((\"image\" \"gif\" NIL NIL NIL \"7bit\" 3) \"mixed\")");
}

TEST_F(ImapFetch, GivesEverySectionToTheOctet) {
  const auto section = [&](const std::string& name) {
    const auto said = fetched("BODY[" + name + "]", mixed);
    const auto label = "BODY[" + name + "] ";
    return said.starts_with(label) ? said.substr(label.size()) : said;
  };
  EXPECT_EQ(section(""), literal(mixed));
  EXPECT_EQ(section("HEADER"), literal(mixed.substr(0, mixed.find("preamble"))));
  EXPECT_EQ(section("TEXT"), literal(mixed.substr(mixed.find("preamble"))));
  EXPECT_EQ(section("HEADER.FIELDS (subject X-None)"), literal("Subject: outer\r\n\r\n"));
  EXPECT_EQ(section("HEADER.FIELDS.NOT (Subject Content-Type)"), literal("MIME-Version: 1.0\r\n\r\n"));
  EXPECT_EQ(section("1.MIME"), literal("Content-Type: multipart/alternative; boundary=alt\r\n\r\n"));
  EXPECT_EQ(section("1.1"), literal("plain\r\ntext"));
  EXPECT_EQ(section("1.2"), literal("<p>=20</p>\r\n"));
  EXPECT_EQ(section("1.2.MIME"),
            literal("Content-Type: text/html\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n"));
  const auto innerAt = mixed.find("From: inner"), innerEnd = mixed.find("--in--\r\n") + 8;
  const auto inner = mixed.substr(innerAt, innerEnd - innerAt);
  EXPECT_EQ(section("2"), literal(inner));
  EXPECT_EQ(section("2.HEADER"), literal(inner.substr(0, inner.find("--in"))));
  EXPECT_EQ(section("2.TEXT"), literal(inner.substr(inner.find("--in"))));
  EXPECT_EQ(section("2.HEADER.FIELDS (From)"), literal("From: inner@example.org\r\n\r\n"));
  EXPECT_EQ(section("2.1"), literal("first"));
  EXPECT_EQ(section("2.1.MIME"), literal("\r\n"));
  EXPECT_EQ(section("2.2"), literal("int i;"));
  EXPECT_EQ(section("2.2.MIME"), literal("Content-Type: text/x-c\r\nX-A: b\r\n\r\n"));
  EXPECT_EQ(section("3"), literal("iVBORw0KGgo="));
  for (const char* none : {"4", "1.3", "2.3", "3.1", "1.1.1", "1.HEADER", "3.TEXT", "2.1.1", "4294967295"}) {
    EXPECT_EQ(section(none), "NIL") << none;
  }
}

TEST_F(ImapFetch, NumbersTheOnlyPartOfAMessageOne) {
  EXPECT_EQ(fetched("BODY[1]", simple), "BODY[1] {10}\r\nOne\r\nTwo\r\n");
  EXPECT_EQ(fetched("BODY[1.1]", simple), "BODY[1.1] NIL");
  EXPECT_EQ(fetched("BODY[2]", simple), "BODY[2] NIL");
}

TEST_F(ImapFetch, CutsPartialOctets) {
  EXPECT_EQ(fetched("BODY[TEXT]<0.3>", simple), "BODY[TEXT]<0> {3}\r\nOne");
  EXPECT_EQ(fetched("BODY.PEEK[TEXT]<5.100>", simple), "BODY[TEXT]<5> {5}\r\nTwo\r\n");
  EXPECT_EQ(fetched("BODY[TEXT]<10.1>", simple), "BODY[TEXT]<10> {0}\r\n");
  EXPECT_EQ(fetched("BODY[TEXT]<4294967295.4294967295>", simple), "BODY[TEXT]<4294967295> {0}\r\n");
  EXPECT_EQ(fetched("BODY[HEADER.FIELDS (To)]<4.4>", simple), "BODY[HEADER.FIELDS (To)]<4> {4}\r\nimap");
}

TEST_F(ImapFetch, KnowsTheOldNamesAndTheMacros) {
  EXPECT_EQ(fetched("RFC822", simple), "RFC822 " + literal(simple));
  EXPECT_EQ(fetched("RFC822.TEXT", simple), "RFC822.TEXT " + literal("One\r\nTwo\r\n"));
  EXPECT_EQ(fetched("RFC822.HEADER", simple), "RFC822.HEADER " + literal(simple.substr(0, simple.size() - 10)));
  EXPECT_EQ(fetched("RFC822.SIZE", simple), "RFC822.SIZE " + std::to_string(simple.size()));
  EXPECT_THAT(fetched("FAST", simple), AllOf(StartsWith("FLAGS (\\Seen) INTERNALDATE \""), HasSubstr("RFC822.SIZE")));
  EXPECT_THAT(fetched("all", simple), AllOf(HasSubstr("RFC822.SIZE"), HasSubstr("ENVELOPE ("), Not(HasSubstr("BODY"))));
  EXPECT_THAT(fetched("FULL", simple), AllOf(HasSubstr("ENVELOPE ("), HasSubstr("BODY (")));
  EXPECT_THAT(fetched("(UID FLAGS)", simple), HasSubstr("FLAGS (\\Seen)"));
}

TEST_F(ImapFetch, CountsLineFeedsOnDiskAsCrlf) {
  EXPECT_EQ(fetched("(RFC822.SIZE BODY[])", "Subject: x\n\na\nb\n"),
            "RFC822.SIZE 20 BODY[] {20}\r\nSubject: x\r\n\r\na\r\nb\r\n");
}

TEST_F(ImapFetch, SetsSeenUnlessItPeeks) {
  deliver(simple);
  auto driver = selected();
  for (const char* items : {"BODY.PEEK[]", "RFC822.HEADER", "ENVELOPE", "BODY", "BODYSTRUCTURE", "RFC822.SIZE"}) {
    EXPECT_THAT(driver.send("a FETCH 1 " + std::string(items) + "\r\n"), Not(HasSubstr("Seen"))) << items;
  }
  EXPECT_THAT(driver.send("a FETCH 1 BODY[TEXT]\r\n"),
              EndsWith("One\r\nTwo\r\n FLAGS (\\Seen \\Recent))\r\na OK Done\r\n"));
  EXPECT_THAT(driver.send("a FETCH 1 BODY[TEXT]\r\n"), Not(HasSubstr("FLAGS")));
  for (const char* items : {"RFC822", "RFC822.TEXT", "(FLAGS BODY[1])"}) {
    driver.send("a STORE 1 FLAGS ()\r\n");
    EXPECT_EQ(countOf(driver.send("a FETCH 1 " + std::string(items) + "\r\n"), "FLAGS (\\Seen \\Recent)"), 1) << items;
  }
  EXPECT_THAT(selected().send("a FETCH 1 FLAGS\r\n"), HasSubstr("FLAGS (\\Seen)"));
}

TEST_F(ImapFetch, MarkingSeenKeepsWhatAnotherSessionHasSet) {
  deliver(simple);
  auto one = selected(), two = selected();
  one.send("a STORE 1 FLAGS (\\Flagged)\r\n");
  two.send("a FETCH 1 BODY[]\r\n");
  EXPECT_THAT(selected().send("a FETCH 1 FLAGS\r\n"), HasSubstr("FLAGS (\\Flagged \\Seen)"));
}

TEST_F(ImapFetch, AnswersWithTheUidInTheUidForm) {
  deliver(simple);
  EXPECT_EQ(selected().send("a UID FETCH 1 RFC822.SIZE\r\n"),
            "* 1 FETCH (UID 1 RFC822.SIZE " + std::to_string(simple.size()) + ")\r\na OK Done\r\n");
  EXPECT_EQ(countOf(selected().send("a UID FETCH 1 (UID FLAGS UID)\r\n"), "UID 1"), 1);
}

TEST_F(ImapFetch, SaysALargeAnswerInPieces) {
  const std::string big = "Subject: big\r\n\r\n" + std::string(3 << 20, 'x') + "\r\n";
  deliver(big);
  deliver(big);
  const auto session = std::make_shared<Session>(
      std::make_shared<const listeners::ListenerSettings>(settings_), listeners::Peer{},
      std::make_shared<mail::Accounts>(std::vector<mail::Account>{{"jane", Secret("secret"), {}}}), root_, log_);
  Driver driver(session);
  driver.startEncrypted();
  driver.send("a LOGIN jane secret\r\na SELECT INBOX\r\n");
  std::string said;
  int pieces = 0;
  for (auto step = session->received("b FETCH 1:2 BODY[]\r\nc NOOP\r\n");; step = session->resumed()) {
    EXPECT_LE(step.reply.size(), 300U << 10);
    said += step.reply;
    pieces += step.reply.empty() ? 0 : 1;
    if (!step.work) break;
    step.work();
  }
  EXPECT_GE(pieces, 24);
  const std::string flags = " FLAGS (\\Seen \\Recent))\r\n";
  EXPECT_TRUE(said == "* 1 FETCH (BODY[] " + literal(big) + flags + "* 2 FETCH (BODY[] " + literal(big) + flags +
                          "b OK Done\r\nc OK Done\r\n");
}

TEST_F(ImapFetch, RefusesWhatIsNoItem) {
  deliver(simple);
  for (const char* items : {"",
                            "FOO",
                            "()",
                            "(FLAGS",
                            "FLAGS)",
                            "(FLAGS UID",
                            "FLAGS UID",
                            "(FAST)",
                            "FAST UID",
                            "BODY[",
                            "BODY[FOO]",
                            "BODY[MIME]",
                            "BODY[0]",
                            "BODY[1.]",
                            "BODY[1..2]",
                            "BODY[HEADER.FIELDS]",
                            "BODY[HEADER.FIELDS ()]",
                            "BODY[HEADER.FIELDS (a]",
                            "BODY[TEXT]<0>",
                            "BODY[TEXT]<0.0>",
                            "BODY[TEXT]<-1.5>",
                            "BODY[TEXT]<0.4294967296>",
                            "BODY.PEEK",
                            "RFC822.PEEK",
                            "BODY[99999999999999999999]",
                            "(FLAGS  UID)"}) {
    EXPECT_THAT(selected().send("a FETCH 1 " + std::string(items) + "\r\n"), StartsWith("a BAD ")) << items;
  }
  std::string deep = "1", many = "(FLAGS";
  for (int i = 0; i < 2000; ++i) deep += ".1";
  for (int i = 1; i < 2000; ++i) many += " BODY[" + std::to_string(i) + "]";
  EXPECT_THAT(selected().send("a FETCH 1 BODY[" + deep + "]\r\n"), StartsWith("a BAD "));
  EXPECT_THAT(selected().send("a FETCH 1 " + many + ")\r\n"), StartsWith("a BAD "));
}

TEST_F(ImapFetch, SurvivesBrokenMime) {
  const std::string none = "(\"text\" \"plain\" NIL NIL NIL \"7bit\" 0 0)";
  // No boundary, no delimiter, no end.
  EXPECT_EQ(fetched("BODY", "Content-Type: multipart/mixed\r\n\r\nx\r\n"), "BODY (" + none + " \"mixed\")");
  EXPECT_EQ(fetched("BODY", "Content-Type: multipart/mixed; boundary=b\r\n\r\nx\r\n"), "BODY (" + none + " \"mixed\")");
  EXPECT_EQ(fetched("BODY[1]", "Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\nopen\r\n"),
            "BODY[1] {6}\r\nopen\r\n");
  EXPECT_EQ(fetched("BODY[1]", "Content-Type: multipart/mixed; boundary=b\r\n\r\n--bb\r\n--b\r\n\r\n--bc\r\n--b--\r\n"),
            "BODY[1] {4}\r\n--bc");
  EXPECT_THAT(fetched("BODY", "Content-Type: ;;;\r\n\r\nx"), StartsWith("BODY (\"text\" \"plain\""));
  EXPECT_THAT(fetched("BODY", "Content-Type: message/rfc822\r\n\r\n"), StartsWith("BODY (\"message\" \"rfc822\""));
  EXPECT_EQ(
      fetched("BODY", "Content-Type: multipart/digest; boundary=b\r\n\r\n--b\r\n\r\nSubject: d\r\n\r\nx\r\n--b--"),
      "BODY ((\"message\" \"rfc822\" NIL NIL NIL \"7bit\" 15 (NIL \"d\" NIL NIL NIL NIL NIL NIL NIL NIL) (\"text\" "
      "\"plain\" (\"charset\" \"us-ascii\") NIL NIL \"7bit\" 1 1) 3) \"digest\")");
}

TEST_F(ImapFetch, BoundsDepthAndNumberOfParts) {
  std::string deep, wide = "Content-Type: multipart/mixed; boundary=b\r\n\r\n";
  for (int i = 0; i < 3000; ++i) deep += "Content-Type: message/rfc822\r\n\r\n";
  for (int i = 0; i < 20000; ++i) wide += "--b\r\n\r\nx\r\n";
  EXPECT_LT(countOf(fetched("BODYSTRUCTURE", deep), "rfc822"), 40);
  EXPECT_EQ(countOf(fetched("BODYSTRUCTURE", wide), "plain"), 2000);
  std::string nested;
  for (int i = 0; i < 500; ++i) {
    const auto n = std::to_string(i);
    nested += "Content-Type: multipart/mixed; boundary=b" + n + "\r\n\r\n--b" + n + "\r\n";
  }
  EXPECT_LT(countOf(fetched("BODYSTRUCTURE", nested), "mixed"), 40);
}

}  // namespace
}  // namespace postern::imap
