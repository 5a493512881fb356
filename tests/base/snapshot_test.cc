#include "base/snapshot.h"

#include <gtest/gtest.h>

#include <atomic>
#include <memory>
#include <thread>
#include <vector>

namespace postern {
namespace {

// Two members that always agree in a whole value.
struct Pair {
  int first, second;
};

TEST(Snapshot, BeginsWithWhatItIsGiven) {
  EXPECT_EQ(Snapshot<int>().load(), nullptr);
  EXPECT_EQ(*Snapshot<int>(std::make_shared<const int>(3)).load(), 3);
}

TEST(Snapshot, HandsBackTheValueThatWasReplaced) {
  Snapshot<int> snapshot(std::make_shared<const int>(1));
  const auto old = snapshot.exchange(std::make_shared<const int>(2));
  EXPECT_EQ(*old, 1);
  EXPECT_EQ(old.use_count(), 1);
  EXPECT_EQ(*snapshot.load(), 2);
}

TEST(Snapshot, KeepsAValueForWhoTookIt) {
  Snapshot<int> snapshot(std::make_shared<const int>(1));
  const auto taken = snapshot.load();
  snapshot.store(std::make_shared<const int>(2));
  EXPECT_EQ(*taken, 1);
}

TEST(Snapshot, ShowsWholeValuesToManyThreads) {
  Snapshot<Pair> snapshot(std::make_shared<const Pair>(Pair{0, 0}));
  std::atomic<bool> torn{false};
  std::atomic<int> readers{0};
  std::vector<std::jthread> threads;
  for (int i = 0; i < 3; ++i) {
    threads.emplace_back([&](std::stop_token stop) {
      int last = 0;
      ++readers;
      while (!stop.stop_requested()) {
        const auto seen = snapshot.load();
        if (seen->first != seen->second || seen->first < last) torn = true;
        last = seen->first;
      }
    });
  }
  while (readers < 3) std::this_thread::yield();
  for (int i = 1; i <= 5000; ++i) snapshot.store(std::make_shared<const Pair>(Pair{i, i}));
  threads.clear();
  EXPECT_FALSE(torn);
  EXPECT_EQ(snapshot.load()->first, 5000);
}

}  // namespace
}  // namespace postern
