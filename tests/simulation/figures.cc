#include <fmt/format.h>

#include "tests/simulation/world.h"

namespace postern::simulation {

std::uint64_t Figures::renewals() const {
  std::uint64_t sum = 0;
  for (const auto& [days, of] : byDays) sum += of.orders;
  return sum;
}

double Figures::ideal() const {
  double sum = 0;
  for (const auto& [days, of] : byDays) sum += of.ideal;
  return sum;
}

int Figures::refusals() const {
  int sum = 0;
  for (const auto& [limit, count] : refused) sum += count;
  return sum;
}

std::string Figures::text() const {
  std::string text;
  text += fmt::format("  renewal orders {}  ideal {:.0f}  ratio {:.4f}\n", renewals(), ideal(), ratio());
  for (const auto& [days, of] : byDays) {
    text +=
        fmt::format("    of {:2} days: orders {:6}  ideal {:8.0f}  ratio {:.4f}  least life left {}\n", days, of.orders,
                    of.ideal, of.ideal > 0 ? static_cast<double>(of.orders) / of.ideal : 0.0, inWords(of.leastLeft));
  }
  text += fmt::format("  served expired {}  refused by a limit {}  sent against the ledger {}\n", expired, refusals(),
                      passed);
  text += fmt::format("  failed validations beyond five an hour {}\n", failuresTooMany);
  for (const auto& [limit, count] : refused) text += fmt::format("    refused: {} {}\n", limit, count);
  text += fmt::format("  certificates {}  first orders {} (slowest {})  forced {}  all orders {} (exempt by ARI {})\n",
                      issued, first, inWords(longestFirst), forced, orders, byAri);
  text += fmt::format("  outages {} (longest {})  revocations {} ({} certificates, slowest replaced after {})\n",
                      outages, inWords(longestOutage), revocations, revoked, inWords(longestRevoked));
  text += fmt::format("  windows moved {}  clock jumps {}  restarts {}  names broken {}\n", windowsMoved, clockJumps,
                      restarts, namesBroken);
  text += fmt::format("  attempts failed {}  orders resumed {}  questions to ARI {}  events {}\n", failed, resumed,
                      questions, events);
  return text;
}

}  // namespace postern::simulation
