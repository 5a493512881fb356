#include "acme/pace.h"

#include <algorithm>

#include "acme/error.h"

namespace postern::acme {
namespace {

constexpr auto minute = std::chrono::minutes(1);
constexpr int mostPerName = 10;

// Leaves those of the last minute. One of the future was noted before the clock was set back and tells nothing.
void forgetOld(std::vector<Time>& last, Time now) {
  std::erase_if(last, [now](Time each) { return each <= now - minute || each > now; });
}

}  // namespace

void Pace::bound(bool on, int names) {
  bounded_ = on;
  most_ = mostPerName * std::max(names, 1);
}

void Pace::request(std::stop_token stop) {
  wait(requests_, most_, stop);
  ++total_;
}

void Pace::repetition(std::stop_token stop) {
  wait(repetitions_, most_, stop);
}

void Pace::wait(std::vector<Time>& last, int most, std::stop_token stop) {
  Time now = clock_.now();
  for (forgetOld(last, now); bounded_ && last.size() >= static_cast<std::size_t>(most); forgetOld(last, now)) {
    // What came unbounded counts as well: there may be more of it than a minute may hold.
    const Time freeAt = last[last.size() - static_cast<std::size_t>(most)] + minute;
    if (!clock_.wait(freeAt - now, stop)) throw Stopped();
    now = clock_.now();
  }
  last.push_back(now);
}

}  // namespace postern::acme
