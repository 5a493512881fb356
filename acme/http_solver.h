// HttpSolver: answers HTTP-01 (RFC 8555 section 8.3) by putting the key authorization where the http listeners' route
// looks for it. Names and IP addresses alike (RFC 8738): the CA finds its way, the token says the rest.
//
// Any thread. The reference must outlive the solver and every answer it has put up.
#pragma once

#include <memory>

#include "acme/http_challenges.h"
#include "acme/solver.h"

namespace postern::acme {

class HttpSolver : public Solver {
 public:
  explicit HttpSolver(HttpChallenges& challenges) : challenges_(challenges) {}

  ChallengeType type() const override { return ChallengeType::Http01; }
  // Throws Error postern:challenge when the token is not base64url: it would be a path of the CA's choosing.
  std::unique_ptr<Presented> present(const ChallengeAnswer& answer, std::stop_token stop) override;

 private:
  HttpChallenges& challenges_;
};

}  // namespace postern::acme
