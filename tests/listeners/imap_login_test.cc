#include "tests/listeners/imap_fixture.h"

namespace postern::imap {
namespace {

class ImapLogin : public ImapTest {};

TEST_F(ImapLogin, GreetsWithHostnameAndCapabilities) {
  auto driver = make();
  EXPECT_EQ(
      driver.startEncrypted(),
      "* OK [CAPABILITY IMAP4rev1 LITERAL+ SASL-IR ID ENABLE IDLE AUTH=PLAIN] imap.example.org Postern ready\r\n");
  settings_.greeting = "Acme Mail";
  EXPECT_THAT(make().startEncrypted(), HasSubstr("imap.example.org Acme Mail ready\r\n"));
}

TEST_F(ImapLogin, LogsInWithAtomsQuotedStringsAndLiterals) {
  EXPECT_THAT(started().send("a LOGIN jane secret\r\n"), StartsWith("a OK [CAPABILITY IMAP4rev1 "));
  EXPECT_THAT(started().send("a login \"jane@example.org\" \"secret\"\r\n"), StartsWith("a OK "));
  EXPECT_THAT(started().send("a LOGIN joe \"ti\\\"ger\"\r\n"), StartsWith("a OK "));
  EXPECT_THAT(started().send("a LOGIN " + literalPlus("jane") + " " + literalPlus("secret") + "\r\n"),
              StartsWith("a OK "));
  auto waiting = started();
  EXPECT_EQ(waiting.send("a LOGIN {4}\r\n"), "+ Go on\r\n");
  EXPECT_EQ(waiting.send("jane {6}\r\n"), "+ Go on\r\n");
  EXPECT_THAT(waiting.send("secret\r\n"), StartsWith("a OK "));
}

TEST_F(ImapLogin, TakesLiteralsCutAtEveryByte) {
  const std::string command = "a LOGIN " + literalPlus("jane") + " " + literalPlus("secret") + "\r\nb NOOP\r\n";
  for (std::size_t cut = 1; cut < command.size(); ++cut) {
    auto driver = started();
    auto said = driver.send(command.substr(0, cut));
    said += driver.send(command.substr(cut));
    EXPECT_THAT(said, AllOf(StartsWith("a OK "), EndsWith("b OK Done\r\n"))) << "cut at " << cut;
  }
  auto driver = started();
  EXPECT_THAT(driver.sendBytewise(command), AllOf(StartsWith("a OK "), EndsWith("b OK Done\r\n")));
}

TEST_F(ImapLogin, TakesABareLineFeedFromPeopleWhoType) {
  EXPECT_THAT(started().send("a LOGIN jane secret\n"), StartsWith("a OK "));
}

TEST_F(ImapLogin, AuthenticatesWithPlain) {
  auto driver = started();
  EXPECT_EQ(driver.send("a AUTHENTICATE PLAIN\r\n"), "+ \r\n");
  EXPECT_THAT(driver.send(plain("jane", "secret") + "\r\n"), StartsWith("a OK "));
  EXPECT_FALSE(driver.session().loginPending());
  EXPECT_THAT(started().send("a AUTHENTICATE PLAIN " + plain("jane", "secret") + "\r\n"), StartsWith("a OK "));
  EXPECT_THAT(started().send("a authenticate plain " + plain("jane", "secret", "jane") + "\r\n"), StartsWith("a OK "));
}

TEST_F(ImapLogin, RefusesWhatIsNoPlainMessage) {
  for (const std::string& initial : {std::string("="), std::string("AAA"), std::string("%%%%"), base64("jane")}) {
    EXPECT_THAT(started().send("a AUTHENTICATE PLAIN " + initial + "\r\n"), StartsWith("a BAD ")) << initial;
  }
  EXPECT_THAT(started().send("a AUTHENTICATE PLAIN " + plain("", "secret") + "\r\n"), StartsWith("a BAD "));
  EXPECT_THAT(started().send("a AUTHENTICATE PLAIN " + plain("jane", "secret", "joe") + "\r\n"),
              StartsWith("a NO [AUTHORIZATIONFAILED]"));
  EXPECT_THAT(started().send("a AUTHENTICATE CRAM-MD5\r\n"), StartsWith("a NO "));
  auto driver = started();
  driver.send("a AUTHENTICATE PLAIN\r\n");
  EXPECT_EQ(driver.send("*\r\n"), "a BAD Cancelled\r\n");
  EXPECT_THAT(driver.send("b LOGIN jane secret\r\n"), StartsWith("b OK "));
}

TEST_F(ImapLogin, EndsAfterThreeFailedLogins) {
  auto driver = started();
  EXPECT_EQ(driver.send("a LOGIN jane wrong\r\n"), "a NO [AUTHENTICATIONFAILED] Wrong name or password\r\n");
  EXPECT_EQ(driver.send("b LOGIN nobody secret\r\n"), "b NO [AUTHENTICATIONFAILED] Wrong name or password\r\n");
  EXPECT_EQ(driver.send("c AUTHENTICATE PLAIN " + plain("jane", "wrong") + "\r\n"),
            "c NO [AUTHENTICATIONFAILED] Wrong name or password\r\n* BYE Too many failed logins\r\n");
  EXPECT_TRUE(driver.closed());
}

TEST_F(ImapLogin, LogsWhoCameAndWhoDidNotButNoPassword) {
  loggedIn();
  auto driver = started();
  driver.send("a LOGIN \"mal\" hunter2\r\n");
  const auto log = logged();
  EXPECT_THAT(log, AllOf(HasSubstr("imap.login.ok"), HasSubstr("account=jane"), HasSubstr("peer=192.0.2.7"),
                         HasSubstr("listener=imap"), HasSubstr("imap.login.failed"), HasSubstr("mal")));
  EXPECT_THAT(log, AllOf(Not(HasSubstr("secret")), Not(HasSubstr("hunter2"))));
}

TEST_F(ImapLogin, HashesOnTheWorkerAndHoldsWhatIsPipelinedMeanwhile) {
  const auto session = std::make_shared<Session>(
      std::make_shared<const listeners::ListenerSettings>(settings_), listeners::Peer{},
      std::make_shared<mail::Accounts>(std::vector<mail::Account>{{"jane", Secret("secret"), {}}}), root_, log_);
  session->encrypted(Driver::defaultFacts());
  session->greet();
  auto step = session->received("a LOGIN jane secret\r\nb NOOP\r\n");
  EXPECT_EQ(step.reply, "");
  ASSERT_TRUE(step.work);
  EXPECT_TRUE(session->loginPending());
  step.work();
  step = session->resumed();
  EXPECT_THAT(step.reply, AllOf(StartsWith("a OK "), EndsWith("b OK Done\r\n")));
}

TEST_F(ImapLogin, NeedsTlsBeforeAPassword) {
  startTls();
  auto driver = make();
  const auto greeting = driver.start();
  EXPECT_THAT(greeting, AllOf(HasSubstr("STARTTLS LOGINDISABLED]"), Not(HasSubstr("AUTH="))));
  EXPECT_THAT(driver.send("a LOGIN jane secret\r\n"), StartsWith("a NO [PRIVACYREQUIRED]"));
  EXPECT_THAT(driver.send("a LOGIN {4}\r\n"), StartsWith("a NO [PRIVACYREQUIRED]")) << "no continuation";
  EXPECT_THAT(driver.send("a AUTHENTICATE PLAIN\r\n"), StartsWith("a NO [PRIVACYREQUIRED]")) << "no continuation";
  EXPECT_EQ(driver.send("b STARTTLS\r\n"), "b OK Begin TLS negotiation now\r\n");
  EXPECT_TRUE(driver.wantsTls());
  EXPECT_EQ(driver.encrypt(), "");
  EXPECT_THAT(driver.send("c CAPABILITY\r\n"),
              AllOf(HasSubstr(" AUTH=PLAIN\r\n"), Not(HasSubstr("STARTTLS")), Not(HasSubstr("LOGINDISABLED"))));
  EXPECT_THAT(driver.send("d STARTTLS\r\n"), StartsWith("d BAD "));
  EXPECT_THAT(driver.send("e LOGIN jane secret\r\n"), StartsWith("e OK "));
}

TEST_F(ImapLogin, GoesOnInTheClearWhereThereIsNoRoomForAHandshake) {
  startTls();
  auto driver = started();
  EXPECT_EQ(driver.send("b STARTTLS\r\n"), "b OK Begin TLS negotiation now\r\n");
  EXPECT_EQ(driver.goAhead(), std::string("b OK Begin TLS negotiation now\r\n").size());
  EXPECT_THAT(driver.refuseTls(), StartsWith("b NO [UNAVAILABLE] "));
  EXPECT_THAT(driver.send("c LOGIN jane secret\r\n"), StartsWith("c NO [PRIVACYREQUIRED]"));
  EXPECT_THAT(driver.send("d STARTTLS\r\n"), StartsWith("d OK "));
  driver.encrypt();
  EXPECT_THAT(driver.send("e LOGIN jane secret\r\n"), StartsWith("e OK "));
}

TEST_F(ImapLogin, ForgetsWhatWasTypedBehindStartTls) {
  startTls();
  // All in one segment, whole commands and the beginning of one.
  for (const std::string injected :
       {"b LOGIN jane secret\r\n", "b LOG", "b NOOP\r\nc LOGIN {4}\r\n", "c ID {400+}\r\n"}) {
    auto driver = make();
    driver.start();
    EXPECT_EQ(driver.send("a STARTTLS\r\n" + injected), "a OK Begin TLS negotiation now\r\n") << injected;
    EXPECT_EQ(driver.encrypt(), "") << injected;
    EXPECT_EQ(driver.send("z NOOP\r\n"), "z OK Done\r\n") << injected;
    EXPECT_TRUE(driver.session().loginPending()) << injected;
  }
}

TEST_F(ImapLogin, AllowsPlainTextOnlyWhereBothSettingsDo) {
  settings_.tls = listeners::TlsMode::Off;
  EXPECT_THAT(make().start(), AllOf(HasSubstr("LOGINDISABLED"), Not(HasSubstr("STARTTLS"))));
  settings_.allowPlainText = true;
  EXPECT_THAT(make().start(), HasSubstr("LOGINDISABLED"));  // tls.required was said outright
  settings_.tlsRequired = false;
  EXPECT_THAT(make().start(), HasSubstr("AUTH=PLAIN"));
  EXPECT_THAT(started().send("a STARTTLS\r\n"), StartsWith("a BAD "));
  EXPECT_THAT(started().send("a LOGIN jane secret\r\n"), StartsWith("a OK "));
}

TEST_F(ImapLogin, IsUnavailableWithoutAMaildir) {
  root_.clear();
  EXPECT_THAT(started().send("a LOGIN jane secret\r\n"), StartsWith("a NO [UNAVAILABLE]"));
  EXPECT_THAT(started().send("a AUTHENTICATE PLAIN " + plain("jane", "secret") + "\r\n"),
              StartsWith("a NO [UNAVAILABLE]"));
}

TEST_F(ImapLogin, KeepsCommandsToTheirStates) {
  auto driver = started();
  for (const std::string command : {"SELECT INBOX", "LIST \"\" *", "FETCH 1 FLAGS", "IDLE", "APPEND INBOX {1+}\r\nx"}) {
    EXPECT_EQ(driver.send("a " + command + "\r\n"), "a BAD Log in first\r\n") << command;
  }
  driver = loggedIn();
  EXPECT_THAT(driver.send("a LOGIN jane secret\r\n"), StartsWith("a BAD "));
  EXPECT_THAT(driver.send("a STARTTLS\r\n"), StartsWith("a BAD "));
  for (const std::string command : {"FETCH 1 FLAGS", "UID SEARCH ALL", "CHECK", "CLOSE", "EXPUNGE", "COPY 1 INBOX"}) {
    EXPECT_EQ(driver.send("a " + command + "\r\n"), "a BAD Not in this state\r\n") << command;
  }
}

TEST_F(ImapLogin, AnswersTheSmallCommands) {
  auto driver = started();
  EXPECT_EQ(driver.send("a NOOP\r\n"), "a OK Done\r\n");
  EXPECT_EQ(driver.send("a ID NIL\r\n"), "* ID (\"name\" \"Postern\")\r\na OK Done\r\n");
  EXPECT_THAT(driver.send("a ID (\"name\" \"x\" \"version\" NIL)\r\n"), EndsWith("a OK Done\r\n"));
  EXPECT_THAT(driver.send("a ID (\"name\"\r\n"), StartsWith("a BAD "));
  EXPECT_THAT(driver.send("a NOOP now\r\n"), StartsWith("a BAD "));
  EXPECT_EQ(driver.send("a LOGOUT\r\n"), "* BYE Logging out\r\na OK Done\r\n");
  EXPECT_TRUE(driver.closed());
  driver = loggedIn();
  EXPECT_EQ(driver.send("a ENABLE CONDSTORE\r\n"), "* ENABLED\r\na OK Done\r\n");
  EXPECT_EQ(driver.send("a NAMESPACE\r\n"), "* NAMESPACE ((\"\" \".\")) NIL NIL\r\na OK Done\r\n");
  EXPECT_EQ(driver.farewell(listeners::Session::Farewell::ShuttingDown), "* BYE Server is shutting down\r\n");
  EXPECT_EQ(driver.farewell(listeners::Session::Farewell::IdleTooLong), "* BYE Idle for too long\r\n");
}

TEST_F(ImapLogin, ClosesAtTheFirstHttpVerbWithoutAWord) {
  for (const std::string request : {"GET / HTTP/1.1\r\n", "POST /a HTTP/1.1\r\nHost: x\r\n\r\n", "OPTIONS *"}) {
    auto driver = started();
    EXPECT_EQ(driver.send(request), "") << request;
    EXPECT_TRUE(driver.closed()) << request;
  }
  auto driver = started();
  EXPECT_EQ(driver.sendBytewise("PUT /"), "");
  EXPECT_TRUE(driver.closed());
}

TEST_F(ImapLogin, NeverEchoesWhatIsNoTag) {
  for (const std::string line : {"<script>alert(1)</script> x", "\"tag\" NOOP", "+ NOOP", "<b>x NOOP", "a(b NOOP", "",
                                 "123456789012345678901234567890123 NOOP"}) {
    EXPECT_EQ(started().send(line + "\r\n"), "* BAD A command begins with a tag\r\n") << line;
  }
  auto driver = started();
  EXPECT_EQ(driver.send("a <script>\r\n"), "a BAD Unknown command\r\n");
  EXPECT_THAT(driver.send("<script> LOGIN {999999}\r\n"), StartsWith("* BAD "));
  EXPECT_EQ(driver.send("12345678901234567890123456789012 NOOP\r\n"), "12345678901234567890123456789012 OK Done\r\n");
}

TEST_F(ImapLogin, HangsUpAfterTenBadCommands) {
  auto driver = started();
  for (int i = 1; i < 10; ++i) EXPECT_EQ(driver.send("a FOO\r\n"), "a BAD Unknown command\r\n");
  EXPECT_EQ(driver.send("a FOO\r\n"), "a BAD Unknown command\r\n* BYE Too many bad commands\r\n");
  EXPECT_TRUE(driver.closed());
}

TEST_F(ImapLogin, BoundsLinesAndLiterals) {
  auto driver = started();
  EXPECT_THAT(driver.send(std::string(70000, 'a')), StartsWith("* BYE "));
  EXPECT_TRUE(driver.closed());
  driver = started();
  EXPECT_THAT(driver.send("a LOGIN {65537}\r\n"), StartsWith("a BAD "));
  EXPECT_THAT(driver.send("b NOOP\r\n"), StartsWith("b OK ")) << "the refused command is forgotten";
  EXPECT_THAT(driver.send("a LOGIN {999999999999999999999}\r\n"), StartsWith("a BAD "));
  EXPECT_THAT(driver.send("a LOGIN {65537+}\r\n"), StartsWith("* BYE [TOOBIG]"));
  EXPECT_TRUE(driver.closed());
  driver = started();
  // Literals of one command count together.
  EXPECT_EQ(driver.send("a LOGIN {40000}\r\n"), "+ Go on\r\n");
  EXPECT_THAT(driver.send(std::string(40000, 'x') + " {40000}\r\n"), StartsWith("a BAD "));
  // And so do the lines between them.
  driver = started();
  for (int i = 0; i < 80 && !driver.closed(); ++i) driver.send((i ? "" : "a ") + std::string(1000, 'x') + " {0+}\r\n");
  EXPECT_TRUE(driver.closed());
}

TEST_F(ImapLogin, SurvivesNulsAndControlCharacters) {
  auto driver = started();
  EXPECT_THAT(driver.send(std::string("a LOGIN \"ja\0ne\" x\r\n", 19)), StartsWith("a BAD "));
  EXPECT_THAT(driver.send("a LOGIN {4+}\r\nja" + std::string(1, '\0') + "e x\r\n"), StartsWith("a BAD "));
  EXPECT_EQ(driver.send(std::string("\0\0 NOOP\r\n", 9)), "* BAD A command begins with a tag\r\n");
  EXPECT_THAT(driver.send("a LOGIN jane secret\r\n"), StartsWith("a OK "));
}

}  // namespace
}  // namespace postern::imap
