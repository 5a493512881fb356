#include "server/events.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <chrono>
#include <functional>
#include <thread>

#include "base/text.h"
#include "tests/support/fake_clock.h"
#include "tests/support/temporary_folder.h"
#include "tests/support/test_certificates.h"

namespace postern::server {
namespace {

using namespace std::chrono_literals;
using acme::Event;

class Events : public ::testing::Test {
 protected:
  Events() {
    LogSettings settings;
    settings.file = folder / "log";
    EXPECT_EQ(log.configure(settings), "");
  }
  // A program that runs `script`; `$OUT` is a file in the test's folder.
  std::string program(const std::string& script, const std::string& name = "hook") {
    const auto path = folder / name;
    support::write(path, "#!/bin/sh\nOUT=" + (folder / "out").string() + "\n" + script + "\n");
    EXPECT_EQ(::chmod(path.c_str(), 0700), 0);
    return path;
  }
  static Event event(Event::Kind kind, const std::string& name = "mail.example.org") {
    Event made{kind, {}};
    made.certificate.names = {name};
    made.certificate.provider = "main";
    made.certificate.keyType = "ecdsa-p256";
    return made;
  }
  std::string out() const { return support::contentOf(folder / "out"); }
  std::string logged() const { return support::contentOf(folder / "log"); }
  static bool eventually(const std::function<bool()>& isSo) {
    for (const auto end = std::chrono::steady_clock::now() + 2min; std::chrono::steady_clock::now() < end;) {
      if (isSo()) return true;
      std::this_thread::sleep_for(2ms);
    }
    return isSo();
  }
  bool says(const std::string& words) {
    return eventually([&] { return logged().find(words) != std::string::npos; });
  }

  support::TemporaryFolder folder;
  testing::FakeClock clock;
  Log log;
};

TEST_F(Events, AreOneCallEachInTheirOrderWithTheKindAndTheObject) {
  EventHook hook(clock, log);
  hook.configure(program("echo \"$1 $(cat)\" >> $OUT"));
  hook.tell(event(Event::Kind::Failing, "a.example.org"));
  hook.tell(event(Event::Kind::Renewed, "b.example.org"));
  hook.tell(event(Event::Kind::Expiring, "c.example.org"));
  hook.tell(event(Event::Kind::Expired, "d.example.org"));
  ASSERT_TRUE(eventually([&] { return split(out(), '\n').size() == 5; })) << out();
  const auto lines = split(out(), '\n');
  const char* kinds[] = {"failing", "renewed", "expiring", "expired"};
  for (std::size_t i = 0; i < 4; ++i) {
    EXPECT_TRUE(lines[i].starts_with(std::string(kinds[i]) + " {")) << lines[i];
    const auto json = Json::parse(lines[i].substr(lines[i].find('{')));
    ASSERT_TRUE(json) << lines[i];
    EXPECT_EQ((*json)["event"].string(), kinds[i]);
    EXPECT_EQ((*json)["names"].stringList().front(), std::string(1, static_cast<char>('a' + i)) + ".example.org");
  }
}

TEST_F(Events, HaveEveryMemberAndNullForWhatIsUnknown) {
  const Json empty = eventJson(event(Event::Kind::Failing), clock.now());
  for (const char* member : {"event", "time", "names", "provider", "key_type", "serial", "issuer", "not_before",
                             "not_after", "renew_at", "attempts", "last_error", "next_attempt"}) {
    EXPECT_EQ(empty.object().count(member), 1U) << member;
  }
  EXPECT_TRUE(empty["serial"].isNull());
  EXPECT_TRUE(empty["last_error"].isNull());

  Event full = event(Event::Kind::Renewed);
  const testing::TestCa ca;
  full.certificate.certificate = ca.issue({"mail.example.org"});
  full.certificate.renewAt = clock.now() + 1h;
  full.certificate.nextAttempt = clock.now() + 2h;
  full.certificate.attempts = 3;
  full.certificate.lastError = acme::LastError{"dns", "no such name", "mail.example.org", clock.now()};
  const Json json = eventJson(full, clock.now());
  EXPECT_EQ(json["time"].string(), "2026-03-01T12:00:00Z");
  EXPECT_EQ(json["serial"].string(), full.certificate.certificate->serial());
  EXPECT_EQ(json["not_after"].string(), rfc3339(full.certificate.certificate->notAfter()));
  EXPECT_EQ(json["renew_at"].string(), "2026-03-01T13:00:00Z");
  EXPECT_EQ(json["next_attempt"].string(), "2026-03-01T14:00:00Z");
  EXPECT_EQ(json["attempts"].integer(), 3);
  EXPECT_EQ(json["last_error"]["type"].string(), "dns");
  EXPECT_EQ(json["last_error"]["name"].string(), "mail.example.org");
}

TEST_F(Events, OutputAndFailureOfTheProgramAreInTheLog) {
  EventHook hook(clock, log);
  hook.configure(program("echo told the pager; exit 3"));
  hook.tell(event(Event::Kind::Expired));
  EXPECT_TRUE(says("told the pager"));
  EXPECT_TRUE(says("exit status 3"));
  EXPECT_NE(logged().find("events.hook.failed"), std::string::npos);
}

TEST_F(Events, AreNotLostForAProgramThatCannotBeRun) {
  EventHook hook(clock, log);
  hook.configure(folder / "missing");
  hook.tell(event(Event::Kind::Expired));
  EXPECT_TRUE(says("No such file"));
  hook.configure(program("echo $1 >> $OUT"));
  hook.tell(event(Event::Kind::Renewed));
  EXPECT_TRUE(eventually([&] { return out() == "renewed\n"; }));
}

TEST_F(Events, OfAProgramThatHangsEndAtTheTimeLimitAndTheNextGoOn) {
  const auto toldAndCut = [&](const std::string& kind) {
    return logged().find("event=" + kind + " names=mail.example.org error=\"still running after") != std::string::npos;
  };
  // On a machine so busy that the second has no time for its line either, both have more.
  for (Duration limit = 200ms; out().empty() && limit < 1min; limit *= 2) {
    support::write(folder / "log", "");
    EventHook hook(clock, log, limit);
    hook.configure(program("if [ $1 = failing ]; then sleep 1000; fi; echo $1 >> $OUT"));
    hook.tell(event(Event::Kind::Failing));
    hook.tell(event(Event::Kind::Renewed));
    ASSERT_TRUE(eventually([&] { return !out().empty() || toldAndCut("renewed"); })) << logged();
  }
  EXPECT_EQ(out(), "renewed\n");
  EXPECT_TRUE(toldAndCut("failing")) << logged();
}

TEST_F(Events, NeverBlockWhoTellsThemAndAreCountedBeyondTheQueue) {
  EventHook hook(clock, log, 500ms);
  hook.configure(program("sleep 1000"));
  const auto before = std::chrono::steady_clock::now();
  for (int i = 0; i < 1100; ++i) hook.tell(event(Event::Kind::Failing));
  EXPECT_LT(std::chrono::steady_clock::now() - before, 1min);  // not half a second for each
  EXPECT_NE(logged().find("events.full"), std::string::npos);
  EXPECT_TRUE(says("events.dropped"));
}

TEST_F(Events, GoToTheProgramOfAReload) {
  EventHook hook(clock, log);
  hook.configure(program("echo first $1 >> $OUT", "first"));
  hook.tell(event(Event::Kind::Failing));
  ASSERT_TRUE(eventually([&] { return out() == "first failing\n"; }));
  hook.configure(program("echo second $1 >> $OUT", "second"));
  hook.tell(event(Event::Kind::Renewed));
  EXPECT_TRUE(eventually([&] { return out() == "first failing\nsecond renewed\n"; }));
  hook.configure("");
  hook.tell(event(Event::Kind::Expired));
  hook.configure(program("echo third $1 >> $OUT", "third"));
  hook.tell(event(Event::Kind::Renewed));
  EXPECT_TRUE(eventually([&] { return out() == "first failing\nsecond renewed\nthird renewed\n"; })) << out();
}

TEST_F(Events, AreFinishedWhenTheServerEndsOrEndedWithinTwoSeconds) {
  std::chrono::steady_clock::time_point asked;
  do {  // again where a busy machine did not finish them in that time
    std::filesystem::remove(folder / "out");
    EventHook hook(clock, log);
    hook.configure(program("echo $1 >> $OUT"));
    hook.tell(event(Event::Kind::Failing));
    hook.tell(event(Event::Kind::Renewed));
    asked = std::chrono::steady_clock::now();
  } while (out() != "failing\nrenewed\n" && std::chrono::steady_clock::now() - asked >= 1s);
  EXPECT_EQ(out(), "failing\nrenewed\n");
  {
    EventHook hook(clock, log, 1h);
    hook.configure(program("trap '' TERM; echo started; while :; do sleep 1000; done"));
    hook.tell(event(Event::Kind::Failing));
    ASSERT_TRUE(says("started"));
    asked = std::chrono::steady_clock::now();
  }
  EXPECT_LT(std::chrono::steady_clock::now() - asked, 1min);  // long before its time limit, on a busy machine too
  EXPECT_NE(logged().find("killed at the stop"), std::string::npos);
}

}  // namespace
}  // namespace postern::server
