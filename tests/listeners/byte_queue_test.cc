#include "listeners/byte_queue.h"

#include <gtest/gtest.h>

namespace postern::listeners {
namespace {

TEST(ByteQueue, GivesBytesInTheirOrderHoweverTheyAreDropped) {
  for (const std::size_t step : {std::size_t{1}, std::size_t{7}, std::size_t{1000}}) {
    ByteQueue queue;
    std::string wanted, got;
    for (int i = 0; i < 2000; ++i) {
      const std::string piece = std::to_string(i) + ",";
      wanted += piece;
      queue.append(piece);
      const auto taken = queue.view().substr(0, i % 2 == 0 ? step : 3);
      got += taken;
      queue.drop(taken.size());
    }
    got += queue.view();
    EXPECT_EQ(got, wanted) << step;
    queue.drop(queue.size());
    EXPECT_TRUE(queue.empty());
    EXPECT_EQ(queue.view(), "");
  }
}

TEST(ByteQueue, ForgetsAllWhenCleared) {
  ByteQueue queue;
  queue.append(std::string(5000, 'x'));
  queue.drop(10);
  queue.clear();
  EXPECT_EQ(queue.size(), 0u);
  queue.append("new");
  EXPECT_EQ(queue.view(), "new");
}

}  // namespace
}  // namespace postern::listeners
