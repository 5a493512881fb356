// The solvers of a provider, by type: the one place that knows them all.
#pragma once

#include <memory>

#include "acme/http_challenges.h"
#include "acme/provider.h"
#include "acme/solver.h"
#include "base/clock.h"
#include "base/log.h"
#include "tls/alpn_challenges.h"

namespace postern::acme {

// What solvers put their answers into and work with. All must outlive the solver and every answer it has put up.
struct SolverParts {
  tls::AlpnChallenges& alpnChallenges;
  HttpChallenges& httpChallenges;
  Clock& clock;
  Log& log;
};

// One solver serves all orders of a provider, also at the same time: make it once for a provider's settings and keep
// it, so that answers that two orders share stay up until both are done with them.
std::unique_ptr<Solver> makeSolver(ChallengeType type, const Provider& provider, SolverParts parts);

}  // namespace postern::acme
