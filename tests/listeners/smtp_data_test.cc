#include <gmock/gmock.h>

#include "listeners/mail/mailbox.h"
#include "listeners/smtp/data_reader.h"
#include "tests/listeners/smtp_fixture.h"

namespace postern::smtp {
namespace {

using testing::EndsWith;
using testing::HasSubstr;
using testing::Not;
using testing::StartsWith;

constexpr const char* envelope = "MAIL FROM:<a@b.example>\r\nRCPT TO:<jane@example.org>\r\nDATA\r\n";

TEST_F(SmtpTest, AddsWhereTheMessageCameFrom) {
  auto driver = greeted();
  const auto said = driver.send(std::string(envelope) + "Subject: x\r\n\r\nbody\r\n.\r\n");
  EXPECT_EQ(codes(said), "250 250 354 250");
  const auto id = said.substr(said.find("queued as ") + 10, said.rfind("\r\n") - said.find("queued as ") - 10);
  EXPECT_THAT(said, EndsWith("250 2.0.0 Ok: queued as " + id + "\r\n"));
  EXPECT_EQ(onlyText(),
            "Return-Path: <a@b.example>\r\nReceived: from client.example ([192.0.2.7])\r\n\tby mx.example.org with "
            "ESMTP id " +
                id + "\r\n\tfor <jane@example.org>;\r\n\tSun, 1 Mar 2026 12:00:00 +0000\r\nSubject: x\r\n\r\nbody\r\n");
  EXPECT_THAT(logged(), HasSubstr("smtp.message.accepted"));
  EXPECT_THAT(logged(), HasSubstr(id));
}

TEST_F(SmtpTest, NamesTheProtocolAsRfc3848Says) {
  auto driver = greeted();
  driver.send("HELO client.example\r\n" + std::string(envelope) + ".\r\n");
  driver.send("STARTTLS\r\n");
  driver.encrypt();
  driver.send("EHLO client.example\r\n" + std::string(envelope) + ".\r\n");
  driver.send("MAIL FROM:<> SMTPUTF8\r\nRCPT TO:<jane@example.org>\r\nRCPT TO:<joe@example.org>\r\nDATA\r\n.\r\n");
  submission();
  driver = loggedIn();
  driver.send(std::string(envelope) + "\r\n.\r\n");
  const char* protocols[] = {"with SMTP id", "with ESMTPS id", "with UTF8SMTPS id", "with ESMTPSA id"};
  ASSERT_EQ(delivery_->messages.size(), 4u);
  for (std::size_t i = 0; i < 4; ++i) EXPECT_THAT(delivery_->messages[i].text, HasSubstr(protocols[i]));
  EXPECT_THAT(delivery_->messages[1].text, HasSubstr("(using TLSv1.3 with cipher TLS_AES_128_GCM_SHA256)"));
  EXPECT_THAT(delivery_->messages[2].text, Not(HasSubstr("for <"))) << "one recipient must not learn of another";
  EXPECT_THAT(delivery_->messages[2].text, StartsWith("Return-Path: <>\r\n"));
}

TEST_F(SmtpTest, AddsWhatASubmittedMessageLacks) {
  submission();
  const std::pair<const char*, int> messages[] = {
      {"Subject: x\r\n\r\nDate: in the body\r\n", 3},
      {"date: x\r\n\r\n", 2},
      {"Message-Id: <x@y>\r\n\r\n", 1},
      {"DATE : x\r\nSubject: a\r\n Message-ID: folded\r\n\r\n", 2},
      {"Date: x\r\nMESSAGE-ID: <x@y>\r\n\r\n", 0},
  };
  for (const auto& message : messages) {
    delivery_->messages.clear();
    loggedIn().send(std::string(envelope) + message.first + ".\r\n");
    EXPECT_EQ(onlyText().find("\r\nDate: Sun, 1 Mar 2026 12:00:00 +0000\r\n") != std::string::npos,
              (message.second & 1) != 0)
        << message.first;
    EXPECT_EQ(onlyText().find("@mx.example.org>\r\n") != std::string::npos, (message.second & 2) != 0) << message.first;
    EXPECT_THAT(onlyText(), EndsWith(message.first));
  }
}

TEST_F(SmtpTest, AddsNoDateToMailFromElsewhere) {
  greeted().send(std::string(envelope) + "Subject: x\r\n\r\n.\r\n");
  EXPECT_THAT(onlyText(), Not(HasSubstr("Date:")));
}

TEST_F(SmtpTest, KeepsTextWithoutAHeaderApartFromItsOwnFields) {
  for (const std::string text : {"Dear Jane,\r\nhow: are you?\r\n", " folded: x\r\n", "\tx\r\n", ": x\r\n",
                                 "a b: c\r\n", "no colon\r\n", "\xc3\xa4: x\r\n"}) {
    delivery_->messages.clear();
    greeted().send(std::string(envelope) + text + ".\r\n");
    EXPECT_THAT(onlyText(), EndsWith("+0000\r\n\r\n" + text)) << text;
  }
  for (const std::string text : {"Subject: x\r\n", "X-Empty:\r\n", "Old : x\r\n\r\nbody\r\n", "\r\nbody\r\n"}) {
    delivery_->messages.clear();
    greeted().send(std::string(envelope) + text + ".\r\n");
    EXPECT_THAT(onlyText(), EndsWith("+0000\r\n" + text)) << text;
  }
}

TEST_F(SmtpTest, TakesLeadingDotsAway) {
  greeted().send(std::string(envelope) + "\r\n..\r\n...\r\n.a\r\n..b\r\na.\r\n.\r\n");
  EXPECT_THAT(onlyText(), EndsWith("+0000\r\n\r\n.\r\n..\r\na\r\n.b\r\na.\r\n"));
}

TEST_F(SmtpTest, TakesEightBitAndEmptyMessages) {
  greeted().send(std::string(envelope) + ".\r\n");
  EXPECT_THAT(onlyText(), EndsWith("+0000\r\n"));
  delivery_->messages.clear();
  greeted().send(std::string(envelope) + "\xc3\xa4\xff\r\n.\r\n");
  EXPECT_THAT(onlyText(), EndsWith("\xc3\xa4\xff\r\n"));
}

// SMTP smuggling, CVE-2023-51764, CVE-2023-51765, CVE-2023-51766: nothing but CRLF.CRLF ends a message, whatever else
// comes near it spoils the message, and the commands hidden behind it never run.
TEST_F(SmtpTest, EndsAMessageAtNothingButItsEnd) {
  const std::string hidden = "MAIL FROM:<evil@b.example>\r\nRCPT TO:<joe@example.org>\r\nDATA\r\nevil\r\n.\r\n";
  for (const std::string end : {"\n.\n", "\n.\r\n", "\r\n.\n", "\r.\r", "\r.\r\n", "\r\n.\r", "\r.\n", "\n.\r",
                                "\r\n.\r\r\n", "\r\r\n.\r\n", "\r\n\n.\r\n", "\n\n.\n", "\r\n\r.\r\n", "\r\n.\n\r\n"}) {
    const bool ended = end.ends_with("\r\r\n.\r\n");  // a true end behind a spoiled line
    for (const bool bytewise : {false, true}) {
      delivery_->messages.clear();
      auto driver = greeted();
      driver.send(envelope);
      const auto all = "body" + end + hidden;
      const auto said = bytewise ? driver.sendBytewise(all) : driver.send(all);
      EXPECT_EQ(codes(said), ended ? "550 250 250 354 250" : "550") << testing::PrintToString(end);
      EXPECT_EQ(delivery_->messages.size(), ended ? 1u : 0u) << testing::PrintToString(end);
      EXPECT_THAT(said, StartsWith("550 5.6.11 "));
      EXPECT_EQ(codes(driver.send("NOOP\r\n")), "250") << testing::PrintToString(end);
      EXPECT_EQ(delivery_->open, 0);
    }
  }
}

TEST_F(SmtpTest, RunsNothingOfASpoiledMessageThatWasSpooledAlready) {
  auto driver = greeted();
  driver.send(envelope);
  driver.send(std::string(200 << 10, 'x') + "\r\n");
  EXPECT_EQ(delivery_->open, 1);
  EXPECT_EQ(codes(driver.send("bare\nfeed\r\nQUIT\r\n.\r\n")), "550");
  EXPECT_FALSE(driver.closed());
  EXPECT_EQ(delivery_->open, 0);
  EXPECT_TRUE(delivery_->messages.empty());
}

TEST_F(SmtpTest, RefusesALargeMessageAfterItsEnd) {
  options_.maxMessageSize = 1000;
  auto driver = greeted();
  EXPECT_EQ(codes(driver.send(std::string(envelope) + std::string(998, 'x') + "\r\n.\r\n")), "250 250 354 250");
  EXPECT_EQ(codes(driver.send(std::string(envelope) + std::string(999, 'x') + "\r\n.\r\nNOOP\r\n")),
            "250 250 354 552 250");
  EXPECT_EQ(delivery_->messages.size(), 1u);
  driver.send(envelope);
  for (int i = 0; i < 100 && !driver.closed(); ++i) driver.send(std::string(1000, 'x') + "\r\n");
  EXPECT_TRUE(driver.closed()) << "a message that never ends";
}

TEST_F(SmtpTest, KeepsLittleOfALargeMessageInMemory) {
  auto driver = greeted();
  driver.send(envelope);
  std::string line(998, 'x');
  line += "\r\n";
  std::string sent;
  for (int i = 0; i < 2000; ++i) sent += line;
  driver.send(sent);
  EXPECT_EQ(codes(driver.send(".\r\n")), "250");
  EXPECT_THAT(onlyText(), EndsWith(line + line));
  EXPECT_GT(onlyText().size(), sent.size());
  EXPECT_LE(delivery_->largestPiece, 128u << 10);
}

TEST_F(SmtpTest, SaysTryAgainWhereTheDiskFailsAndGoesOn) {
  using Fails = FakeDelivery::Fails;
  for (const auto fails : {Fails::AtBegin, Fails::AtAppend, Fails::AtCommit}) {
    for (const std::size_t size : {std::size_t{10}, std::size_t{300} << 10}) {
      auto driver = greeted();
      delivery_->fails = fails;
      const auto said = driver.send(std::string(envelope) + std::string(size, 'x') + "\r\n.\r\n");
      EXPECT_EQ(codes(said), "250 250 354 451");
      EXPECT_THAT(said, HasSubstr("451 4.3.0 "));
      EXPECT_EQ(delivery_->open, 0);
      EXPECT_TRUE(delivery_->messages.empty());
      delivery_->fails = Fails::Never;
      EXPECT_EQ(codes(driver.send(std::string(envelope) + "x\r\n.\r\n")), "250 250 354 250");
      delivery_->messages.clear();
    }
  }
  EXPECT_THAT(logged(), HasSubstr("smtp.delivery.failed"));
  EXPECT_THAT(logged(), HasSubstr("cannot sync"));
}

TEST_F(SmtpTest, DropsWhatAClientLeftUnfinished) {
  {
    auto driver = greeted();
    driver.send(envelope);
    driver.send(std::string(200 << 10, 'x'));
    EXPECT_EQ(delivery_->open, 1);
  }
  EXPECT_EQ(delivery_->open, 0);
  EXPECT_TRUE(delivery_->messages.empty());
}

TEST_F(SmtpTest, WritesOnTheWorkerOnlyAndAnswersAfterIt) {
  auto driver = greeted();
  driver.send(envelope);
  auto& session = driver.session();
  auto step = session.received("x\r\n.\r\nNOOP\r\n");
  EXPECT_EQ(step.reply, "");
  ASSERT_TRUE(step.work);
  EXPECT_EQ(delivery_->messages.size(), 0u);
  step.work();
  EXPECT_EQ(delivery_->messages.size(), 1u);
  EXPECT_EQ(codes(session.resumed().reply), "250 250") << "what came behind the message is answered now";
}

TEST_F(SmtpTest, PutsAMessageIntoTheMaildirBeforeItSaysSo) {
  const auto real = std::make_shared<mail::MaildirDelivery>(temporary_ / "mail");
  const auto accounts = std::make_shared<mail::Accounts>(std::vector<mail::Account>{
      {"jane", Secret("s"), {"jane@example.org"}}, {"joe", Secret("s"), {"joe@example.org"}}});
  support::SessionDriver driver(
      std::make_shared<Session>(std::make_shared<const listeners::ListenerSettings>(settings_),
                                listeners::Peer{"2001:db8::7", 1, "::1", 25}, accounts, real, log_, options_));
  driver.start();
  driver.send(
      "EHLO client.example\r\nMAIL FROM:<>\r\nRCPT TO:<jane@example.org>\r\nRCPT TO:<joe@example.org>\r\nDATA\r\n");
  EXPECT_EQ(codes(driver.send("Subject: x\r\n\r\nbody\r\n.\r\n")), "250");
  for (const char* name : {"jane", "joe"}) {
    mail::Mailbox mailbox(temporary_ / "mail" / name);
    mailbox.scan(true);
    ASSERT_EQ(mailbox.messages().size(), 1u);
    const auto text = mailbox.read(mailbox.messages().front());
    EXPECT_THAT(*text, EndsWith("Subject: x\r\n\r\nbody\r\n"));
    EXPECT_THAT(*text, HasSubstr("([IPv6:2001:db8::7])"));
    EXPECT_EQ(support::entriesIn(temporary_ / "mail" / name / "tmp"), 0u);
  }
  std::filesystem::remove_all(temporary_ / "mail" / "jane" / "new");
  support::write(temporary_ / "mail" / "jane" / "new", "in the way");
  EXPECT_EQ(codes(driver.send("MAIL FROM:<>\r\nRCPT TO:<jane@example.org>\r\nDATA\r\nx\r\n.\r\n")), "250 250 354 451");
  EXPECT_EQ(support::entriesIn(temporary_ / "mail" / "jane" / "tmp"), 0u);
}

TEST(DataReader, FindsTheSameContentHoweverTheInputIsCut) {
  const std::string sent = "..a\r\n.\rb\r\n\n.\n\r\n..\r\n\r\r\n.x\r\n.\r\nREST";
  DataReader whole;
  std::string expected;
  const auto taken = whole.take(sent, expected);
  EXPECT_TRUE(whole.ended());
  EXPECT_TRUE(whole.spoiled());
  EXPECT_EQ(sent.substr(taken), "REST");
  for (std::size_t cut = 0; cut <= taken; ++cut) {
    DataReader reader;
    std::string content;
    EXPECT_EQ(reader.take(sent.substr(0, cut), content), cut);
    EXPECT_EQ(reader.take(sent.substr(cut), content), taken - cut);
    EXPECT_EQ(content, expected) << cut;
    EXPECT_TRUE(reader.ended() && reader.spoiled());
    EXPECT_EQ(reader.size(), content.size());
  }
}

}  // namespace
}  // namespace postern::smtp
