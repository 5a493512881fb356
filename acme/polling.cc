#include "acme/polling.h"

#include <algorithm>
#include <array>
#include <utility>

namespace postern::acme {
namespace {

using std::chrono::milliseconds;

// A CA on the same machine is done in an instant, Let's Encrypt in a second or two; whoever needs longer is not
// pressed.
constexpr std::array<milliseconds, 8> growing{milliseconds(50),   milliseconds(150),  milliseconds(400),
                                              milliseconds(1000), milliseconds(2000), milliseconds(3500),
                                              milliseconds(5000), milliseconds(7500)};
constexpr milliseconds longestPause(10'000);
constexpr int mostFailuresInARow = 3;

bool mayPass(const Problem& problem) {
  return problem.status >= 500 || problem.type == "postern:timeout" || problem.type == "postern:connection" ||
         problem.type == "postern:malformed";  // an answer cut short
}

}  // namespace

Polling::Polling(Clock& clock, std::string what, Duration longest)
    : clock_(clock), what_(std::move(what)), longest_(longest), until_(clock.now() + longest) {}

void Polling::pause(std::optional<Time> told, std::stop_token stop) {
  Time now = clock_.now();
  Duration time =
      pauses_ < static_cast<int>(growing.size()) ? growing[static_cast<std::size_t>(pauses_)] : longestPause;
  ++pauses_;
  if (told) time = std::max(Duration(*told - now), Duration(milliseconds(1000)));
  if (now + time > until_) {
    throw Error(makeProblem("postern:timeout", "the CA did not finish " + what_ + " within " + inWords(longest_)),
                told);
  }
  if (!clock_.wait(time, stop)) throw Stopped();
}

void Polling::forgive(const Error& error) {
  bool tooLate = error.retryAfter && *error.retryAfter > until_;
  if (!mayPass(error.problem) || tooLate || ++failures_ > mostFailuresInARow) throw error;
}

}  // namespace postern::acme
