#include "acme/solvers.h"

#include "acme/dns_solver.h"
#include "acme/http_solver.h"
#include "acme/tls_alpn_solver.h"

namespace postern::acme {

std::unique_ptr<Solver> makeSolver(ChallengeType type, const Provider& provider, SolverParts parts) {
  switch (type) {
    case ChallengeType::TlsAlpn01: return std::make_unique<TlsAlpnSolver>(parts.alpnChallenges, parts.clock);
    case ChallengeType::Http01: return std::make_unique<HttpSolver>(parts.httpChallenges);
    case ChallengeType::Dns01: return std::make_unique<DnsSolver>(provider, parts.clock, parts.log);
  }
  return nullptr;  // no other value is made
}

}  // namespace postern::acme
