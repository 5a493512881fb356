// Error: an attempt at an order (or a request on its way) that failed, with what the CA said.
//
// Thrown anywhere in the wire and order layers, caught by the manager alone, where it becomes a value again.
#pragma once

#include <optional>
#include <stdexcept>
#include <string>
#include <vector>

#include "base/clock.h"

namespace postern::acme {

// A problem document (RFC 7807, RFC 8555 section 6.7), or our own words for what has none.
struct Problem {
  std::string type;  // "urn:ietf:params:acme:error:..." as received; or "postern:" and one of our own: timeout,
                     // connection, http, malformed, internal, stopped, challenge (none offered that we can answer), dns
                     // (a record was not set or seen), certificate (unfit), account (none to order with), storage,
                     // unsupported (the CA has no such resource)
  std::string detail;
  std::string name;  // the identifier concerned, where one is
  int status = 0;    // HTTP, 0 when there was no answer
  std::vector<Problem> subproblems;
  bool operator==(const Problem&) const = default;
  // type without the ACME prefix: "rateLimited"
  std::string shortType() const;
};

// One of our own: status 0, no subproblems.
Problem makeProblem(std::string type, std::string detail, std::string name = {});

struct Error : std::runtime_error {
  explicit Error(Problem p, std::optional<Time> after = {});  // what(): "type: detail (name)"
  Problem problem;
  std::optional<Time> retryAfter;  // from Retry-After, already made absolute
};

// The wait was ended by its stop token: not a failure of the CA's.
struct Stopped : std::runtime_error {
  Stopped() : std::runtime_error("stopped") {}
};

}  // namespace postern::acme
