#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <mutex>
#include <thread>

#include "acme/error.h"
#include "server/doctor.h"

namespace postern::server {
namespace {

constexpr std::size_t atOnce = 16;

Findings lookAt(const Examined& one, const std::stop_token& stop) {
  const auto cannot = [&](const std::string& why) {
    return Findings{{Weight::Warning, one.check, one.subject, why, "try again, and see whether this stays"}};
  };
  if (stop.stop_requested()) return cannot("not looked at: there was no time left");
  try {
    return one.look(stop);
  } catch (const acme::Stopped&) {
    return cannot("no answer in the time allowed");
  } catch (const std::exception& error) {
    return cannot(error.what());
  }
}

}  // namespace

Findings examineAll(const std::vector<Examined>& all, Duration limit) {
  std::vector<Findings> found(all.size());
  std::atomic<std::size_t> next{0};
  std::mutex mutex;
  std::condition_variable ended;
  std::size_t working = std::min(atOnce, all.size());
  std::stop_source stop;
  std::vector<std::jthread> threads;
  for (std::size_t i = working; i > 0; --i) {
    threads.emplace_back([&] {
      for (std::size_t each = next++; each < all.size(); each = next++)
        found[each] = lookAt(all[each], stop.get_token());
      std::lock_guard lock(mutex);
      --working;
      ended.notify_all();
    });
  }
  {
    std::unique_lock lock(mutex);
    ended.wait_for(lock, limit, [&] { return working == 0; });
  }
  stop.request_stop();
  threads.clear();
  Findings findings;
  for (auto& each : found) findings.insert(findings.end(), each.begin(), each.end());
  return findings;
}

}  // namespace postern::server
