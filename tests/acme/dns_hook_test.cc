#include "acme/dns_hook.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <csignal>
#include <fstream>
#include <sstream>
#include <thread>

#include "tests/support/temporary_folder.h"

namespace postern::acme {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

struct DnsHookTest : ::testing::Test {
  std::string program(const std::string& script) {
    const std::string path = file("hook");
    std::ofstream(path) << "#!/bin/sh\n" << script;
    ::chmod(path.c_str(), 0700);
    return path;
  }
  std::string file(const std::string& name) const { return (folder.path() / name).string(); }
  std::string content(const std::string& name) const {
    std::ostringstream text;
    text << std::ifstream(file(name)).rdbuf();
    return text.str();
  }
  DnsHook hook(const std::string& script, Duration longest = std::chrono::minutes(1)) {
    return DnsHook(program(script), {{"POSTERN_PROVIDER", "le"}, {"POSTERN_IDENTIFIER", "example.org"}}, log, longest);
  }
  std::string failure(DnsHook method) {
    try {
      method.add(record, {});
    } catch (const Error& error) {
      EXPECT_EQ(error.problem.type, "postern:dns");
      return error.problem.detail;
    }
    return "nothing was thrown";
  }
  support::TemporaryFolder folder;
  Log log{LogSettings{LogLevel::Info, LogFormat::Text, (folder.path() / "log").string()}};
  const TxtRecord record{"_acme-challenge.example.org", "the-value", 60};
};

TEST_F(DnsHookTest, IsCalledWithTheActionTheNameAndTheValue) {
  DnsHook method = hook("for word in \"$@\"; do printf '<%s>' \"$word\"; done >> " + file("calls"));
  method.add(record, {});
  method.remove(record, {});
  EXPECT_EQ(content("calls"),
            "<present><_acme-challenge.example.org><the-value>"
            "<cleanup><_acme-challenge.example.org><the-value>");
}

TEST_F(DnsHookTest, FindsNoMoreOfTheEnvironmentThanItNeedsAndAnEmptyInput) {
  ::setenv("SECRET_OF_THE_SERVER", "must not leak", 1);
  hook("env > " + file("env") + "; cat > " + file("input")).add(record, {});
  ::unsetenv("SECRET_OF_THE_SERVER");
  EXPECT_THAT(content("env"), HasSubstr("POSTERN_IDENTIFIER=example.org\n"));
  EXPECT_THAT(content("env"), HasSubstr("POSTERN_PROVIDER=le\n"));
  EXPECT_THAT(content("env"), HasSubstr("PATH="));
  EXPECT_THAT(content("env"), Not(HasSubstr("must not leak")));
  EXPECT_EQ(content("input"), "");
}

TEST_F(DnsHookTest, HasItsOutputInTheLogLineByLineWithoutTheValue) {
  hook("echo setting \"$3\"; echo; printf 'two\\033[31m' >&2").add(record, {});
  EXPECT_THAT(content("log"), HasSubstr("setting (value)"));
  EXPECT_THAT(content("log"), HasSubstr("two"));
  EXPECT_THAT(content("log"), Not(HasSubstr("the-value")));
  EXPECT_THAT(content("log"), Not(HasSubstr("\033")));
}

TEST_F(DnsHookTest, FloodsNeitherTheLogNorMemory) {
  hook("head -c 3000000 /dev/zero | tr '\\0' 'x'; echo; seq 1 5000").add(record, {});
  EXPECT_LT(content("log").size(), 100'000U);
}

TEST_F(DnsHookTest, ThatFailsIsAnErrorWithItsStatusAndItsLastWords) {
  const std::string said = failure(hook("seq 1 9; echo 'no such zone' >&2; exit 3"));
  EXPECT_THAT(said, HasSubstr("status 3"));
  EXPECT_THAT(said, HasSubstr("its last words: 8 / 9 / no such zone"));
  EXPECT_THAT(said, Not(HasSubstr("7 / 8")));
  EXPECT_THAT(failure(hook("kill -SEGV $$")), HasSubstr("signal 11"));
}

TEST_F(DnsHookTest, ThatCannotBeStartedIsAnErrorThatSaysWhyAndNothingWasChanged) {
  DnsHook method(file("not there"), {}, log);
  try {
    method.add(record, {});
    FAIL();
  } catch (const NothingChanged& error) {
    EXPECT_THAT(error.problem.detail, HasSubstr("No such file or directory"));
  }
}

TEST_F(DnsHookTest, IsKilledWithItsChildrenWhenItTakesTooLong) {
  std::string said;
  // On a busy machine it may be longer until there is a child.
  for (Duration longest(500); content("child").empty() && longest < std::chrono::minutes(2); longest *= 2)
    said = failure(hook("echo waiting; sleep 1000 & echo $! > " + file("child") + "; wait", longest));
  EXPECT_THAT(said, HasSubstr("still running after"));
  EXPECT_THAT(said, HasSubstr("waiting"));
  const int child = std::stoi(content("child"));
  const auto until = std::chrono::steady_clock::now() + std::chrono::minutes(1);
  const auto alive = [&] {  // an orphan that nobody has waited for yet is dead as well
    std::ifstream state("/proc/" + std::to_string(child) + "/stat");
    std::string number, name, letter;
    return bool(state >> number >> name >> letter) && letter != "Z";
  };
  while (alive() && std::chrono::steady_clock::now() < until) std::this_thread::yield();
  EXPECT_FALSE(alive());
}

TEST_F(DnsHookTest, IsKilledWithinASecondOfAStopRequest) {
  DnsHook method = hook("touch " + file("running") + "; sleep 1000", std::chrono::hours(1));
  std::stop_source stop;
  std::chrono::steady_clock::time_point requested;
  std::jthread stopping([&] {
    while (!std::ifstream(file("running"))) std::this_thread::yield();
    requested = std::chrono::steady_clock::now();
    stop.request_stop();
  });
  EXPECT_THROW(method.add(record, stop.get_token()), Stopped);
  EXPECT_LT(std::chrono::steady_clock::now() - requested, std::chrono::minutes(1));  // of the hour that it has
}

TEST_F(DnsHookTest, IsNotWaitedForOnceItHasEndedThoughItLeftSomethingBehind) {
  hook("sleep 60 & echo $! > " + file("child")).add(record, {});
  ::kill(std::stoi(content("child")), SIGKILL);
}

TEST_F(DnsHookTest, CleansUpAlsoAfterTheOrderWasStopped) {
  std::stop_source stop;
  stop.request_stop();
  hook("echo $1 >> " + file("calls")).remove(record, stop.get_token());
  EXPECT_EQ(content("calls"), "cleanup\n");
}

TEST_F(DnsHookTest, StartsWithNoSignalBlocked) {
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  hook("grep SigBlk /proc/self/status > " + file("mask")).add(record, {});
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  EXPECT_THAT(content("mask"), HasSubstr("0000000000000000"));
}

}  // namespace
}  // namespace postern::acme
