#include "listeners/worker_pool.h"

#include <gtest/gtest.h>
#include <signal.h>

#include <atomic>
#include <latch>

namespace postern::listeners {
namespace {

TEST(WorkerPool, RunsEverythingThatWasSubmittedBeforeItEnds) {
  std::atomic<int> ran{0};
  {
    WorkerPool pool(3);
    for (int i = 0; i < 1000; ++i) pool.submit([&] { ++ran; });
  }
  EXPECT_EQ(ran, 1000);
}

TEST(WorkerPool, RunsAsMuchAtOnceAsItHasThreads) {
  WorkerPool pool(2);
  std::latch together(2), done(2);  // each waits for the other: one thread alone would wait for ever
  for (int i = 0; i < 2; ++i) {
    pool.submit([&] {
      together.arrive_and_wait();
      done.count_down();
    });
  }
  done.wait();
}

TEST(WorkerPool, FreesWhatAWorkHeldBeforeTheNextRuns) {
  WorkerPool pool(1);
  auto held = std::make_shared<int>(1);
  std::latch done(1);
  std::atomic<long> left{0};
  pool.submit([held] {});
  pool.submit([&] {
    left = held.use_count();
    done.count_down();
  });
  done.wait();
  EXPECT_EQ(left, 1);
}

TEST(WorkerPool, KeepsSignalsAwayFromItsThreads) {
  std::latch done(1);
  sigset_t blocked;
  sigemptyset(&blocked);
  WorkerPool pool(0);  // still one thread
  pool.submit([&] {
    pthread_sigmask(SIG_SETMASK, nullptr, &blocked);
    done.count_down();
  });
  done.wait();
  EXPECT_EQ(sigismember(&blocked, SIGTERM), 1);
  EXPECT_EQ(sigismember(&blocked, SIGHUP), 1);
  sigset_t own;
  pthread_sigmask(SIG_SETMASK, nullptr, &own);
  EXPECT_EQ(sigismember(&own, SIGTERM), 0);
}

}  // namespace
}  // namespace postern::listeners
