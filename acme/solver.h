// Solver: puts the answer to one type of challenge where the CA will look for it.
#pragma once

#include <memory>
#include <stop_token>
#include <string>
#include <string_view>

#include "acme/provider.h"

namespace postern::acme {

// "tls-alpn-01", "http-01", "dns-01"
std::string_view nameOf(ChallengeType type);

struct ChallengeAnswer {
  std::string identifier;  // the authorization's: a DNS name, a wildcard's without "*.", or an IP address
  std::string token;
  std::string keyAuthorization;  // RFC 8555 section 8.1
};

// One answer that is up. Taken down by its destructor, however the authorization ended.
struct Presented {
  virtual ~Presented() = default;
  // Blocks until the CA will see the answer wherever it looks. Called once, after all answers of an order were put up
  // and before the CA is told of the first. Throws Error when that does not come to pass, Stopped on a stop request.
  virtual void awaitVisible(std::stop_token) {}
};

// Any thread. present() throws Error when the answer cannot be put up, Stopped on a stop request.
struct Solver {
  virtual ~Solver() = default;
  virtual ChallengeType type() const = 0;
  virtual std::unique_ptr<Presented> present(const ChallengeAnswer& answer, std::stop_token stop) = 0;
};

}  // namespace postern::acme
