// Handshakes: the mode that the server's cost per connection is measured with.
#include <algorithm>
#include <iostream>
#include <string>
#include <vector>

#include "base/json.h"
#include "tests/bench/crowd.h"
#include "tests/bench/modes.h"

namespace postern::bench {
namespace {

struct Tally {
  long begun = 0, ended = 0, failed = 0, resumed = 0;
  std::string error;
  std::vector<double> handshake, firstReply;  // milliseconds

  void take(const Visit& visit) {
    ++ended;
    if (!visit.ok) {
      ++failed;
      if (error.empty()) error = visit.error;
      return;
    }
    if (visit.resumed) ++resumed;
    handshake.push_back(milliseconds(visit.shook - visit.connected));
    firstReply.push_back(milliseconds(visit.firstReply - visit.shook));
  }
};

// `count` visits by everybody in the crowd.
Tally visits(Crowd& crowd, long count, bool resume) {
  Tally tally;
  for (auto& visitor : crowd.visitors()) {
    if (tally.begun == count) break;
    ++tally.begun;
    visitor->begin(resume);
  }
  crowd.run(
      [&](Visitor& visitor) {
        tally.take(visitor.visit());
        if (tally.begun == count) return;
        ++tally.begun;
        visitor.begin(resume);
      },
      [&] { return tally.ended == count; });
  return tally;
}

}  // namespace

int handshakes(const HandshakesOptions& options) {
  const auto context = clientContext(versionOf(options.version));
  const Target target{dialogueNamed(options.dialogue), localServer(options.port), context.get()};
  Crowd crowd;
  for (int i = 0; i < options.clients; ++i) crowd.add(target);
  // What is made once, here and in the server, is made before the clock is looked at; and everybody has a session then.
  const Tally warm = visits(crowd, options.clients * 2L, options.resume);
  if (warm.failed == warm.ended) {
    std::cerr << "bench_load: no connection came through: " << warm.error << std::endl;
    return 1;
  }
  sayReady();
  const auto begun = std::chrono::steady_clock::now();
  Tally tally = visits(crowd, options.count, options.resume);
  const double seconds = milliseconds(std::chrono::steady_clock::now() - begun) / 1000;
  const double slowest =
      tally.firstReply.empty() ? 0 : *std::max_element(tally.firstReply.begin(), tally.firstReply.end());
  std::cout << Json(Json::Object{{"operations", tally.ended},
                                 {"failed", tally.failed},
                                 {"error", tally.error},
                                 {"resumed", tally.resumed},
                                 {"seconds", seconds},
                                 {"handshake_ms", quantile(tally.handshake, 0.5)},
                                 {"first_reply_ms", quantile(tally.firstReply, 0.5)},
                                 {"first_reply_max_ms", slowest}})
                   .dump()
            << std::endl;
  return 0;
}

}  // namespace postern::bench
