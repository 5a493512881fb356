#include "acme/polling.h"

#include <algorithm>
#include <array>
#include <utility>

namespace postern::acme {
namespace {

using namespace std::chrono_literals;

// A CA on the same machine is done in an instant, Let's Encrypt in a second or two; whoever needs longer is not
// pressed.
constexpr std::array<Duration, 3> early{50ms, 150ms, 400ms};
constexpr std::array<Duration, 4> growing{1s, 2s, 4s, 7s};
constexpr Duration longestPause = 10s;
// Where the CA suggests more than can be waited for.
constexpr Duration beyondBound = 1min;
constexpr int mostFailuresInARow = 3;

}  // namespace

bool mayPass(const Problem& problem) {
  return problem.status >= 500 || problem.type == "postern:timeout" || problem.type == "postern:connection" ||
         problem.type == "postern:malformed" || (problem.type == "postern:http" && problem.status == 0);
}

Polling::Polling(Clock& clock, std::string what, Time begun, Duration longest)
    : clock_(clock),
      what_(std::move(what)),
      begun_(begun),
      longest_(longest),
      since_(clock.now()),
      until_(since_ + longest) {}

Duration Polling::next(Time now) {
  while (late_ == 0 && early_ < early.size()) {
    const bool first = early_ == 0;
    const Duration left = begun_ + early[early_++] - now;
    if (left > Duration::zero()) return std::min(left, early.back());  // less: the clock was set back
    if (first) return Duration::zero();                                // the first look comes late enough already
  }
  return late_ < growing.size() ? growing[late_++] : longestPause;
}

void Polling::pause(std::optional<Time> told, std::stop_token stop) {
  const Time now = clock_.now();
  Duration time = next(now);
  if (told) {
    time = std::max<Duration>(*told - now, 1s);
    early_ = early.size();  // they were for a CA that did not say
    if (now + time > until_) until_ = std::max(until_, since_ + 2 * longest_);
    if (now + time > until_) time = beyondBound;
  }
  if (now + time > until_) {
    throw Error(
        makeProblem("postern:timeout", "the CA did not finish " + what_ + " within " + inWords(until_ - since_)), told);
  }
  if (!clock_.wait(time, stop)) throw Stopped();
}

void Polling::forgive(const Error& error) {
  bool tooLate = error.retryAfter && *error.retryAfter > until_;
  if (!mayPass(error.problem) || tooLate || ++failures_ > mostFailuresInARow) throw error;
}

}  // namespace postern::acme
