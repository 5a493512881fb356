#include "acme/issuance.h"

#include <algorithm>
#include <string_view>
#include <utility>

#include "acme/jws.h"
#include "acme/polling.h"
#include "base/text.h"

namespace postern::acme {
namespace {

// Statuses (RFC 8555 section 7.1.6) from which an authorization does not come back. One that we do not know is waited
// for.
bool dead(const Authorization& authorization) {
  static constexpr std::string_view ends[] = {"invalid", "deactivated", "expired", "revoked"};
  return std::find(std::begin(ends), std::end(ends), authorization.status) != std::end(ends);
}

std::string nameOf(const Authorization& authorization) {
  return (authorization.wildcard ? "*." : "") + authorization.identifier;
}

// The CA does not know the order of the journal, or not as ours. A damaged URL (no answer at all) counts as well; an
// answer that was cut short does not.
bool saysOrderIsUnknown(const Problem& problem) {
  std::string type = problem.shortType();
  return problem.status == 404 || problem.status == 410 || type == "unauthorized" || type == "malformed" ||
         (type == "postern:malformed" && problem.status == 0);
}

// A refusal of finalize that the same order would meet again.
bool refusesRequest(const Problem& problem) {
  static constexpr std::string_view passing[] = {"badNonce", "rateLimited", "accountDoesNotExist",
                                                 "userActionRequired"};
  return problem.status >= 400 && problem.status < 500 && problem.status != 408 && problem.status != 429 &&
         std::find(std::begin(passing), std::end(passing), problem.shortType()) == std::end(passing);
}

// Why an authorization failed, as its challenge tells it (7.1.4).
Problem reasonOf(const Authorization& authorization, std::string_view type) {
  const Challenge* told = nullptr;
  for (const Challenge& challenge : authorization.challenges) {
    if (challenge.error && (!told || challenge.type == type)) told = &challenge;
  }
  Problem problem = told ? *told->error
                         : makeProblem("urn:ietf:params:acme:error:unauthorized",
                                       "the authorization is " + authorization.status + " and the CA gives no reason");
  if (problem.name.empty()) problem.name = nameOf(authorization);
  return problem;
}

Problem reasonOf(const Order& order) {
  if (order.error) return *order.error;
  return makeProblem("urn:ietf:params:acme:error:unauthorized", "the order is invalid and the CA gives no reason");
}

}  // namespace

struct Issuance::Answer {
  Authorization authorization;
  Challenge challenge;
  std::unique_ptr<Presented> presented;  // taken down with it
};

Issuance::Issuance(Client& client, Solver& solver, Journal& journal, Clock& clock, Log& log, IssuanceRequest request)
    : client_(client), solver_(solver), journal_(journal), clock_(clock), log_(log), request_(std::move(request)) {}

tls::CertifiedKeyRef Issuance::run(std::stop_token stop) {
  std::optional<Order> order = resumed(stop);
  bool wasResumed = order.has_value();
  if (!order) order = begin(stop);
  std::vector<Authorization> authorizations = authorizationsOf(*order, stop);
  if (wasResumed && std::any_of(authorizations.begin(), authorizations.end(), dead)) {
    journal_.forgetOrder();  // they ended while we were away: nothing was tried in this attempt yet
    order = begin(stop);
    wasResumed = false;
    authorizations = authorizationsOf(*order, stop);
  }
  if (order->status == "pending") {
    authorize(authorizations, stop);
    order = awaited(client_.order(order->url, stop), true, stop);
  }
  if (order->status == "ready") order = finalized(*order, stop);
  return downloaded(awaited(*std::move(order), false, stop), wasResumed, stop);
}

std::optional<Order> Issuance::resumed(std::stop_token stop) {
  std::optional<std::string> url = journal_.pendingOrder();
  if (!url) return std::nullopt;
  Order order;
  try {
    order = client_.order(*url, stop);
  } catch (const Error& error) {
    if (!saysOrderIsUnknown(error.problem)) throw;
    order.status = "unknown to the CA";
  }
  bool unfinished = order.status == "pending" || order.status == "ready";
  if (unfinished && order.expires && *order.expires <= clock_.now()) order.status = "expired";
  bool goesOn =
      order.status == "pending" || order.status == "ready" || order.status == "processing" || order.status == "valid";
  log_.info(goesOn ? "acme.order.resumed" : "acme.order.forgotten",
            {{"names", joined(request_.names)}, {"order", *url}, {"status", order.status}});
  if (goesOn) return order;
  journal_.forgetOrder();
  return std::nullopt;
}

Order Issuance::begin(std::stop_token stop) {
  Order order = client_.newOrder({request_.names, request_.profile, request_.replaces}, stop);
  journal_.rememberOrder(order.url);  // before the next request: a crash resumes this order and buys no other
  log_.info("acme.order.created", {{"names", joined(request_.names)}, {"order", order.url}});
  return order;
}

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
    // One that a resumed order finds in `processing` was answered before (7.5.1): the CA is at it.
    if (answer.challenge.status == "pending") answer.challenge = client_.respond(answer.challenge, stop);
  }
  for (Answer& answer : answers) {
    awaitValid(answer, stop);
    answer.presented.reset();
  }
}

Issuance::Answer Issuance::present(const Authorization& authorization, std::stop_token stop) {
  if (dead(authorization)) {
    journal_.forgetOrder();
    throw Error(reasonOf(authorization, nameOf(solver_.type())));
  }
  std::vector<std::string> offered;
  for (const Challenge& challenge : authorization.challenges) {
    offered.push_back(challenge.type);
    if (challenge.type != nameOf(solver_.type()) || challenge.token.empty()) continue;
    Answer answer{authorization, challenge, nullptr};
    answer.presented = solver_.present(
        {authorization.identifier, challenge.token, keyAuthorization(challenge.token, client_.thumbprint())}, stop);
    log_.debug("acme.challenge.presented", {{"name", nameOf(authorization)}, {"type", challenge.type}});
    return answer;
  }
  journal_.forgetOrder();  // it cannot be brought to an end by this solver
  throw Error(makeProblem("postern:challenge",
                          "the CA offers " + (offered.empty() ? "no challenge" : joined(offered, ", ")) + " and not " +
                              std::string(nameOf(solver_.type())),
                          nameOf(authorization)));
}

void Issuance::awaitValid(const Answer& answer, std::stop_token stop) {
  Polling polling(clock_, "the authorization of " + nameOf(answer.authorization));
  std::optional<Time> told = answer.challenge.retryAfter;
  for (;;) {
    polling.pause(told, stop);
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
      log_.info("acme.authorization.valid", {{"name", nameOf(authorization)}});
      return;
    }
    if (dead(authorization)) {
      journal_.forgetOrder();  // the CA makes it invalid; the other authorizations are left to expire (pitfall 20)
      throw Error(reasonOf(authorization, nameOf(solver_.type())), authorization.retryAfter);
    }
    told = authorization.retryAfter;
  }
}

Order Issuance::finalized(const Order& order, std::stop_token stop) {
  std::string request;
  try {
    request = tls::certificateRequest(request_.key.get(), request_.names);
  } catch (const tls::Error& error) {
    throw Error(makeProblem("postern:certificate", std::string("cannot make the CSR: ") + error.what()));
  }
  try {
    Order next = client_.finalize(order, request, stop);
    log_.info("acme.order.finalized", {{"names", joined(request_.names)}, {"order", order.url}});
    return next;
  } catch (const Error& error) {
    // The CA is already at it, or not yet there: the order itself tells (7.4).
    if (error.problem.shortType() == "orderNotReady") return client_.order(order.url, stop);
    if (refusesRequest(error.problem)) journal_.forgetOrder();
    throw;
  }
}

Order Issuance::awaited(Order order, bool orReady, std::stop_token stop) {
  Polling polling(clock_, "the order for " + joined(request_.names, ", "));
  std::optional<Time> told = order.retryAfter;
  while (order.status != "valid" && !(orReady && order.status == "ready")) {
    if (order.status == "invalid") {
      journal_.forgetOrder();
      throw Error(reasonOf(order), order.retryAfter);
    }
    polling.pause(told, stop);
    try {
      order = client_.order(order.url, stop);  // newOrder's URL: RFC 8555 promises no Location in finalize's answer
      told = order.retryAfter;
      polling.looked();
    } catch (const Error& error) {
      polling.forgive(error);
      told = error.retryAfter;
    }
  }
  return order;
}

tls::CertifiedKeyRef Issuance::downloaded(const Order& order, bool wasResumed, std::stop_token stop) {
  std::string pem = client_.download(order.certificate, stop).pem;
  try {
    return verified(pem, request_.key.get(), request_.names, clock_.now());
  } catch (const Error&) {
    // The answer may have been cut short, so the next attempt asks for it once more; then the order is given up.
    if (wasResumed) journal_.forgetOrder();
    throw;
  }
}

}  // namespace postern::acme
