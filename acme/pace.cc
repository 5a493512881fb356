#include "acme/pace.h"

#include <algorithm>

#include "acme/error.h"

namespace postern::acme {
namespace {

constexpr auto minute = std::chrono::minutes(1);
constexpr std::size_t most = 10;
constexpr auto perName = std::chrono::seconds(30);  // three requests a name, and two to spare

// Leaves those of the last minute. One of the future was noted before the clock was set back and tells nothing.
void forgetOld(std::vector<Time>& last, Time now) {
  std::erase_if(last, [now](Time each) { return each <= now - minute || each > now; });
}

}  // namespace

Duration Pace::longerFor(std::size_t names) {
  return static_cast<int>(names) * Duration(perName);
}

void Pace::request(std::stop_token stop) {
  wait(requests_, stop);
  ++total_;
}

void Pace::repetition(std::stop_token stop) {
  wait(repetitions_, stop);
}

void Pace::wait(std::vector<Time>& last, std::stop_token stop) {
  Time now = clock_.now();
  for (forgetOld(last, now); bounded_ && last.size() >= most; forgetOld(last, now)) {
    // What came unbounded counts as well: there may be more of it than a minute may hold.
    const Time freeAt = last[last.size() - most] + minute;
    if (!clock_.wait(freeAt - now, stop)) throw Stopped();
    now = clock_.now();
  }
  last.push_back(now);
}

}  // namespace postern::acme
