// Failure: every way in which a fake CA can fail one request, as values that a generated test walks.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace postern::test {

enum class Failure {
  // The request has no effect.
  Refused,          // connection refused: the request does not reach the CA
  Timeout,          // the same, after the request's whole time-out has passed on the clock
  Hang,             // blocks until release() or the stop request; not in allFailures()
  ServerError,      // 500 with a problem document
  Unavailable,      // 503 without a body, Retry-After in seconds
  UnavailableDate,  // the same, Retry-After as a date
  RateLimited,      // 429 with a problem document, Retry-After as a date
  RateLimitedHtml,  // 429 of a gateway: HTML, Retry-After in seconds
  NotFound,         // 404 in HTML
  Redirect,         // 302 to another URL
  BadNonce,         // 400 badNonce with a fresh nonce
  BadNonceStorm,    // the same for every repetition of a request that is repeated thirty times
  // The request has its effect, the answer is not right.
  ResetMidBody,      // it breaks off
  AnswerLost,        // it does not come (time-out)
  NoNonce,           // without Replay-Nonce
  TruncatedJson,     // half of the body
  WrongJson,         // JSON of another shape
  WrongContentType,  // text/html
  EndlessBody,       // longer than a transport reads
  UnknownEnums,      // statuses, challenge types and members that nobody has heard of
  // The request is answered, and what comes of its order is wrong. Each is true once, for the next that it can be of.
  StuckInProcessing,     // finalize leaves the order in `processing` for an hour
  InvalidAuthorization,  // the next validation fails, with subproblems
  OtherKey,              // the certificate issued next, or downloaded next, is for another key
  OtherNames,
  Expired,
  NotYetValid,
  LeafOnly,
  Garbage
};

std::vector<Failure> allFailures();
std::string_view nameOf(Failure failure);  // "ResetMidBody"

// Every kind of request that the fake CA tells apart, in the order of an account's life.
std::vector<std::string> stages();

}  // namespace postern::test
