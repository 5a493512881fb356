#include <gmock/gmock.h>

#include "tests/listeners/smtp_fixture.h"

namespace postern::smtp {
namespace {

using testing::HasSubstr;
using testing::Not;
using testing::StartsWith;

TEST_F(SmtpTest, OffersAuthToSubmissionOnceItIsEncrypted) {
  submission(false);
  auto driver = started();
  EXPECT_THAT(driver.send("EHLO a\r\n"), Not(HasSubstr("AUTH")));
  driver.send("STARTTLS\r\n");
  driver.encrypt();
  EXPECT_THAT(driver.send("EHLO a\r\n"), HasSubstr("250-AUTH PLAIN LOGIN\r\n"));
  driver.send("AUTH PLAIN " + plain("jane", "secret") + "\r\n");
  EXPECT_THAT(driver.send("EHLO a\r\n"), Not(HasSubstr("AUTH")));
}

TEST_F(SmtpTest, OffersNoAuthToMx) {
  settings_.tls = listeners::TlsMode::Implicit;
  auto driver = started();
  EXPECT_THAT(driver.send("EHLO a\r\n"), Not(HasSubstr("AUTH")));
  EXPECT_EQ(codes(driver.send("AUTH PLAIN " + plain("jane", "secret") + "\r\n")), "502");
  EXPECT_EQ(driver.works(), 0);
}

TEST_F(SmtpTest, RefusesAuthInTheClearWithoutAContinuation) {
  submission(false);
  for (const char* line : {"AUTH PLAIN\r\n", "AUTH LOGIN\r\n", "AUTH PLAIN AGphbmUAc2VjcmV0\r\n"}) {
    EXPECT_THAT(greeted().send(line), StartsWith("530 5.7.0 Must issue a STARTTLS command first")) << line;
    settings_.tlsRequired = false;
    auto driver = greeted();
    EXPECT_THAT(driver.send(line), StartsWith("538 5.7.11 ")) << line;
    EXPECT_EQ(driver.works(), 0);
    settings_.tlsRequired = true;
  }
}

TEST_F(SmtpTest, PermitsAuthInTheClearWhereTheAdministratorSaysSo) {
  submission(false);
  settings_.allowPlainText = true;
  settings_.tlsRequired = false;
  auto driver = started();
  EXPECT_THAT(driver.send("EHLO a\r\n"), HasSubstr("AUTH PLAIN LOGIN"));
  EXPECT_EQ(codes(driver.send("AUTH PLAIN " + plain("jane", "secret") + "\r\n")), "235");
}

TEST_F(SmtpTest, LetsInByEveryFormOfPlainAndLogin) {
  submission();
  const std::string name = base64("jane"), address = base64("jane@example.org"), password = base64("secret");
  const std::pair<std::string, std::string> forms[] = {
      {"AUTH PLAIN " + plain("jane", "secret") + "\r\n", "235"},
      {"auth plain " + plain("jane@EXAMPLE.org", "secret") + "\r\n", "235"},
      {"AUTH PLAIN " + plain("jane", "secret", "jane") + "\r\n", "235"},
      {"AUTH PLAIN\r\n" + plain("jane", "secret") + "\r\n", "334 235"},
      {"AUTH LOGIN\r\n" + name + "\r\n" + password + "\r\n", "334 334 235"},
      {"AUTH LOGIN " + address + "\r\n" + password + "\r\n", "334 235"},
      {"AUTH PLAIN " + plain("jane", "wrong") + "\r\n", "535"},
      {"AUTH PLAIN " + plain("jane", "secret", "joe") + "\r\n", "535"},
      {"AUTH PLAIN " + plain("", "") + "\r\n", "535"},
      {"AUTH LOGIN =\r\n=\r\n", "334 535"},
      {"AUTH PLAIN =\r\n", "501"},
      {"AUTH PLAIN ****\r\n", "501"},
      {"AUTH PLAIN " + base64("jane") + "\r\n", "501"},
      {"AUTH PLAIN " + base64(std::string("\0a\0b\0c", 6)) + "\r\n", "501"},
      {"AUTH PLAIN\r\n*\r\n", "334 501"},
      {"AUTH LOGIN\r\n*\r\n", "334 501"},
      {"AUTH LOGIN\r\n" + name + "\r\n*\r\n", "334 334 501"},
      {"AUTH LOGIN\r\n" + name + "\r\n?\r\n", "334 334 501"},
      {"AUTH CRAM-MD5\r\n", "504"},
      {"AUTH\r\n", "501"},
  };
  for (const auto& form : forms) {
    auto driver = greeted();
    EXPECT_EQ(codes(driver.send(form.first)), form.second) << form.first;
    EXPECT_EQ(codes(driver.send("NOOP\r\n")), "250") << "back to commands after " << form.first;
    const bool in = form.second.ends_with("235");
    EXPECT_EQ(driver.session().loginPending(), !in) << form.first;
    EXPECT_EQ(codes(driver.send("MAIL FROM:<>\r\n")), in ? "250" : "530") << form.first;
  }
}

TEST_F(SmtpTest, AsksWithTheWordsThatClientsOfLoginExpect) {
  submission();
  auto driver = greeted();
  EXPECT_EQ(driver.send("AUTH LOGIN\r\n"), "334 VXNlcm5hbWU6\r\n");
  EXPECT_EQ(driver.send(base64("jane") + "\r\n"), "334 UGFzc3dvcmQ6\r\n");
}

TEST_F(SmtpTest, RefusesAuthOutOfPlace) {
  submission();
  auto driver = started();
  EXPECT_EQ(codes(driver.send("AUTH PLAIN " + plain("jane", "secret") + "\r\n")), "503") << "before EHLO";
  driver.send("HELO a\r\n");
  EXPECT_EQ(codes(driver.send("AUTH PLAIN " + plain("jane", "secret") + "\r\n")), "503") << "after HELO";
  driver = loggedIn();
  EXPECT_EQ(codes(driver.send("AUTH PLAIN " + plain("jane", "secret") + "\r\n")), "503") << "twice";
}

TEST_F(SmtpTest, ClosesAfterThreeFailedLoginsAndTellsNothingByThem) {
  submission();
  auto driver = greeted();
  const auto unknown = driver.send("AUTH PLAIN " + plain("nobody", "x") + "\r\n");
  const auto wrong = driver.send("AUTH PLAIN " + plain("jane", "x") + "\r\n");
  EXPECT_EQ(unknown, wrong);
  EXPECT_FALSE(driver.closed());
  EXPECT_EQ(codes(driver.send("AUTH PLAIN " + plain("joe", "x") + "\r\n")), "535 421");
  EXPECT_TRUE(driver.closed());
}

TEST_F(SmtpTest, LogsWhoFailedToLogInAndNeverThePassword) {
  submission();
  greeted().send("AUTH PLAIN " + plain("jane", "hunter2") + "\r\nAUTH LOGIN " + base64("joe") + "\r\n" +
                 base64("hunter3") + "\r\n");
  greeted().send("AUTH PLAIN " + plain("jane", "secret") + "\r\n");
  EXPECT_THAT(logged(), HasSubstr("smtp.login.failed"));
  EXPECT_THAT(logged(), HasSubstr("192.0.2.7"));
  EXPECT_THAT(logged(), HasSubstr("joe"));
  for (const char* password : {"hunter2", "hunter3", "secret"}) {
    EXPECT_THAT(logged(), Not(HasSubstr(password)));
    EXPECT_THAT(logged(), Not(HasSubstr(base64(password))));
  }
}

TEST_F(SmtpTest, ForgetsTheLoginOfBeforeStartTls) {
  submission(false);
  settings_.allowPlainText = true;
  settings_.tlsRequired = false;
  auto driver = loggedIn();
  driver.send("STARTTLS\r\n");
  driver.encrypt();
  driver.send("EHLO a\r\n");
  EXPECT_TRUE(driver.session().loginPending());
  EXPECT_EQ(codes(driver.send("MAIL FROM:<>\r\n")), "530");
}

TEST_F(SmtpTest, TakesMailOnSubmissionOnlyAfterTlsAndLogin) {
  submission(false);
  auto driver = greeted();
  EXPECT_EQ(driver.send("MAIL FROM:<a@b.example>\r\n"), "530 5.7.0 Must issue a STARTTLS command first\r\n");
  driver.send("STARTTLS\r\n");
  driver.encrypt();
  driver.send("EHLO a\r\n");
  EXPECT_EQ(driver.send("MAIL FROM:<a@b.example>\r\n"), "530 5.7.0 Authentication required\r\n");
  driver.send("AUTH PLAIN " + plain("jane", "secret") + "\r\n");
  EXPECT_EQ(codes(driver.send("MAIL FROM:<a@b.example> AUTH=<>\r\nRCPT TO:<joe@example.org>\r\n")), "250 250");
  EXPECT_THAT(driver.send("RCPT TO:<x@elsewhere.example>\r\n"), StartsWith("550 5.7.1 Cannot relay"));
}

TEST_F(SmtpTest, LimitsTheLinesOfAnExchange) {
  submission();
  auto driver = greeted();
  EXPECT_EQ(codes(driver.send("AUTH PLAIN " + std::string(8000, 'A') + "\r\n")), "501") << "long, but permitted";
  EXPECT_EQ(codes(driver.send("AUTH PLAIN " + std::string(13000, 'A') + "\r\n")), "500");
  driver.send("AUTH PLAIN\r\n");
  EXPECT_EQ(codes(driver.send(std::string(13000, 'A') + "\r\nNOOP\r\n")), "500 250");
}

TEST_F(SmtpTest, WaitsForALoginUntilItHasOne) {
  EXPECT_FALSE(started().session().loginPending()) << "role mx";
  submission();
  auto driver = greeted();
  EXPECT_TRUE(driver.session().loginPending());
  driver.send("AUTH PLAIN " + plain("jane", "secret") + "\r\n");
  EXPECT_FALSE(driver.session().loginPending());
}

}  // namespace
}  // namespace postern::smtp
