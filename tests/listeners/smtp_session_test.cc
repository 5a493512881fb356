#include <gmock/gmock.h>

#include "tests/listeners/smtp_fixture.h"

namespace postern::smtp {
namespace {

using testing::HasSubstr;
using testing::Not;
using testing::StartsWith;

TEST_F(SmtpTest, GreetsWithItsNameAndTheProduct) {
  EXPECT_EQ(make().start(), "220 mx.example.org Postern ESMTP\r\n");
}

TEST_F(SmtpTest, GreetsAsConfiguredInOneLine) {
  settings_.greeting = "at your\r\nservice";
  EXPECT_EQ(make().start(), "220 mx.example.org at your  service ESMTP\r\n");
  settings_.greeting = "ESMTP Mailer";
  EXPECT_EQ(make().start(), "220 mx.example.org ESMTP Mailer\r\n");
}

TEST_F(SmtpTest, OffersWhatItCanDo) {
  auto driver = started();
  EXPECT_EQ(driver.send("EHLO client.example\r\n"),
            "250-mx.example.org\r\n250-PIPELINING\r\n250-SIZE 52428800\r\n250-8BITMIME\r\n250-SMTPUTF8\r\n"
            "250-STARTTLS\r\n250 ENHANCEDSTATUSCODES\r\n");
  EXPECT_EQ(driver.send("HELO client.example\r\n"), "250 mx.example.org\r\n");
}

TEST_F(SmtpTest, OffersStartTlsOnlyWhereItIsPossible) {
  for (const auto mode : {listeners::TlsMode::Off, listeners::TlsMode::Implicit}) {
    settings_.tls = mode;
    auto driver = started();
    EXPECT_THAT(driver.send("EHLO a\r\n"), Not(HasSubstr("STARTTLS")));
    EXPECT_EQ(codes(driver.send("STARTTLS\r\n")), mode == listeners::TlsMode::Off ? "502" : "503");
    EXPECT_FALSE(driver.wantsTls());
  }
}

struct Line {
  const char* sent;
  const char* codes;
};

TEST_F(SmtpTest, AnswersEveryCommandWithTheRightCode) {
  const Line lines[] = {
      {"NOOP\r\n", "250"},
      {"noop anything\r\n", "250"},
      {"MAIL FROM:<a@b.example>\r\n", "503"},  // before EHLO
      {"EHLO\r\n", "501"},
      {"EHLO a b\r\n", "501"},
      {"EHLO <script>\r\n", "501"},
      {"EHLO a(b)\r\n", "501"},
      {"ehlo [192.0.2.9]\r\n", "250"},
      {"EHLO [IPv6:2001:db8::1]\r\n", "250"},
      {"EHLO [2001:db8::1]\r\n", "501"},
      {"VRFY jane\r\n", "252"},
      {"VRFY\r\n", "501"},
      {"HELP\r\n", "214"},
  };
  auto driver = started();
  for (const auto& line : lines) EXPECT_EQ(codes(driver.send(line.sent)), line.codes) << line.sent;
  const Line more[] = {
      {"EHLO under_score.example\r\n", "250"},
      {"EXPN list\r\n", "502"},
      {"BDAT 5 LAST\r\n", "500"},
      {"\r\n", "500"},
      {" NOOP\r\n", "500"},
      {"RSET x\r\n", "501"},
      {"RSET\r\n", "250"},
      {"RCPT TO:<jane@example.org>\r\n", "503"},
      {"DATA\r\n", "503"},
      {"AUTH PLAIN\r\n", "502"},  // role mx
      {"QUIT\r\n", "221"},
  };
  driver = started();
  for (const auto& line : more) EXPECT_EQ(codes(driver.send(line.sent)), line.codes) << line.sent;
  EXPECT_TRUE(driver.closed());
}

TEST_F(SmtpTest, TakesTheParametersOfMailAndNoOthers) {
  const Line lines[] = {
      {"<a@b.example>", "250"},
      {"<>", "250"},
      {" <a@b.example>", "250"},
      {"<a@b.example> SIZE=1000 BODY=8BITMIME SMTPUTF8", "250"},
      {"<a@b.example> size=1000 body=7bit", "250"},
      {"<\"a b\"@b.example>", "250"},
      {"<@r.example,@s.example:a@b.example>", "250"},
      {"<a@[192.0.2.1]>", "250"},
      {"<a@[IPv6:::1]>", "250"},
      {"<a@b.example> SIZE=52428800", "250"},
      {"<a@b.example> SIZE=52428801", "552"},
      {"<a@b.example> SIZE=99999999999999999999", "552"},
      {"<a@b.example> SIZE=x", "501"},
      {"<a@b.example> SIZE=", "501"},
      {"<a@b.example> SIZE", "501"},
      {"<a@b.example> SIZE=1 SIZE=2", "501"},
      {"<a@b.example> BODY=BINARYMIME", "501"},
      {"<a@b.example> SMTPUTF8=yes", "501"},
      {"<a@b.example> RET=FULL", "555"},
      {"<a@b.example> AUTH=<>", "555"},  // role mx
      {"<a@b.example>SIZE=1", "501"},
      {"a@b.example", "501"},
      {"<a@b.example", "501"},
      {"<a>", "501"},
      {"<postmaster>", "501"},
      {"<a@>", "501"},
      {"<@b.example>", "501"},
      {"<a@b..example>", "501"},
      {"<a@-b.example>", "501"},
      {"<a@[1.2.3]>", "501"},
      {"<a..b@c.example>", "501"},
      {"<.a@c.example>", "501"},
      {"<a b@c.example>", "501"},
      {"<\"a@c.example>", "501"},
      {"<\"\"@c.example>", "501"},
      {"<a@b.example>> x", "501"},
      {"<\xc3\xa4@b.example>", "553"},
      {"<\xc3\xa4@b.example> SMTPUTF8", "250"},
      {"<\xc3@b.example> SMTPUTF8", "501"},
      {"<\xed\xa0\x80@b.example> SMTPUTF8", "501"},
  };
  for (const auto& line : lines) {
    auto driver = greeted();
    EXPECT_EQ(codes(driver.send("MAIL FROM:" + std::string(line.sent) + "\r\n")), line.codes) << line.sent;
  }
  const auto mail = [&](const std::string& local, const std::string& domain) {
    return codes(greeted().send("MAIL FROM:<" + local + "@" + domain + ">\r\n"));
  };
  EXPECT_EQ(mail(std::string(64, 'a'), "b.example"), "250");
  EXPECT_EQ(mail(std::string(65, 'a'), "b.example"), "501");
  EXPECT_EQ(mail("a", std::string(63, 'b') + ".example"), "250");
  EXPECT_EQ(mail("a", std::string(64, 'b') + ".example"), "501");
  std::string domain = "b";
  while (domain.size() < 255) domain += ".b";
  EXPECT_EQ(mail("a", domain), "250");
  EXPECT_EQ(mail("a", domain + ".b"), "501");
}

TEST_F(SmtpTest, ServesLocalRecipientsOnly) {
  const Line lines[] = {
      {"RCPT TO:<jane@example.org>\r\n", "250"},
      {"RCPT TO:<jane@EXAMPLE.org>\r\n", "250"},
      {"rcpt to:<\"jane\"@example.org>\r\n", "250"},
      {"RCPT TO:<\"Quoted Name\"@example.org>\r\n", "250"},
      {"RCPT TO:<@relay.example:joe@example.org>\r\n", "250"},
      {"RCPT TO:<nobody@example.org>\r\n", "550"},
      {"RCPT TO:<jane@example.com>\r\n", "550"},
      {"RCPT TO:<jane@[192.0.2.1]>\r\n", "550"},
      {"RCPT TO:<\"jane@example.org\"@example.com>\r\n", "550"},
      {"RCPT TO:<jane%example.com@example.org>\r\n", "550"},
      {"RCPT TO:<>\r\n", "501"},
      {"RCPT TO:<jane>\r\n", "501"},
      {"RCPT TO:<jane@example.org> NOTIFY=NEVER\r\n", "555"},
      {"RCPT FROM:<jane@example.org>\r\n", "501"},
      {"RCPT TO:<Postmaster>\r\n", "550"},
  };
  auto driver = greeted();
  driver.send("MAIL FROM:<>\r\n");
  for (const auto& line : lines) EXPECT_EQ(codes(driver.send(line.sent)), line.codes) << line.sent;
  EXPECT_THAT(driver.send("RCPT TO:<nobody@example.org>\r\n"), StartsWith("550 5.1.1 "));
  EXPECT_EQ(driver.send("RCPT TO:<x@example.com>\r\n"), "550 5.7.1 Relaying denied\r\n");
  EXPECT_THAT(logged(), HasSubstr("smtp.message.refused"));
}

TEST_F(SmtpTest, DeliversToThePostmasterWhereThereIsOne) {
  withPostmaster_ = true;
  auto driver = greeted();
  EXPECT_EQ(codes(driver.send("MAIL FROM:<>\r\nRCPT TO:<POSTMASTER>\r\nDATA\r\nx\r\n.\r\n")), "250 250 354 250");
  EXPECT_EQ(delivery_->messages.at(0).recipients, std::vector<std::string>{"root"});
}

TEST_F(SmtpTest, SaysThatLocalDeliveryIsOff) {
  noDelivery_ = true;
  auto driver = greeted();
  driver.send("MAIL FROM:<>\r\n");
  EXPECT_EQ(driver.send("RCPT TO:<jane@example.org>\r\n"), "451 4.3.5 Local delivery is switched off\r\n");
  EXPECT_EQ(codes(driver.send("DATA\r\n")), "554");
}

TEST_F(SmtpTest, TakesAHundredRecipients) {
  auto driver = greeted();
  driver.send("MAIL FROM:<>\r\n");
  for (int i = 0; i < 100; ++i) ASSERT_EQ(codes(driver.send("RCPT TO:<jane@example.org>\r\n")), "250");
  EXPECT_THAT(driver.send("RCPT TO:<joe@example.org>\r\n"), StartsWith("452 4.5.3 "));
}

TEST_F(SmtpTest, ForgetsTheTransactionAtRsetAndEhlo) {
  for (const char* reset : {"RSET\r\n", "EHLO again.example\r\n", "HELO again.example\r\n"}) {
    auto driver = greeted();
    driver.send("MAIL FROM:<a@b.example>\r\nRCPT TO:<jane@example.org>\r\n");
    EXPECT_EQ(codes(driver.send("MAIL FROM:<a@b.example>\r\n")), "503") << "nested";
    driver.send(reset);
    EXPECT_EQ(codes(driver.send("DATA\r\n")), "503") << reset;
    EXPECT_EQ(codes(driver.send("MAIL FROM:<a@b.example>\r\nDATA\r\n")), "250 554") << reset;
  }
}

TEST_F(SmtpTest, RefusesLongLinesAndGoesOn) {
  const std::string fits = "NOOP " + std::string(505, 'x');
  auto driver = started();
  EXPECT_EQ(codes(driver.send(fits + "\r\n")), "250");
  EXPECT_EQ(codes(driver.send(fits + "x\r\n")), "500");
  EXPECT_EQ(codes(driver.send(std::string(100000, 'x'))), "");
  EXPECT_EQ(codes(driver.send("\r\nNOOP\r\n")), "500 250");
  driver = started();
  EXPECT_EQ(codes(driver.sendBytewise(fits + "\r\n" + fits + "x\r\nNOOP\r\n")), "250 500 250");
  driver.send(std::string(2 << 20, 'x'));
  EXPECT_TRUE(driver.closed()) << "a line that never ends";
}

TEST_F(SmtpTest, RefusesLinesThatDoNotEndWithCrlf) {
  for (const char* line : {"NOOP\n", "\n", "NOOP\rRSET\r\n", "NOOP\r\r\n", "MAIL FROM:<a@b.example>\n"}) {
    auto driver = greeted();
    EXPECT_EQ(codes(driver.send(line)), "500") << line;
    EXPECT_EQ(codes(driver.send("RCPT TO:<jane@example.org>\r\n")), "503") << line;
  }
  EXPECT_EQ(codes(greeted().send(std::string("NOOP\0\r\n", 7))), "500");
}

TEST_F(SmtpTest, ClosesAfterTenErrors) {
  auto driver = started();
  for (int i = 0; i < 9; ++i) EXPECT_EQ(codes(driver.send("WHAT\r\n")), "500");
  EXPECT_EQ(codes(driver.send("WHAT\r\n")), "500 421");
  EXPECT_TRUE(driver.closed());
}

TEST_F(SmtpTest, ClosesOnWhoTriesRecipientsOneByOne) {
  auto driver = greeted();
  driver.send("MAIL FROM:<>\r\n");
  for (int i = 0; i < 49; ++i) ASSERT_EQ(codes(driver.send("RCPT TO:<x@example.org>\r\n")), "550");
  EXPECT_EQ(codes(driver.send("RCPT TO:<x@example.org>\r\n")), "550 421");
  EXPECT_TRUE(driver.closed());
}

TEST_F(SmtpTest, ClosesAtTheFirstVerbOfHttpWithoutAWord) {
  for (const char* verb : {"GET", "POST", "HEAD", "PUT", "CONNECT", "OPTIONS"}) {
    auto driver = started();
    EXPECT_EQ(driver.send(std::string(verb) + " / HTTP/1.1\r\nHost: <script>\r\n\r\nMAIL FROM:<a@b.example>\r\n"), "");
    EXPECT_TRUE(driver.closed()) << verb;
  }
  auto driver = started();
  driver.send("GET /" + std::string(1000, 'x') + " HTTP/1.1");
  EXPECT_TRUE(driver.closed()) << "a line too long for a command";
}

TEST_F(SmtpTest, NeverEchoesWhatWasSent) {
  auto driver = started();
  for (const char* line : {"<b>xyzzy\r\n", "EHLO xyzzy\r\n", "VRFY xyzzy\r\n", "MAIL FROM:<xyzzy@example.com>\r\n",
                           "RCPT TO:<xyzzy@example.com>\r\n", "HELP xyzzy\r\n", "HELO xyzzy!\r\n", "AUTH xyzzy\r\n"}) {
    EXPECT_THAT(driver.send(line), Not(HasSubstr("xyzzy"))) << line;
  }
}

TEST_F(SmtpTest, SaysGoodByeWithTheReason) {
  auto driver = started();
  EXPECT_THAT(driver.farewell(listeners::Session::Farewell::ShuttingDown), StartsWith("421 4.3.2 mx.example.org "));
  EXPECT_THAT(driver.farewell(listeners::Session::Farewell::IdleTooLong), StartsWith("421 4.4.2 mx.example.org "));
}

TEST_F(SmtpTest, ForgetsEverythingSaidBeforeStartTls) {
  auto driver = greeted();
  driver.send("MAIL FROM:<a@b.example>\r\nRCPT TO:<jane@example.org>\r\n");
  EXPECT_EQ(codes(driver.send("STARTTLS now\r\n")), "501");
  EXPECT_EQ(driver.send("STARTTLS\r\n"), "220 2.0.0 Ready to start TLS\r\n");
  EXPECT_TRUE(driver.wantsTls());
  EXPECT_EQ(driver.encrypt(), "");
  EXPECT_EQ(codes(driver.send("DATA\r\n")), "503");
  EXPECT_EQ(codes(driver.send("MAIL FROM:<a@b.example>\r\n")), "503") << "EHLO must be said again";
  EXPECT_EQ(codes(driver.send("STARTTLS\r\n")), "503");
  EXPECT_THAT(driver.send("EHLO client.example\r\n"), Not(HasSubstr("STARTTLS")));
  EXPECT_EQ(codes(driver.send("MAIL FROM:<a@b.example>\r\n")), "250");
}

TEST_F(SmtpTest, ExecutesNothingTypedBehindStartTls) {  // CVE-2011-0411
  const std::string injected =
      "STARTTLS\r\nEHLO evil.example\r\nMAIL FROM:<evil@b.example>\r\nRCPT TO:<jane@example.org>\r\nNO";
  auto driver = greeted();
  EXPECT_EQ(codes(driver.send(injected)), "220");
  driver.encrypt();
  EXPECT_EQ(codes(driver.send("OP\r\n")), "500") << "half a line of before must not begin one of now";
  EXPECT_EQ(codes(driver.send("RCPT TO:<jane@example.org>\r\n")), "503");
  EXPECT_EQ(codes(driver.send("MAIL FROM:<a@b.example>\r\n")), "503");
}

TEST_F(SmtpTest, AsksForTlsBeforeMailWhereItIsRequired) {
  settings_.tlsRequired = true;
  auto driver = greeted();
  EXPECT_EQ(driver.send("MAIL FROM:<a@b.example>\r\n"), "530 5.7.0 Must issue a STARTTLS command first\r\n");
  driver.send("STARTTLS\r\n");
  driver.encrypt();
  EXPECT_EQ(codes(driver.send("EHLO a\r\nMAIL FROM:<a@b.example>\r\n")), "250 250");
}

TEST_F(SmtpTest, GoesOnInTheClearWhereThereIsNoRoomForAHandshake) {
  auto driver = greeted();
  EXPECT_EQ(driver.send("NOOP\r\nSTARTTLS\r\n"), "250 2.0.0 Ok\r\n220 2.0.0 Ready to start TLS\r\n");
  EXPECT_EQ(driver.goAhead(), std::string("220 2.0.0 Ready to start TLS\r\n").size());
  EXPECT_EQ(driver.refuseTls(), "454 4.7.0 TLS not available due to temporary reason\r\n");
  EXPECT_EQ(codes(driver.send("MAIL FROM:<a@b.example>\r\n")), "250");
  EXPECT_EQ(codes(driver.send("STARTTLS\r\n")), "220");
  driver.encrypt();
  EXPECT_EQ(codes(driver.send("MAIL FROM:<a@b.example>\r\n")), "503") << "what was said in the clear is forgotten";
}

TEST_F(SmtpTest, GivesTheSameRepliesHoweverTheInputIsCut) {
  submission();
  const std::string all = "EHLO client.example\r\nAUTH PLAIN " + plain("jane", "wrong") + "\r\nAUTH LOGIN\r\n" +
                          base64("jane") + "\r\n" + base64("secret") +
                          "\r\nBAD\r\nMAIL FROM:<jane@example.org> SIZE=10\r\nRCPT TO:<joe@example.org>\r\n"
                          "RCPT TO:<none@example.org>\r\nDATA\r\nSubject: x\r\n\r\n..dot\r\n.\r\nNOOP\r\n"
                          "MAIL FROM:<>\r\nRCPT TO:<jane@example.org>\r\nDATA\r\nbare\nfeed\r\n.\r\nRSET\r\nQUIT\r\n";
  options_.now = [] { return Time(); };
  const auto idless = [](std::string text) {
    const auto at = text.find("queued as ");
    return at == std::string::npos ? text : text.erase(at, text.find("\r\n", at) - at);
  };
  auto whole = started();
  const auto expected = idless(whole.send(all));
  EXPECT_EQ(codes(expected), "250 535 334 334 235 500 250 250 550 354 250 250 250 250 354 550 250 221");
  for (std::size_t cut = 1; cut < all.size(); ++cut) {
    auto driver = started();
    const auto first = driver.send(all.substr(0, cut));
    ASSERT_EQ(idless(first + driver.send(all.substr(cut))), expected) << "cut at " << cut;
    ASSERT_TRUE(driver.closed());
  }
  auto bytewise = started();
  EXPECT_EQ(idless(bytewise.sendBytewise(all)), expected);
}

TEST_F(SmtpTest, AnswersAPipelinedGroupInOneReply) {
  auto driver = make();
  driver.start();
  auto& session = driver.session();
  const auto step = session.received("EHLO a\r\nMAIL FROM:<>\r\nRCPT TO:<jane@example.org>\r\nDATA\r\n");
  EXPECT_EQ(codes(step.reply), "250 250 250 354");
  EXPECT_FALSE(step.work);
}

}  // namespace
}  // namespace postern::smtp
