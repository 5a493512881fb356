// The authorizations of an order (RFC 8555 section 7.5).
#include <algorithm>
#include <string_view>
#include <utility>

#include "acme/issuance.h"
#include "acme/jws.h"
#include "acme/polling.h"
#include "base/text.h"

namespace postern::acme {
namespace {

using namespace std::chrono_literals;

constexpr int mostAnswers = 2;  // to one challenge, when the first was lost on its way
// A CA that has been at a challenge since an earlier attempt may have looked then and wait to be told again (8.2).
constexpr Duration toldAgainAfter = 1min;
// What a challenge says of a look that was made before we answered is not held against us for longer.
constexpr Duration faultIsOld = 30s;

// The CA may have taken the request, or never have seen it.
bool wasLost(const Problem& problem) {
  return problem.status == 0 &&
         (problem.type == "postern:timeout" || problem.type == "postern:connection" || problem.type == "postern:http");
}

// As Boulder and others refuse the answer to a challenge that they are at already, or have decided.
bool refusesAnswer(const Problem& problem) {
  return problem.shortType() == "malformed" && problem.status / 100 == 4;
}

// One that a resumed order finds further on was answered before (7.5.1): the CA is at it.
bool isUnanswered(const Challenge& challenge) {
  return challenge.status != "processing" && challenge.status != "valid" && challenge.status != "invalid";
}

}  // namespace

// As its challenge tells it (7.1.4).
Problem Issuance::whyFailed(const Authorization& authorization) const {
  const std::string_view type = nameOf(solver_.type());
  const Challenge* told = nullptr;
  for (const Challenge& challenge : authorization.challenges) {
    if (challenge.error && (!told || challenge.type == type)) told = &challenge;
  }
  Problem problem = told ? *told->error
                         : makeProblem("urn:ietf:params:acme:error:unauthorized",
                                       "the authorization is " + authorization.status + " and the CA gives no reason");
  if (problem.name.empty()) problem.name = orderedName(authorization);
  return problem;
}

struct Issuance::Answer {
  Authorization authorization;
  Challenge challenge;
  Time begun;                            // when the CA was told, or found to have been told
  std::unique_ptr<Presented> presented;  // taken down with it
  int sent = 0;
  bool lost = false;              // no answer of the CA's came to the last that was sent
  std::optional<Error> refused;   // the last that was sent, which may yet not have been needed
  std::optional<Problem> before;  // what the CA found before we answered
  std::optional<Problem> fault;   // ... and since, though it goes on
};

std::vector<Authorization> Issuance::authorizationsOf(const Order& order, std::stop_token stop) {
  std::vector<Authorization> authorizations;
  if (order.status != "pending") return authorizations;
  for (const std::string& url : order.authorizations) authorizations.push_back(client_.authorization(url, stop));
  return authorizations;
}

void Issuance::authorize(const std::vector<Authorization>& authorizations, std::stop_token stop) {
  std::vector<Answer> answers;
  for (const Authorization& authorization : authorizations) {
    if (authorization.status != "valid") answers.push_back(present(authorization, stop));
  }
  for (Answer& answer : answers) answer.presented->awaitVisible(stop);
  for (Answer& answer : answers) {
    answer.begun = clock_.now();
    if (isUnanswered(answer.challenge)) respond(answer, stop);
  }
  for (Answer& answer : answers) {
    awaitValid(answer, stop);
    answer.presented.reset();
  }
}

Issuance::Answer Issuance::present(const Authorization& authorization, std::stop_token stop) {
  if (isDead(authorization)) {
    journal_.forgetOrder();
    throw Error(whyFailed(authorization));
  }
  std::vector<std::string> offered;
  for (const Challenge& challenge : authorization.challenges) {
    offered.push_back(challenge.type);
    if (challenge.type != nameOf(solver_.type()) || challenge.token.empty()) continue;
    failIfDecided(authorization, challenge);
    Answer answer;
    answer.authorization = authorization;
    answer.challenge = challenge;
    answer.begun = clock_.now();
    answer.before = challenge.error;
    answer.presented = solver_.present(
        {authorization.identifier, challenge.token, keyAuthorization(challenge.token, client_.thumbprint())}, stop);
    log_.debug("acme.challenge.presented", {{"name", orderedName(authorization)}, {"type", challenge.type}});
    return answer;
  }
  journal_.forgetOrder();  // it cannot be brought to an end by this solver
  throw Error(makeProblem("postern:challenge",
                          "the CA offers " + (offered.empty() ? "no challenge" : joined(offered, ", ")) + " and not " +
                              std::string(nameOf(solver_.type())),
                          orderedName(authorization)));
}

void Issuance::respond(Answer& answer, std::stop_token stop) {
  answer.lost = false;
  ++answer.sent;
  try {
    answer.challenge = client_.respond(answer.challenge, stop);
    answer.begun = clock_.now();
  } catch (const Error& error) {
    if (refusesAnswer(error.problem)) {
      answer.refused = error;  // the authorization tells what that means
      return;
    }
    // The CA may be validating at this moment. What it looks for stays up, and the authorization tells whether it was
    // told: an attempt that ended here would make a failed validation of a lost packet.
    if (!wasLost(error.problem) || answer.sent == mostAnswers) throw;
    answer.lost = true;
    log_.warn("acme.challenge.answer-lost", {{"name", orderedName(answer.authorization)},
                                             {"type", error.problem.shortType()},
                                             {"detail", error.problem.detail},
                                             {"next", "the authorization is asked whether the CA was told"}});
  }
}

void Issuance::awaitValid(Answer& answer, std::stop_token stop) {
  Polling polling(clock_, "the authorization of " + orderedName(answer.authorization), answer.begun);
  std::optional<Time> told = answer.challenge.retryAfter;
  for (;;) {
    try {
      polling.pause(told, stop);
    } catch (const Error& error) {
      if (!answer.fault) throw;
      throw Error(*answer.fault, error.retryAfter);  // it did look, and that is what a person has to know
    }
    Authorization authorization;
    try {
      authorization = client_.authorization(answer.authorization.url, stop);
    } catch (const Error& error) {
      polling.forgive(error);
      told = error.retryAfter;
      continue;
    }
    polling.looked();
    if (authorization.status == "valid") {
      log_.info("acme.authorization.valid", {{"name", orderedName(authorization)}});
      return;
    }
    if (isDead(authorization)) {
      journal_.forgetOrder();  // the CA makes it invalid; the other authorizations are left to expire (pitfall 20)
      throw Error(whyFailed(authorization), authorization.retryAfter);
    }
    told = authorization.retryAfter;
    lookAt(authorization, answer, stop);
  }
}

// The authorization is over with its challenge, though some CAs leave it pending.
void Issuance::failIfDecided(const Authorization& authorization, const Challenge& challenge) {
  if (challenge.status != "invalid") return;
  journal_.forgetOrder();
  throw Error(whyFailed(authorization), authorization.retryAfter);
}

void Issuance::lookAt(const Authorization& authorization, Answer& answer, std::stop_token stop) {
  const auto same = std::find_if(authorization.challenges.begin(), authorization.challenges.end(),
                                 [&](const Challenge& each) { return each.url == answer.challenge.url; });
  const bool isOffered = same != authorization.challenges.end();
  const bool unanswered = isOffered && isUnanswered(*same);
  if (answer.refused && (!isOffered || unanswered)) throw Error(*answer.refused);
  answer.refused.reset();
  if (!isOffered) return;
  failIfDecided(authorization, *same);
  const Duration since = clock_.now() - answer.begun;
  if (same->error && (same->error != answer.before || since >= faultIsOld)) {
    answer.fault = whyFailed(authorization);
    // It has looked, and leaves the challenge open for us to answer once more when that is mended (step-ca).
    if (same->status == "pending" && !answer.lost) throw Error(*answer.fault, authorization.retryAfter);
  }
  const bool toldLongAgo = answer.sent == 0 && same->status == "processing" && since >= toldAgainAfter;
  if ((answer.lost && unanswered) || toldLongAgo) respond(answer, stop);
}

}  // namespace postern::acme
