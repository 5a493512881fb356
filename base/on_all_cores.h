// onAllCores(count, worthAThread, work): calls `work(i)` for each i below `count`, on as many threads as there are
// cores.
//
// For start-up work on thousands of independent things. Blocks until all of it is done; the calling thread takes its
// share. `work` is called from several threads at once and does not throw. With fewer than `worthAThread` things for
// each, the calling thread does it alone.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <thread>
#include <vector>

namespace postern {

template <class Work>
void onAllCores(std::size_t count, std::size_t worthAThread, const Work& work) {
  std::atomic<std::size_t> turn{0};
  const auto share = [&]() noexcept {
    for (std::size_t i = turn++; i < count; i = turn++) work(i);
  };
  const std::size_t threads = std::min<std::size_t>(std::thread::hardware_concurrency(), count / worthAThread);
  std::vector<std::jthread> others;
  for (std::size_t i = 1; i < threads; ++i) others.emplace_back(share);
  share();
}

}  // namespace postern
