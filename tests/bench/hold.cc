// Hold: the mode that the memory of idle connections is measured with.
#include <algorithm>
#include <iostream>
#include <string>

#include "base/json.h"
#include "tests/bench/crowd.h"
#include "tests/bench/modes.h"

namespace postern::bench {

int hold(const HoldOptions& options) {
  constexpr int atOnce = 64;
  const auto context = clientContext(TLS1_3_VERSION);
  const Target target{dialogueNamed(options.dialogue), localServer(options.port), context.get()};
  Crowd crowd;
  for (int i = 0; i < options.connections; ++i) crowd.add(target);
  int begun = 0, ended = 0, failed = 0;
  std::string error;
  const auto beginNext = [&] {
    if (begun < options.connections) crowd.visitors()[static_cast<std::size_t>(begun++)]->begin(false, true);
  };
  for (int i = 0; i < std::min(atOnce, options.connections); ++i) beginNext();
  crowd.run(
      [&](Visitor& visitor) {
        ++ended;
        if (!visitor.visit().ok) {
          ++failed;
          if (error.empty()) error = visitor.visit().error;
        }
        visitor.forgetTls();
        beginNext();
      },
      [&] { return ended == options.connections; });
  sayReady();
  const auto left = std::count_if(crowd.visitors().begin(), crowd.visitors().end(),
                                  [](const auto& visitor) { return visitor->staying() && visitor->stillConnected(); });
  std::cout << Json(Json::Object{{"connections", options.connections},
                                 {"failed", failed},
                                 {"error", error},
                                 {"left", static_cast<long>(left)}})
                   .dump()
            << std::endl;
  return 0;
}

}  // namespace postern::bench
