#include "listeners/event_loop.h"

#include <gtest/gtest.h>
#include <signal.h>

#include <latch>
#include <set>
#include <stdexcept>
#include <vector>

namespace postern::listeners {
namespace {

TEST(EventLoop, RunsWhatIsPostedInItsOrderAndOnItsThread) {
  EventLoop loop;
  std::vector<int> order;
  bool here = true;
  for (int i = 0; i < 100; ++i) {
    loop.post([&, i] {
      order.push_back(i);
      here = here && loop.isHere();
    });
  }
  loop.run([] {});
  ASSERT_EQ(order.size(), 100u);
  for (int i = 0; i < 100; ++i) EXPECT_EQ(order[static_cast<std::size_t>(i)], i);
  EXPECT_TRUE(here);
  EXPECT_FALSE(loop.isHere());
}

TEST(EventLoop, RunsWhatWasPostedFromInsideItselfBeforeItEnds) {
  int depth = 0;
  std::function<void()> deeper;
  {
    EventLoop loop;
    deeper = [&] {
      if (++depth < 50) loop.post(deeper);
    };
    loop.post(deeper);
  }
  EXPECT_EQ(depth, 50);
}

TEST(EventLoop, RunsAtOnceWhatItsOwnThreadWantsRun) {
  EventLoop loop;
  bool nested = false;
  loop.run([&] { loop.run([&] { nested = true; }); });
  EXPECT_TRUE(nested);
}

TEST(EventLoop, HandsTheCallerWhatWasThrown) {
  EventLoop loop;
  EXPECT_THROW(loop.run([] { throw std::runtime_error("x"); }), std::runtime_error);
  loop.run([] {});  // and lives on
}

TEST(EventLoop, TakesPostsFromManyThreads) {
  EventLoop loop;
  int count = 0;  // the loop's alone
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&] {
      for (int i = 0; i < 500; ++i) loop.post([&] { ++count; });
    });
  }
  for (auto& thread : threads) thread.join();
  loop.run([] {});
  EXPECT_EQ(count, 2000);
}

TEST(EventLoop, BlocksSignalsAndIgnoresBrokenPipes) {
  EventLoop loop;
  sigset_t blocked;
  loop.run([&] { pthread_sigmask(SIG_SETMASK, nullptr, &blocked); });
  EXPECT_EQ(sigismember(&blocked, SIGTERM), 1);
  struct sigaction pipe {};
  sigaction(SIGPIPE, nullptr, &pipe);
  EXPECT_EQ(pipe.sa_handler, SIG_IGN);
}

TEST(EventLoops, AreDealtRoundRobin) {
  EventLoops loops(3);
  std::set<EventLoop*> seen;
  for (int i = 0; i < 3; ++i) seen.insert(&loops.next());
  EXPECT_EQ(seen.size(), 3u);
  EXPECT_EQ(EventLoops(0).count(), 1);
}

}  // namespace
}  // namespace postern::listeners
