#include "tests/bench/crowd.h"

#include <sys/epoll.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cmath>
#include <cstring>
#include <stdexcept>

namespace postern::bench {

Crowd::Crowd() : epoll_(::epoll_create1(EPOLL_CLOEXEC)) {
  if (epoll_ < 0) throw std::runtime_error(std::string("no epoll: ") + std::strerror(errno));
}

Crowd::~Crowd() {
  visitors_.clear();
  ::close(epoll_);
}

Visitor& Crowd::add(const Target& target) {
  visitors_.push_back(std::make_unique<Visitor>(epoll_, target));
  return *visitors_.back();
}

void Crowd::run(const std::function<void(Visitor&)>& over, const std::function<bool()>& done) {
  constexpr std::chrono::seconds patience{10};
  std::array<epoll_event, 256> events;
  auto last = std::chrono::steady_clock::now();
  while (!done()) {
    const int count = ::epoll_wait(epoll_, events.data(), static_cast<int>(events.size()), 100);
    if (count < 0 && errno != EINTR) throw std::runtime_error(std::string("epoll_wait: ") + std::strerror(errno));
    const auto now = std::chrono::steady_clock::now();
    if (count > 0) last = now;
    if (now - last > patience) throw std::runtime_error("the server has not answered for ten seconds");
    for (int i = 0; i < count; ++i) {
      auto& visitor = *static_cast<Visitor*>(events[static_cast<std::size_t>(i)].data.ptr);
      if (visitor.happened()) over(visitor);
    }
  }
}

double quantile(std::vector<double>& values, double share) {
  if (values.empty()) return 0;
  std::sort(values.begin(), values.end());
  const auto place = static_cast<std::size_t>(std::ceil(share * static_cast<double>(values.size())));
  return values[std::min(place == 0 ? 0 : place - 1, values.size() - 1)];
}

double milliseconds(std::chrono::steady_clock::duration time) {
  return std::chrono::duration<double, std::milli>(time).count();
}

}  // namespace postern::bench
