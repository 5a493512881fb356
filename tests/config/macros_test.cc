// Macros and what they may show.
#include <gmock/gmock.h>

#include "loading.h"

namespace postern::config {
namespace {

using testing::HasSubstr;
using testing::Not;

std::string greeting(const std::string& text, const Surroundings& around = surroundings()) {
  return listenerOf(settingsOf(text, around), "smtp").listener.greeting;
}
std::string withGreeting(const std::string& value) {
  return smtp + "server.listener.smtp.greeting = \"" + value + "\"\n";
}

TEST(Macros, AreReplacedInAnyCase) {
  EXPECT_EQ(greeting(withGreeting("hello %{NAME}% and %{name}%") + "macros.Name = \"you\"\n"), "hello you and you");
}

TEST(Macros, MayUseOthers) {
  EXPECT_EQ(greeting(withGreeting("%{c}%") + "[macros]\na = \"1\"\nb = \"%{a}%2\"\nc = \"%{B}%3\"\n"), "123");
}

TEST(Macros, NumbersAndBooleansAreTakenAsText) {
  const Settings settings = settingsOf(smtp +
                                       "server.max-connections = \"%{N}%\"\nserver.socket.nodelay = \"%{OFF}%\"\n"
                                       "[macros]\nn = 17\noff = false\n");
  EXPECT_EQ(settings.shared.maxConnections, 17U);
  EXPECT_FALSE(settings.listeners.at(0).listener.socket.nodelay);
}

TEST(Macros, DoublePercentIsLiteral) {
  EXPECT_EQ(greeting(withGreeting("%%{NAME}% 100% %a")), "%{NAME}% 100% %a");
}

TEST(Macros, StandInEveryMemberOfAList) {
  const Settings settings = settingsOf("server.hostname = [\"a.%{D}%\", \"b.%{D}%\"]\nmacros.d = \"example.org\"\n");
  EXPECT_EQ(settings.hostnames, (std::vector<std::string>{"a.example.org", "b.example.org"}));
}

TEST(Macros, UnknownIsAnErrorAndNotAnEmptyText) {
  const std::string said = saidAbout(withGreeting("%{DEFAULT_DOMIAN}%") + "macros.default_domain = \"x\"\n");
  EXPECT_THAT(said, HasSubstr("postern.toml:4: error: server.listener.smtp.greeting"));
  EXPECT_THAT(said, HasSubstr("did you mean %{default_domain}%?"));
  EXPECT_THAT(saidAbout(withGreeting("%{}%")), HasSubstr("not defined"));
}

TEST(Macros, UnknownInARequiredKeyIsReportedOnceAndNotAsMissing) {
  const std::string said = saidAbout(
      "server.hostname = \"%{HOST}%\"\nserver.listener.a.bind = [\"%{BIND}%\"]\n"
      "server.listener.a.protocol = \"smtp\"\n");
  EXPECT_THAT(said, HasSubstr("%{HOST}%"));
  EXPECT_THAT(said, HasSubstr("%{BIND}%"));
  EXPECT_THAT(said, Not(HasSubstr("required")));
  EXPECT_EQ(std::count(said.begin(), said.end(), '\n'), 2) << said;
}

TEST(Macros, CyclicIsAnError) {
  EXPECT_THAT(saidAbout(smtp + "[macros]\na = \"%{b}%\"\nb = \"%{a}%\"\n"), HasSubstr("cyclic"));
  EXPECT_THAT(saidAbout(smtp + "[macros]\na = \"x%{A}%\"\n"), HasSubstr("cyclic"));
}

TEST(Macros, UnclosedIsAnError) {
  EXPECT_THAT(saidAbout(withGreeting("%{NAME")), HasSubstr("not closed"));
}

TEST(Macros, ThatDifferInCapitalsOnlyAreSetTwice) {
  EXPECT_THAT(saidAbout(smtp + "[macros]\na = \"1\"\nA = \"2\"\n"), HasSubstr("set twice"));
}

TEST(Macros, EnvTakesAVariableOfTheEnvironment) {
  EXPECT_EQ(greeting(withGreeting("%{env:WHO}%"), surroundings({{"WHO", "world"}})), "world");
  EXPECT_EQ(greeting(withGreeting("[%{env:WHO}%]"), surroundings({{"WHO", ""}})), "[]");
  EXPECT_THAT(saidAbout(withGreeting("%{env:WHO}%")), HasSubstr("no variable WHO"));
}

TEST(Macros, FileTakesAFileWithoutItsLastNewline) {
  const Folder folder;
  const std::string one = folder.write("one", "text\n"), two = folder.write("two", "text \n\n"),
                    three = folder.write("three", "text");
  const auto secretOf = [](const std::string& file) {
    const Settings settings =
        settingsOf(server + "[[directory.memory.principals]]\nname = \"a\"\nsecret = \"%{file:" + file + "}%\"\n");
    return std::string(settings.accounts.at(0).secret.reveal());
  };
  EXPECT_EQ(secretOf(one), "text");
  EXPECT_EQ(secretOf(two), "text \n");
  EXPECT_EQ(secretOf(three), "text");
}

TEST(Macros, FileThatCannotBeReadIsAnError) {
  EXPECT_THAT(saidAbout(withGreeting("%{file:/nonexistent/x}%")), HasSubstr("cannot be read: No such file"));
  EXPECT_THAT(saidAbout(withGreeting("%{file:relative}%")), HasSubstr("absolute path"));
  EXPECT_THAT(saidAbout(withGreeting("%{file:/}%")), HasSubstr("cannot be read"));
}

TEST(Macros, FilesThatWereReadAreListed) {
  const Folder folder;
  const std::string file = folder.write("greeting", "hi\n");
  const Settings settings = settingsOf(withGreeting("%{file:" + file + "}%"));
  EXPECT_THAT(settings.files, testing::Contains(file));
}

TEST(Macros, WhatTheyBringInIsNotReplacedAgain) {
  EXPECT_EQ(greeting(withGreeting("%{env:WHO}%"), surroundings({{"WHO", "%{X}%"}})), "%{X}%");
}

TEST(Macros, TheirValuesAreNeverShown) {
  const Surroundings around = surroundings({{"PW", "hunter2"}});
  for (const std::string& text :
       {smtp + "server.shutdown-timeout = \"%{env:PW}%\"\n",
        smtp + "server.shutdown-timeout = \"%{P}%\"\nmacros.p = \"%{env:PW}%\"\n",
        smtp + "server.shutdown-timeout = \"%{Q}%\"\n[macros]\np = \"%{env:PW}%\"\nq = \"x%{P}%\"\n",
        smtp + "server.tls.acme = \"%{env:PW}%\"\n", smtp + "server.tls.ciphers = [\"%{env:PW}%\"]\n",
        smtp + "server.listener.smtp.role = \"%{env:PW}%\"\n",
        smtp + "server.listener.b.bind = [\"a\", \"%{env:PW}%\"]\n", smtp + "certificate.a.cert = \"%{env:PW}%\"\n",
        smtp + "server.tls = \"%{env:PW}%\"\n"}) {
    const std::string said = saidAbout(text, around);
    EXPECT_THAT(said, HasSubstr("error")) << text;
    EXPECT_THAT(said, HasSubstr("(hidden)")) << text;
    EXPECT_THAT(said, Not(HasSubstr("hunter2"))) << text;
  }
}

TEST(Macros, ABrokenMacroInASecretShowsNothingOfIt) {
  const std::string said =
      saidAbout(server + "[[directory.memory.principals]]\nname = \"a\"\nsecret = \"hun%{ter}%2\"\n");
  EXPECT_THAT(said, HasSubstr("(hidden)"));
  EXPECT_THAT(said, Not(HasSubstr("hun")));
  EXPECT_THAT(said, Not(HasSubstr("ter}")));
}

TEST(Macros, StayWhatTheyAreInSectionsOfOtherServers) {
  EXPECT_THAT(saidAbout(smtp + "[sieve.trusted]\nscript = \"%{UNKNOWN}%\"\n"), Not(HasSubstr("error")));
}

}  // namespace
}  // namespace postern::config
