#include "base/program.h"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <fstream>
#include <iterator>
#include <thread>

#include "base/error.h"

namespace postern {
namespace {

using namespace std::chrono_literals;
using Lines = std::vector<std::string>;

class Run : public ::testing::Test {
 protected:
  ProgramEnd sh(const std::string& script, const std::string& input = "", Duration limit = 1min,
                std::stop_token stop = {}) {
    Program program{{"sh", "-c", script, "sh"}, input};
    program.limit = limit;
    return run(std::move(program), std::move(stop));
  }
  ProgramEnd run(Program program, std::stop_token stop = {}) {
    return runProgram(program, std::move(stop), [this](std::string_view line) { lines.emplace_back(line); });
  }
  // Runs it with a time limit that leaves this machine the time for the first `count` lines at least.
  ProgramEnd cutAfter(std::size_t count, const std::string& script) {
    for (Duration limit = 200ms;; limit *= 2) {
      lines.clear();
      auto end = sh(script, "", limit);
      if (lines.size() >= count || limit > 1min) return end;
    }
  }
  // Whether the process whose id the program printed first has gone.
  bool gone() const {
    const std::string stat = "/proc/" + lines.at(0) + "/stat";
    for (int i = 0; i < 30000; ++i) {
      std::ifstream file(stat);
      const std::string text{std::istreambuf_iterator<char>(file), {}};
      if (text.empty() || text.find(") Z ") != std::string::npos) return true;  // Z: only its status is left
      std::this_thread::sleep_for(1ms);
    }
    return false;
  }
  Lines lines;
};

TEST_F(Run, GivesBackEachLineOfBothOutputsAndTheExitStatus) {
  const auto end = sh("echo one; echo two >&2; printf 'three\\r\\nfour'; exit 3");
  EXPECT_EQ(lines, (Lines{"one", "two", "three", "four"}));
  EXPECT_EQ(end.how, ProgramEnd::How::Exited);
  EXPECT_EQ(end.status, 3);
  EXPECT_FALSE(end.succeeded());
  EXPECT_EQ(end.words(), "exit status 3");
}

TEST_F(Run, GivesArgumentsWithoutAShell) {
  EXPECT_TRUE(run({{"printf", "%s\\n", "$HOME; echo no", "a b"}}).succeeded());
  EXPECT_EQ(lines, (Lines{"$HOME; echo no", "a b"}));
}

TEST_F(Run, GivesTheInputWholeAndThenItsEnd) {
  EXPECT_TRUE(sh("wc -c", std::string(300000, 'x')).succeeded());
  EXPECT_EQ(lines, Lines{"300000"});
}

TEST_F(Run, IsNotHurtByAProgramThatDoesNotReadItsInput) {
  EXPECT_TRUE(sh("exec <&-; sleep 0.1; echo done", std::string(300000, 'x')).succeeded());
  EXPECT_EQ(lines, Lines{"done"});
}

TEST_F(Run, AddsVariablesToOurEnvironmentAndPrefersThem) {
  ::setenv("POSTERN_TEST_OURS", "ours", 1);
  ::setenv("POSTERN_TEST_BOTH", "ours", 1);
  Program program{{"sh", "-c", "echo $POSTERN_TEST_OURS $POSTERN_TEST_BOTH $POSTERN_TEST_ITS"}, ""};
  program.environment = {"POSTERN_TEST_BOTH=its", "POSTERN_TEST_ITS=too"};
  EXPECT_TRUE(run(program).succeeded());
  EXPECT_EQ(lines, Lines{"ours its too"});
}

TEST_F(Run, LeavesOurEnvironmentOutWhenToldSo) {
  ::setenv("POSTERN_TEST_OURS", "ours", 1);
  Program program{{"/bin/sh", "-c", "echo \"<$POSTERN_TEST_OURS>\" $POSTERN_TEST_ITS"}};
  program.environment = {"POSTERN_TEST_ITS=its"};
  program.inherits = false;
  EXPECT_TRUE(run(program).succeeded());
  EXPECT_EQ(lines, Lines{"<> its"});
}

TEST_F(Run, KeepsTheLastLinesThatAreNotBlankHoweverManyThereWere) {
  EXPECT_EQ(sh("seq 1 5000; echo; echo ' end '; echo").lastLines, (Lines{"4999", "5000", "end"}));
}

TEST_F(Run, MayRunOnForAWhileAfterAStopRequest) {
  std::stop_source stop;
  stop.request_stop();
  Program program{{"sh", "-c", "echo cleaned up"}};
  program.afterStop = 1h;
  EXPECT_TRUE(run(program, stop.get_token()).succeeded());
  EXPECT_EQ(lines, Lines{"cleaned up"});
  program.arguments.back() = "sleep 1000";
  program.afterStop = 300ms;
  EXPECT_EQ(run(program, stop.get_token()).how, ProgramEnd::How::Stopped);
}

TEST_F(Run, PassesOnNoDescriptorOfOurs) {
  const int leaked = ::dup(STDERR_FILENO);  // without close-on-exec
  sh("ls -A /proc/self/fd | sort -n | head -n -1 | tr '\\n' ' '");
  ::close(leaked);
  ASSERT_EQ(lines.size(), 1U);
  EXPECT_EQ(lines[0], "0 1 2 ");  // the one cut away is ls's own, of the folder
}

TEST_F(Run, GivesTheProgramAGroupOfItsOwnAndDefaultSignals) {
  sigset_t blocked, before;
  sigemptyset(&blocked);
  sigaddset(&blocked, SIGTERM);
  pthread_sigmask(SIG_BLOCK, &blocked, &before);
  const auto end = sh("[ $(cut -d' ' -f5 /proc/$$/stat) = $$ ] && kill -TERM $$; echo survived");
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  EXPECT_EQ(end.how, ProgramEnd::How::Signaled);
  EXPECT_EQ(end.status, SIGTERM);
  EXPECT_EQ(lines, Lines{});
}

TEST_F(Run, KillsTheWholeGroupAtTheTimeLimitEvenWhenItIgnoresSigterm) {
  const auto end = cutAfter(1, "trap '' TERM; sleep 1000 & echo $!; while :; do sleep 1000; done");
  EXPECT_EQ(end.how, ProgramEnd::How::TimedOut);
  EXPECT_FALSE(end.succeeded());
  EXPECT_TRUE(gone());
}

TEST_F(Run, KillsTheProgramAtAStopRequestWithinASecond) {
  std::stop_source stop;
  std::chrono::steady_clock::time_point asked;
  Program program{{"sh", "-c", "trap '' TERM; echo $$; while :; do sleep 1000; done"}, ""};
  program.limit = 1h;
  const auto end = runProgram(program, stop.get_token(), [&](std::string_view line) {
    lines.emplace_back(line);
    asked = std::chrono::steady_clock::now();
    stop.request_stop();
  });
  EXPECT_EQ(end.how, ProgramEnd::How::Stopped);
  EXPECT_LT(std::chrono::steady_clock::now() - asked, 1min);  // not at its time limit, on a busy machine either
  EXPECT_TRUE(gone());
}

TEST_F(Run, ObeysTheTimeLimitOfAProgramThatNeverStopsWriting) {
  EXPECT_EQ(cutAfter(200, "yes").how, ProgramEnd::How::TimedOut);
  EXPECT_EQ(lines.size(), 200U);
}

TEST_F(Run, DoesNotWaitForWhatTheProgramLeftInTheBackground) {
  const auto end = sh("sleep 1000 & echo $!; exit 0");
  EXPECT_TRUE(end.succeeded());
  ASSERT_EQ(lines.size(), 1U);
  ::kill(static_cast<pid_t>(std::stol(lines[0])), SIGKILL);
}

TEST_F(Run, CutsALineThatIsTooLong) {
  sh("head -c 10000 /dev/zero | tr '\\0' x; echo; echo next");
  ASSERT_EQ(lines.size(), 2U);
  EXPECT_EQ(lines[0], std::string(1000, 'x'));
  EXPECT_EQ(lines[1], "next");
}

TEST_F(Run, SaysWhyAProgramCannotBeStarted) {
  try {
    run({{"/nowhere/to/be/found"}});
    FAIL() << "it was started";
  } catch (const SystemError& error) {
    EXPECT_EQ(std::string(error.what()), "cannot run /nowhere/to/be/found: No such file or directory");
  }
}

}  // namespace
}  // namespace postern
