// Solver: puts the answer to one type of challenge where the CA will look for it.
#pragma once

#include <memory>
#include <string>

#include "acme/provider.h"

namespace postern::acme {

// Taken down by its destructor, however the authorization ended.
struct Presented {
  virtual ~Presented() = default;
};

// Any thread. present() throws Error when the answer cannot be put up.
struct Solver {
  virtual ~Solver() = default;
  virtual ChallengeType type() const = 0;
  virtual std::unique_ptr<Presented> present(const std::string& identifier, const std::string& keyAuthorization) = 0;
};

}  // namespace postern::acme
