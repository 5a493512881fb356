// TlsAlpnSolver: answers TLS-ALPN-01 (RFC 8737) by putting a challenge certificate where the listeners look for it.
//
// Any thread. The references must outlive the solver and every answer it has put up.
#pragma once

#include <memory>
#include <string>

#include "acme/solver.h"
#include "base/clock.h"
#include "tls/alpn_challenges.h"

namespace postern::acme {

class TlsAlpnSolver : public Solver {
 public:
  TlsAlpnSolver(tls::AlpnChallenges& challenges, const Clock& clock) : challenges_(challenges), clock_(clock) {}

  ChallengeType type() const override { return ChallengeType::TlsAlpn01; }
  // Throws Error postern:certificate when the certificate cannot be made.
  std::unique_ptr<Presented> present(const ChallengeAnswer& answer, std::stop_token stop) override;

 private:
  tls::AlpnChallenges& challenges_;
  const Clock& clock_;
};

}  // namespace postern::acme
