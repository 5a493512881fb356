// That what never returns holds nobody up: looks, mounts, and the process that looks.
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <csignal>
#include <functional>
#include <future>
#include <iostream>
#include <memory>
#include <thread>

#include "acme/error.h"
#include "server/doctor.h"
#include "server/in_child.h"
#include "tests/support/temporary_folder.h"

namespace postern::server {
namespace {

using namespace std::chrono_literals;

Findings said(const std::string& what) {
  return {{Weight::Note, "test", what, what, what}};
}

// The threads of this process; waits, for a minute at most, until there are no more than that.
std::size_t threadsHere() {
  return support::entriesIn("/proc/self/task");
}
void awaitThreads(std::size_t most) {
  for (const auto end = std::chrono::steady_clock::now() + 1min; threadsHere() > most;) {
    if (std::chrono::steady_clock::now() > end) return;
    std::this_thread::sleep_for(1ms);
  }
}

// A look that obeys no stop token, like one in the kernel's hands, until the test is over. Its end waits for the
// threads that were left behind.
class Stuck {
 public:
  Stuck() : released_(release_.get_future().share()) {}
  Stuck(const Stuck&) = delete;
  Stuck& operator=(const Stuck&) = delete;
  ~Stuck() {
    release_.set_value();
    awaitThreads(before_);
  }
  Examined at(const std::string& subject, const std::string& path) {
    return {"cache", subject, [path, until = released_, begun = begun_](std::stop_token) {
              lookingAt("/elsewhere");
              lookingAt(path);
              *begun = true;
              until.wait();
              return said("too late");
            }};
  }
  bool begun() const { return *begun_; }

 private:
  const std::size_t before_ = threadsHere();
  std::promise<void> release_;
  std::shared_future<void> released_;
  const std::shared_ptr<std::atomic<bool>> begun_ = std::make_shared<std::atomic<bool>>(false);
};

// What `examine` finds in a time that was enough for this machine, however busy, to begin the look in question.
Findings inTime(const std::function<Findings(Duration limit)>& examine, const std::function<bool()>& begun) {
  for (Duration limit = 100ms;; limit *= 2) {
    auto findings = examine(limit);
    if (begun() || limit > 1min) return findings;
  }
}

TEST(ExamineAll, LeavesALookThatNeverReturnsBehindAndNamesItsPath) {
  Stuck stuck;
  const auto findings = inTime(
      [&](Duration limit) {
        return examineAll({{"test", "first", [](std::stop_token) { return said("first"); }},
                           stuck.at("hung", "/nowhere/cache"),
                           {"test", "last", [](std::stop_token) { return said("last"); }}},
                          limit);
      },
      [&] { return stuck.begun(); });
  ASSERT_EQ(findings.size(), 3U) << doctorText(findings);
  EXPECT_EQ(findings[0].subject, "first");
  EXPECT_EQ(findings[2].subject, "last");
  EXPECT_EQ(findings[1].weight, Weight::Error);
  EXPECT_EQ(findings[1].check, "disk");
  EXPECT_EQ(findings[1].subject, "/nowhere/cache");
  EXPECT_EQ(findings[1].problem.find("the file system of /nowhere/cache does not answer within"), 0U);
  EXPECT_FALSE(findings[1].remedy.empty());
}

TEST(ExamineAll, SaysOfEachLookThatNeverBeganThatThereWasNoTime) {
  Stuck stuck;
  std::vector<Examined> all;
  for (int i = 0; i < 40; ++i) all.push_back(stuck.at("hung", "/nowhere"));
  all.push_back({"test", "never", [](std::stop_token) { return said("never"); }});
  const auto findings = examineAll(std::move(all), 100ms);
  ASSERT_EQ(findings.size(), 41U);
  EXPECT_EQ(findings.back().problem, "not looked at: there was no time left");
}

TEST(ExamineAll, NamesNoPathWhereTheLookHadLeftTheDisk) {
  Stuck stuck;
  const auto findings = inTime([&](Duration limit) { return examineAll({stuck.at("a server", "")}, limit); },
                               [&] { return stuck.begun(); });
  ASSERT_EQ(findings.size(), 1U);
  EXPECT_EQ(findings[0].check, "cache");
  EXPECT_EQ(findings[0].subject, "a server");
  EXPECT_EQ(findings[0].problem, "no answer in the time allowed");
}

TEST(ExamineAll, WaitsForALookThatObeysItsStopToken) {
  std::atomic<bool> begun = false;
  const auto look = [&](std::stop_token stop) -> Findings {
    begun = true;
    while (!stop.stop_requested()) std::this_thread::yield();
    return said("seen so far");
  };
  const auto findings = inTime(
      [&](Duration limit) {
        return examineAll({{"test", "slow", look}}, limit);
      },
      [&] { return begun.load(); });
  ASSERT_EQ(findings.size(), 1U);
  EXPECT_EQ(findings[0].problem, "seen so far");
}

TEST(HungPath, NamesTheInnermostMountThatHoldsThePath) {
  const support::TemporaryFolder folder;
  const std::string table = folder / "mountinfo";
  support::write(table,
                 "22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw\n"
                 "40 22 0:40 / /srv rw - nfs4 old.example.org:/srv rw\n"
                 "41 22 0:41 / /srv rw,relatime shared:7 master:1 - nfs4 files.example.org:/export rw,vers=4.2\n"
                 "42 22 0:42 / /srv/post\\040office rw - cifs //files/post\\040office rw\n"
                 "43 22 0:43 / /srv/acme-old rw - tmpfs tmpfs rw\n");
  const Finding nfs = hungPath("/srv/acme/ca", 10s, table);
  EXPECT_EQ(nfs.problem,
            "the file system of /srv/acme/ca does not answer within 10s (/srv is mounted from "
            "files.example.org:/export, nfs4)");
  EXPECT_NE(nfs.remedy.find("umount -l /srv`"), std::string::npos) << nfs.remedy;
  EXPECT_NE(hungPath("/srv/post office/x", 10s, table).problem.find("(/srv/post office is mounted from "),
            std::string::npos);
  EXPECT_EQ(hungPath("/srvother", 10s, table).problem, "the file system of /srvother does not answer within 10s");
  EXPECT_EQ(hungPath("/etc/x", 10s, folder / "none").problem, "the file system of /etc/x does not answer within 10s");
}

// --- inChild

class InChild : public ::testing::Test {
 protected:
  // Runs it with standard output and standard error kept.
  int run(const std::function<int()>& work, Duration limit = 1min) {
    awaitThreads(1);  // a fork while another one holds a lock of the sanitizer's allocator is a child that hangs
    testing::internal::CaptureStdout();
    testing::internal::CaptureStderr();
    const int status = inChild(work, limit);
    output = testing::internal::GetCapturedStdout();
    errors = testing::internal::GetCapturedStderr();
    return status;
  }
  std::string output, errors;
};

TEST_F(InChild, PassesOutputAndStatusOn) {
  const pid_t here = ::getpid();
  const std::string much(300000, 'x');  // more than a pipe holds
  EXPECT_EQ(run([&] {
              std::cout << much;
              std::cerr << "a word";
              return ::getpid() == here ? 1 : 7;
            }),
            7);
  EXPECT_EQ(output, much);
  EXPECT_EQ(errors, "a word");
}

TEST_F(InChild, DoesNotWaitForAThreadThatNeverEnds) {
  EXPECT_EQ(run([] {
              std::thread([] { ::pause(); }).detach();
              std::cout << "done";
              return 0;
            }),
            0);
  EXPECT_EQ(output, "done");
}

TEST_F(InChild, SaysWhyThereIsNoResult) {
  EXPECT_EQ(run([] { return ::raise(SIGKILL); }), 1);
  EXPECT_EQ(errors, "postern: ended by signal 9\n");
  EXPECT_EQ(run([]() -> int { ::_exit(0); }), 1);
  EXPECT_EQ(errors, "postern: ended without a result\n");
  EXPECT_EQ(run([]() -> int { throw acme::Stopped(); }), 1);
  EXPECT_EQ(errors, "postern: stopped\n");
}

TEST_F(InChild, EndsWorkThatDoesNotReturnWithinItsLimit) {
  const auto pausing = [] {
    std::cout << "begun" << std::flush;
    for (;;) ::pause();
    return 0;
  };
  Duration limit = 1s;
  int status = run(pausing, limit);
  // Longer where that was not enough for a busy machine to begin.
  while (output.empty() && limit < 1min) status = run(pausing, limit *= 2);
  EXPECT_EQ(status, 1);
  EXPECT_EQ(output, "begun");
  EXPECT_EQ(errors, "postern: not done within " + inWords(limit) + "\n");
}

}  // namespace
}  // namespace postern::server
