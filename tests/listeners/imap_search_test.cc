#include "tests/listeners/imap_fixture.h"

namespace postern::imap {
namespace {

class ImapSearch : public ImapTest {
 protected:
  ImapSearch() {
    const auto at = [](int days) { return std::chrono::sys_seconds(std::chrono::days(days)); };
    // 1: 1 March 2026, seen and answered, in ISO-8859-1 and quoted-printable
    deliver(
        "From: \"Ren\xe9\" <rene@example.org>\r\nTo: jane@example.org\r\nCc: joe@example.org\r\n"
        "Subject: =?iso-8859-1?Q?Caf=E9_au_lait?=\r\nDate: Sat, 28 Feb 2026 23:30:00 -0800\r\n"
        "Content-Type: text/plain; charset=iso-8859-1\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n"
        "Die Stra=DFe ist l=\r\nang.\r\n",
        mail::Flags{.seen = true, .answered = true}, "INBOX", at(20513));
    // 2: 2 March 2026, base64 in a multipart
    deliver(
        "From: Bob <bob@example.org>\r\nBcc: hidden@example.org\r\nSubject: Report\r\nX-Ticket: AB-17\r\n"
        "Date: Mon, 2 Mar 2026 10:00:00 +0000\r\n"
        "Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\nContent-Type: text/plain; charset=utf-8\r\n"
        "Content-Transfer-Encoding: base64\r\n\r\nR3LDvMOfZSBhdXMgTcO8bmNoZW4=\r\n--b\r\n"
        "Content-Type: application/octet-stream\r\n\r\nattachedbytes\r\n--b--\r\n",
        mail::Flags{.flagged = true}, "INBOX", at(20514));
    // 3: 3 March 2026, to be removed
    deliver("From: carol@example.org\r\nSubject: plain\r\n\r\nshort\r\n", mail::Flags{.deleted = true, .draft = true},
            "INBOX", at(20515));
    // 4: new
    deliver("From: dave@example.org\r\nSubject: (no) \"quotes\"\r\nX-Empty:\r\n\r\n" + std::string(3000, 'x') + "\r\n",
            {}, "INBOX", at(20516));
  }
  std::string found(const std::string& keys) {
    auto driver = selected();
    const auto said = driver.send("a SEARCH " + keys + "\r\n");
    if (!said.starts_with("* SEARCH")) return said;
    std::string numbers = said.substr(8, said.find("\r\n") - 8);
    std::erase(numbers, ' ');
    return numbers;
  }
};

TEST_F(ImapSearch, FindsByFlags) {
  EXPECT_EQ(found("ALL"), "1234");
  EXPECT_EQ(found("SEEN"), "1");
  EXPECT_EQ(found("UNSEEN"), "234");
  EXPECT_EQ(found("ANSWERED"), "1");
  EXPECT_EQ(found("UNANSWERED"), "234");
  EXPECT_EQ(found("FLAGGED"), "2");
  EXPECT_EQ(found("UNFLAGGED"), "134");
  EXPECT_EQ(found("DELETED"), "3");
  EXPECT_EQ(found("UNDELETED"), "124");
  EXPECT_EQ(found("DRAFT"), "3");
  EXPECT_EQ(found("UNDRAFT"), "124");
  EXPECT_EQ(found("KEYWORD $Junk"), "");
  EXPECT_EQ(found("UNKEYWORD $Junk"), "1234");
}

TEST_F(ImapSearch, FindsTheRecentOnceOnly) {
  EXPECT_EQ(found("RECENT"), "4");
  EXPECT_EQ(found("RECENT"), "");
  EXPECT_EQ(found("OLD"), "1234");
  EXPECT_EQ(found("NEW"), "");
}

TEST_F(ImapSearch, FindsByNumbers) {
  EXPECT_EQ(found("2:3"), "23");
  EXPECT_EQ(found("*"), "4");
  EXPECT_EQ(found("3:*,1"), "134");
  EXPECT_EQ(found("99"), "");
  EXPECT_EQ(found("UID 2,4:9"), "24");
  EXPECT_EQ(found("NOT 1:2"), "34");
  auto driver = selected();
  driver.send("a UID EXPUNGE 3\r\n");
  EXPECT_EQ(driver.send("a UID SEARCH ALL\r\n"), "* SEARCH 1 2 4\r\na OK Done\r\n");
  EXPECT_EQ(driver.send("a SEARCH UID 4\r\n"), "* SEARCH 3\r\na OK Done\r\n");
}

TEST_F(ImapSearch, FindsByDates) {
  EXPECT_EQ(found("BEFORE 2-Mar-2026"), "1");
  EXPECT_EQ(found("ON 2-Mar-2026"), "2");
  EXPECT_EQ(found("SINCE 3-mar-2026"), "34");
  EXPECT_EQ(found("SINCE \"03-Mar-2026\""), "34");
  // The day that the sender wrote, whatever its zone.
  EXPECT_EQ(found("SENTON 28-Feb-2026"), "1");
  EXPECT_EQ(found("SENTBEFORE 1-Mar-2026"), "1");
  EXPECT_EQ(found("SENTSINCE 1-Mar-2026"), "2");
}

TEST_F(ImapSearch, FindsBySize) {
  EXPECT_EQ(found("LARGER 2000"), "4");
  EXPECT_EQ(found("SMALLER 70"), "3");
}

TEST_F(ImapSearch, FindsInDecodedHeaders) {
  EXPECT_EQ(found("FROM rene"), "1");
  EXPECT_EQ(found("FROM BOB"), "2");
  EXPECT_EQ(found("TO jane"), "1");
  EXPECT_EQ(found("CC joe"), "1");
  EXPECT_EQ(found("BCC hidden"), "2");
  EXPECT_EQ(found("CHARSET UTF-8 SUBJECT " + literalPlus("CAF\xc3\x89 AU")), "1");
  EXPECT_EQ(found("SUBJECT \"\\\"quotes\\\"\""), "4");
  EXPECT_EQ(found("HEADER X-Ticket ab-17"), "2");
  EXPECT_EQ(found("HEADER X-Empty \"\""), "4");
  EXPECT_EQ(found("HEADER X-Nothing \"\""), "");
}

TEST_F(ImapSearch, FindsInDecodedBodies) {
  EXPECT_EQ(found("CHARSET UTF-8 BODY \"stra\xc3\x9f"
                  "e\""),
            "1");
  EXPECT_EQ(found("BODY \"ist lang\""), "1") << "across a soft line break";
  EXPECT_EQ(found("CHARSET utf-8 BODY \"M\xc3\xbcnchen\""), "2");
  EXPECT_EQ(found("BODY attachedbytes"), "") << "no text";
  EXPECT_EQ(found("BODY Report"), "");
  EXPECT_EQ(found("TEXT Report"), "2");
  EXPECT_EQ(found("TEXT xxxxxxxxxx"), "4");
}

TEST_F(ImapSearch, CombinesKeys) {
  EXPECT_EQ(found("UNSEEN UNDELETED"), "24");
  EXPECT_EQ(found("OR SEEN FLAGGED"), "12");
  EXPECT_EQ(found("OR (FROM bob) NOT (OR FROM rene FROM carol)"), "24");
  EXPECT_EQ(found("NOT NOT SEEN"), "1");
  EXPECT_EQ(found("(1:3 UNSEEN) (2 FROM bob)"), "2");
}

TEST_F(ImapSearch, RefusesWhatIsNoSearch) {
  for (const char* keys : {"",
                           "FOO",
                           "NOT",
                           "OR SEEN",
                           "(SEEN",
                           "SEEN)",
                           "()",
                           "FROM",
                           "ON yesterday",
                           "ON 31-Feb-2026",
                           "LARGER x",
                           "LARGER 99999999999",
                           "UID",
                           "UID x",
                           "HEADER Subject",
                           "SEEN  UNSEEN",
                           "0",
                           "CHARSET",
                           "CHARSET UTF-8",

                           "KEYWORD"}) {
    EXPECT_THAT(selected().send("a SEARCH " + std::string(keys) + "\r\n"), StartsWith("a BAD ")) << keys;
  }
  EXPECT_THAT(selected().send("a SEARCH CHARSET KOI8-R SUBJECT x\r\n"),
              StartsWith("a NO [BADCHARSET (US-ASCII UTF-8)]"));
}

TEST_F(ImapSearch, BoundsDepthAndNumberOfKeys) {
  std::string deep, many, nots, ors;
  for (int i = 0; i < 10000; ++i) deep += '(';
  EXPECT_THAT(selected().send("a SEARCH " + deep + "\r\n"), StartsWith("a BAD "));
  for (int i = 0; i < 10000; ++i) nots += "NOT ";
  EXPECT_THAT(selected().send("a SEARCH " + nots + "SEEN\r\n"), StartsWith("a BAD "));
  for (int i = 0; i < 10000; ++i) ors += "OR 1 ";
  EXPECT_THAT(selected().send("a SEARCH " + ors + "2\r\n"), StartsWith("a BAD "));
  for (int i = 0; i < 10000; ++i) many += "1 ";
  EXPECT_THAT(selected().send("a SEARCH " + many + "1\r\n"), StartsWith("a BAD "));
  EXPECT_EQ(found(std::string(40, '(') + "SEEN" + std::string(40, ')')), "1");
}

}  // namespace
}  // namespace postern::imap
