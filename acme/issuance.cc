#include "acme/issuance.h"

#include <algorithm>
#include <string_view>
#include <utility>

#include "acme/polling.h"
#include "base/text.h"

namespace postern::acme {
namespace {

template <std::size_t Count>
bool isOneOf(std::string_view word, const std::string_view (&words)[Count]) {
  return std::find(std::begin(words), std::end(words), word) != std::end(words);
}

// "https://host:port"
std::string_view originOf(std::string_view url) {
  const std::size_t scheme = url.find("://");
  return scheme == std::string_view::npos ? url : url.substr(0, url.find('/', scheme + 3));
}

// How long an order may be in the CA's hands before it is given up. ZeroSSL has kept some for ever; where a person
// releases orders, a day is what that may take.
constexpr auto longestProcessing = std::chrono::hours(24);

// A refusal of finalize that the same order would meet again. It is the CA's own: a gateway's page says nothing of it.
bool refusesRequest(const Problem& problem) {
  static constexpr std::string_view passing[] = {"badNonce", "rateLimited", "accountDoesNotExist",
                                                 "userActionRequired"};
  return problem.status >= 400 && problem.status < 500 && problem.status != 408 && problem.status != 429 &&
         !problem.type.starts_with("postern:") && !isOneOf(problem.shortType(), passing);
}

// Whether newOrder may fare better without `replaces` (RFC 9773 section 5): the CA refused the request, and not for
// what stays the same without it. CAs name the reason differently: alreadyReplaced, malformed, unauthorized, ... Some
// trip over it (Pebble 2.10 over one serial number in 256: letsencrypt/pebble#550) and would at each attempt, up to the
// expiry. Whoever tells when to come again is not asked before.
bool mayBlameReplaces(const Error& error) {
  static constexpr std::string_view otherReasons[] = {"rateLimited",
                                                      "badNonce",
                                                      "accountDoesNotExist",
                                                      "userActionRequired",
                                                      "externalAccountRequired",
                                                      "rejectedIdentifier",
                                                      "unsupportedIdentifier",
                                                      "caa",
                                                      "invalidProfile"};
  const Problem& problem = error.problem;
  const std::string type = problem.shortType();
  if (problem.status == 500) return type == "serverInternal" && !error.retryAfter;
  return problem.status >= 400 && problem.status < 500 && problem.status != 408 && problem.status != 429 &&
         !type.starts_with("postern:") && !isOneOf(type, otherReasons);
}

bool hasFailed(const Authorization& authorization) {
  return authorization.status == "invalid";
}

Problem reasonOf(const Order& order) {
  if (order.error) return *order.error;
  // Not "unauthorized": of no name that would say that the CA refuses the account.
  return makeProblem("postern:order", "the order is invalid and the CA gives no reason");
}

}  // namespace

bool saysItIsUnknown(const Problem& problem) {
  static constexpr std::string_view ways[] = {"unauthorized", "malformed"};
  return problem.status == 404 || problem.status == 410 || isOneOf(problem.shortType(), ways);
}

Issuance::Issuance(Client& client, Solver& solver, Journal& journal, Clock& clock, Log& log, IssuanceRequest request)
    : client_(client), solver_(solver), journal_(journal), clock_(clock), log_(log), request_(std::move(request)) {}

tls::CertifiedKeyRef Issuance::run(std::stop_token stop) {
  std::optional<Order> order = resumed(stop);
  // A new order may have been used as well: Let's Encrypt and Sectigo give out one that waits to everybody who orders
  // the same names, and certificates of two key types do. After that it waits no more.
  for (int begun = order ? 0 : 1; begun <= 2; ++begun) {
    const bool wasResumed = order.has_value();
    if (auto certificate = ended(wasResumed ? *order : begin(stop), wasResumed, stop)) return certificate;
    journal_.forgetOrder();
    order.reset();
  }
  throw Error(makeProblem("postern:certificate", "the CA gave out orders that others for the same names have used"));
}

tls::CertifiedKeyRef Issuance::ended(Order order, bool wasResumed, std::stop_token stop) {
  sentCsr_ = false;
  std::vector<Authorization> authorizations;
  try {
    authorizations = authorizationsOf(order, stop);
  } catch (const Error& error) {
    if (!wasResumed || !saysItIsUnknown(error.problem)) throw;
    return nullptr;
  }
  // One that failed while we were away is a failure as any other: whoever was killed there goes by the back-off too.
  const bool failed = std::any_of(authorizations.begin(), authorizations.end(), hasFailed);
  if (wasResumed && !failed && std::any_of(authorizations.begin(), authorizations.end(), isDead)) return nullptr;
  if (order.status == "pending") authorize(authorizations, stop);
  // With the last authorization valid the order is ready (7.1.6): it is not asked first.
  if (order.status == "pending" || order.status == "ready") order = finalized(std::move(order), stop);
  return downloaded(awaited(std::move(order), Until::Issued, stop), wasResumed, stop);
}

std::optional<Order> Issuance::resumed(std::stop_token stop) {
  std::optional<std::string> url = journal_.pendingOrder();
  if (!url) return std::nullopt;
  Order order;
  try {
    if (url->starts_with("https://")) order = client_.order(*url, stop);
  } catch (const Error& error) {
    // A damaged URL may lead to a host that does not exist, and would do so for ever.
    const bool elsewhere =
        error.problem.type == "postern:connection" && originOf(*url) != originOf(client_.directory(stop).newOrder);
    if (!saysItIsUnknown(error.problem) && !elsewhere) throw;
  }
  if (order.status.empty()) {
    order.status = "unknown to the CA";
  } else {
    if (order.status != "invalid") order = awaited(std::move(order), Until::Known, stop);
    bool unfinished = order.status == "pending" || order.status == "ready";
    if (unfinished && order.expires && *order.expires <= clock_.now()) order.status = "expired";
    const std::optional<Time> since = journal_.pendingSince();
    if (order.status == "processing" && since && clock_.now() - *since > longestProcessing) {
      order.status = "processing since " + rfc3339(*since);
    }
  }
  static constexpr std::string_view alive[] = {"pending", "ready", "processing", "valid"};
  bool goesOn = isOneOf(order.status, alive);
  log_.info(goesOn ? "acme.order.resumed" : "acme.order.forgotten",
            {{"names", joined(request_.names)}, {"order", *url}, {"status", order.status}});
  if (goesOn) return order;
  const auto failure = order.status == "invalid" ? failureOf(order, stop) : std::nullopt;
  journal_.forgetOrder();
  if (failure) throw Error(*failure, order.retryAfter);
  return std::nullopt;
}

// Why an order is invalid that was begun before; nothing where it only came to its end unused (7.1.6).
std::optional<Problem> Issuance::failureOf(const Order& order, std::stop_token stop) {
  for (const std::string& url : order.authorizations) {
    try {
      const Authorization authorization = client_.authorization(url, stop);
      if (hasFailed(authorization)) return whyFailed(authorization);
    } catch (const Error& error) {
      if (!saysItIsUnknown(error.problem)) throw;  // else it is gone as well
    }
  }
  return order.error;
}

Order Issuance::begin(std::stop_token stop) {
  Order order = ordered(stop);
  // Before the next request: a crash resumes this order and buys no other.
  journal_.rememberOrder(order.url, clock_.now());
  log_.info("acme.order.created", {{"names", joined(request_.names)}, {"order", order.url}});
  return awaited(std::move(order), Until::Known, stop);
}

Order Issuance::ordered(std::stop_token stop) {
  try {
    return client_.newOrder({request_.names, request_.profile, request_.replaces}, stop);
  } catch (const Error& error) {
    if (request_.replaces.empty() || !mayBlameReplaces(error)) throw;
    log_.warn("acme.order.replaces-refused", {{"names", joined(request_.names)},
                                              {"replaces", request_.replaces},
                                              {"type", error.problem.shortType()},
                                              {"detail", error.problem.detail},
                                              {"next", "ordered at once without it"}});
    request_.replaces.clear();
  }
  return client_.newOrder({request_.names, request_.profile, ""}, stop);
}

Order Issuance::finalized(Order order, std::stop_token stop) {
  std::string request;
  try {
    request = tls::certificateRequest(request_.key.get(), request_.names);
  } catch (const tls::Error& error) {
    throw Error(makeProblem("postern:certificate", std::string("cannot make the CSR: ") + error.what()));
  }
  // A CA that is not ready yet has a while to become so (7.4).
  Polling polling(clock_, "preparing the order for " + joined(request_.names, ", "), clock_.now());
  for (;;) {
    std::optional<Time> told;
    try {
      Order next = client_.finalize(order, request, stop);
      sentCsr_ = true;
      log_.info("acme.order.finalized", {{"names", joined(request_.names)}, {"order", order.url}});
      return next;
    } catch (const Error& error) {
      if (error.problem.shortType() != "orderNotReady") {
        if (refusesRequest(error.problem)) journal_.forgetOrder();
        throw;
      }
      told = error.retryAfter;
    }
    polling.pause(told, stop);
    order = awaited(client_.order(order.url, stop), Until::Ready, stop);
    if (order.status != "ready") return order;  // the CA is at it already
  }
}

Order Issuance::awaited(Order order, Until until, std::stop_token stop) {
  Polling polling(clock_, "the order for " + joined(request_.names, ", "), clock_.now());
  std::optional<Time> told = order.retryAfter;
  const auto reached = [&] {
    static constexpr std::string_view known[] = {"pending", "ready", "processing", "valid"};
    if (order.status == "valid") return true;
    if (until == Until::Known) return isOneOf(order.status, known);
    return until == Until::Ready && (order.status == "ready" || order.status == "processing");
  };
  while (!reached()) {
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

}  // namespace postern::acme
