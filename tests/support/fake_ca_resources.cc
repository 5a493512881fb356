// Orders, authorizations and challenges of the fake CA: RFC 8555 sections 7.4 and 7.5, as requests ask for them.
#include <algorithm>
#include <utility>

#include "base/encoding.h"
#include "base/text.h"
#include "tests/support/fake_ca.h"
#include "tests/support/fake_ca_crypto.h"

namespace postern::test {
namespace {

constexpr const char* errorPrefix = "urn:ietf:params:acme:error:";

Json identifierJson(const std::string& name) {
  return Json::Object{{"type", isAddress(name) ? "ip" : "dns"}, {"value", name}};
}

std::string withoutWildcard(const std::string& name) {
  return name.starts_with("*.") ? name.substr(2) : name;
}

Json problemJson(const acme::Problem& problem) {
  bool isUri = problem.type.find(':') != std::string::npos;
  Json::Object json{{"type", (isUri ? "" : errorPrefix) + problem.type}, {"detail", problem.detail}};
  if (problem.status != 0) json["status"] = problem.status;
  if (!problem.name.empty()) json["identifier"] = identifierJson(problem.name);
  Json::Array list;
  for (const acme::Problem& sub : problem.subproblems) list.push_back(problemJson(sub));
  if (!list.empty()) json["subproblems"] = std::move(list);
  return json;
}

bool isOver(const std::string& status) {
  return status == "invalid" || status == "expired" || status == "deactivated" || status == "revoked";
}

}  // namespace

std::string FakeCa::authorizationFor(const std::string& account, const std::string& name) {
  for (const auto& [id, old] : authorizations_) {
    if (reuse_ && old.account == account && old.name == name && old.status == "valid") return id;
  }
  Authorization made;
  made.account = account;
  made.name = name;
  made.token = base64Url(sha256("token" + std::to_string(lastId_)));
  made.pollsLeft = authorizationPolls_;
  std::string id = nextId();
  authorizations_[id] = std::move(made);
  return id;
}

acme::HttpResponse FakeCa::newOrder(const Signed& request) {
  Order made;
  made.account = request.account;
  for (const Json& identifier : request.payload["identifiers"].array()) {
    std::string name = identifier["value"].string();
    // RFC 8738 section 3: an address has one spelling.
    if (name.empty() || identifier["type"].string() != identifierJson(name)["type"].string() ||
        name != spelledName(name)) {
      throw Refusal{400, "malformed", "an identifier has no value, the wrong type or another spelling"};
    }
    made.names.push_back(name);
  }
  if (made.names.empty()) throw Refusal{400, "malformed", "no identifiers"};
  made.profile = request.payload["profile"].string();
  if (!made.profile.empty() && !profiles_.contains(made.profile)) {
    throw Refusal{400, "invalidProfile", "no profile is called " + made.profile};
  }
  made.replaces = request.payload["replaces"].string();
  if (!made.replaces.empty()) demandReplaceable(made.replaces, request.account);
  const auto answered = [this](const std::string& id, const Order& order) {
    acme::HttpResponse response = json(201, orderJson(id, order));
    response.headers.emplace("location", url("order", id));
    return response;
  };
  if (reuseOrders_) {
    for (auto& [id, old] : orders_) {
      settle(old);
      const bool waits = old.status == "pending" || old.status == "ready";
      if (waits && old.account == made.account && old.names == made.names && old.profile == made.profile) {
        return answered(id, old);
      }
    }
  }
  for (const std::string& name : made.names) made.authorizations.push_back(authorizationFor(request.account, name));
  made.expires = clock_.now() + std::chrono::hours(24 * 7);
  settle(made);
  ++ordersMade_;
  orderedNames_.push_back(made.names);
  orderedProfiles_.push_back(made.profile);
  std::string id = nextId();
  acme::HttpResponse response = answered(id, made);
  orders_[id] = std::move(made);
  return response;
}

// RFC 9773 section 5.
void FakeCa::demandReplaceable(const std::string& renewalId, const std::string& account) const {
  if (refuseReplaces_) throw Refusal{Refusal::statusOf(*refuseReplaces_), *refuseReplaces_, "as wanted"};
  auto predecessor = std::find_if(issuedCertificates_.begin(), issuedCertificates_.end(),
                                  [&](const IssuedCertificate& each) { return each.renewalId == renewalId; });
  if (!renewalInfo_ || predecessor == issuedCertificates_.end() || predecessor->account != account) {
    throw Refusal{400, "malformed", "no certificate to replace has that id"};
  }
  // An order under way holds its predecessor as well.
  for (const auto& [id, order] : orders_) {
    const bool gone = order.status == "invalid" || (order.status != "valid" && clock_.now() >= order.expires);
    if (order.replaces == renewalId && !gone) throw Refusal{409, "alreadyReplaced", "another order replaces it"};
  }
}

void FakeCa::settle(Order& order) {
  if (order.status == "pending" || order.status == "ready") {
    bool allValid = true;
    for (const std::string& id : order.authorizations) {
      const std::string& status = authorizations_.at(id).status;
      if (isOver(status)) order.status = "invalid";
      allValid = allValid && status == "valid";
    }
    if (order.status != "invalid" && clock_.now() >= order.expires) order.status = "invalid";
    if (order.status == "pending" && allValid) order.status = "ready";
  }
}

acme::HttpResponse FakeCa::order(const Signed& request) {
  std::string id = idOf(request.url);
  Order& found = owned(orders_, id, request);
  if (!request.isGet) throw Refusal{400, "malformed", "an order is read with an empty payload"};
  settle(found);
  if (found.status == "processing" && clock_.now() >= found.stuckUntil && --found.pollsLeft < 0)
    found.status = failOrders_ ? "invalid" : "valid";
  if (found.status == "invalid" && failOrders_) found.problem = failOrders_;
  acme::HttpResponse response = json(200, orderJson(id, found));
  if (found.status == "processing") addPollRetryAfter(response);
  return response;
}

acme::HttpResponse FakeCa::authorization(const Signed& request) {
  std::string id = idOf(request.url);
  Authorization& found = owned(authorizations_, id, request);
  if (found.lost) throw Refusal{404, "malformed", "Expired authorization"};
  if (!request.isGet && request.payload["status"].string() == "deactivated") {  // RFC 8555 section 7.5.2
    ++deactivatedAuthorizations_;
    found.status = "deactivated";
    return json(200, authorizationJson(id, found));
  }
  if (!request.isGet) throw Refusal{400, "malformed", "an authorization is read with an empty payload"};
  const bool validating = found.status == "pending" && found.challengeStatus == "processing" && !found.waits;
  if (validating && --found.pollsLeft < 0) validate(found);
  acme::HttpResponse response = json(200, authorizationJson(id, found));
  if (found.status == "pending") addPollRetryAfter(response);
  return response;
}

acme::HttpResponse FakeCa::challenge(const Signed& request) {
  std::string name = idOf(request.url);
  std::string id = name.substr(0, name.find('.')), type = name.substr(name.find('.') + 1);
  Authorization& found = owned(authorizations_, id, request);
  if (request.isGet) return json(200, challengeJson(id, type, found));
  if (found.status != "pending") throw Refusal{400, "malformed", "the authorization is not pending"};
  if (found.challengeStatus == "processing" && refuseRepeatedAnswers_) {
    throw Refusal{400, "malformed", "challenge or authorization must be in pending state"};
  }
  if (found.challengeStatus == "pending") {
    found.challengeStatus = "processing";
    found.answeredType = type;
  } else {
    ++repeatedAnswers_;
  }
  found.waits = false;
  if (leaves_ == Leaves::OpenChallenge) validate(found);
  return json(200, challengeJson(id, type, found));
}

// Looks at what the client shows, as late as a real CA may: when the authorization is about to be decided.
void FakeCa::validate(Authorization& authorization) {
  std::string name = withoutWildcard(authorization.name);
  std::string expected = authorization.token + "." + accounts_.at(authorization.account).thumbprint;
  const std::string& type = authorization.answeredType;
  authorization.problem.reset();
  if (auto failing = failingNames_.find(authorization.name); failing != failingNames_.end()) {
    authorization.problem = failing->second;
  } else if (invalidOnce_) {
    invalidOnce_ = false;
    acme::Problem problem = acme::makeProblem("compound", "several things are wrong");
    problem.subproblems = {acme::makeProblem("connection", "Timeout during connect", name),
                           acme::makeProblem("caa", "CAA record prevents issuance", name)};
    authorization.problem = std::move(problem);
  } else if (validation_) {
    authorization.problem = validation_(name, expected);
  } else if (type == "http-01" && httpFetch_) {
    authorization.problem = checkHttp(authorization, expected);
  } else if (type == "dns-01" && dnsLookup_) {
    authorization.problem = checkDns(name, expected);
  } else if (challenges_ && type == "tls-alpn-01") {
    authorization.problem = checkAlpn(name, expected);
  }
  if (!authorization.problem) {
    authorization.status = authorization.challengeStatus = "valid";
    return;
  }
  switch (leaves_) {
    case Leaves::Invalid: authorization.status = authorization.challengeStatus = "invalid"; break;
    case Leaves::OpenChallenge: authorization.challengeStatus = "pending"; break;
    case Leaves::InvalidChallenge: authorization.challengeStatus = "invalid"; break;
    case Leaves::Waiting:
      authorization.problem.reset();
      authorization.waits = true;
      break;
  }
}

std::optional<acme::Problem> FakeCa::checkAlpn(const std::string& name, const std::string& keyAuthorization) const {
  tls::CertifiedKeyRef shown = challenges_->find(tls::challengeServerName(name));
  if (!shown) return acme::makeProblem("connection", "no acme-tls/1 answer at " + name);
  if (shown->names() != std::vector<std::string>{spelledName(name)}) {
    return acme::makeProblem("unauthorized", "the challenge certificate is not for " + name + " alone");
  }
  if (acmeIdentifier(shown->leaf()) != sha256(keyAuthorization)) {
    return acme::makeProblem("unauthorized", "the challenge certificate of " + name + " has another digest");
  }
  return std::nullopt;
}

std::optional<acme::Problem> FakeCa::checkHttp(const Authorization& authorization, const std::string& expected) const {
  std::optional<std::string> body = httpFetch_(authorization.name, authorization.token);
  if (!body) return acme::makeProblem("connection", "no answer on port 80 of " + authorization.name);
  if (trimmed(*body) == expected) return std::nullopt;
  return acme::makeProblem("unauthorized", "the key authorization at " + authorization.name + " is another");
}

std::optional<acme::Problem> FakeCa::checkDns(const std::string& name, const std::string& keyAuthorization) const {
  const std::vector<std::string> found = dnsLookup_("_acme-challenge." + name);
  if (found.empty()) return acme::makeProblem("dns", "no TXT record at _acme-challenge." + name);
  if (std::find(found.begin(), found.end(), base64Url(sha256(keyAuthorization))) != found.end()) return std::nullopt;
  return acme::makeProblem("unauthorized", "no TXT record at _acme-challenge." + name + " is the right one");
}

// --- as JSON

Json FakeCa::orderJson(const std::string& id, const Order& order) const {
  Json::Array identifiers;
  std::vector<std::string> authorizations;
  for (const std::string& name : order.names) identifiers.push_back(identifierJson(name));
  for (const std::string& one : order.authorizations) authorizations.push_back(url("authorization", one));
  Json::Object json{{"status", order.status},
                    {"identifiers", std::move(identifiers)},
                    {"authorizations", Json::strings(authorizations)},
                    {"finalize", url("finalize", id)},
                    {"expires", rfc3339(order.expires)}};
  if (order.status == "valid") json["certificate"] = order.certificate;
  if (!order.profile.empty()) json["profile"] = order.profile;
  if (!order.replaces.empty()) json["replaces"] = order.replaces;
  if (order.problem && !order.problem->type.empty()) json["error"] = problemJson(*order.problem);
  if (future_) {
    json["mood"] = Json::Object{{"today", Json::Array{nullptr, 1.5, true}}};
    if (order.status == "processing") json["status"] = "preparing";
  }
  return json;
}

Json FakeCa::authorizationJson(const std::string& id, const Authorization& authorization) const {
  Json::Array challenges;
  if (future_) {
    challenges.push_back(Json::Object{{"type", "dns-persist-01"},
                                      {"url", url("challenge", id + ".dns-persist-01")},
                                      {"status", "sleeping"},
                                      {"issuer-domain-names", Json::Array{"ca.test"}}});
    challenges.push_back(Json::Object{{"type", 7}});
    challenges.push_back("not even an object");
  }
  for (const std::string& type : offeredTo(authorization)) challenges.push_back(challengeJson(id, type, authorization));
  Json::Object json{{"status", authorization.status},
                    {"identifier", identifierJson(withoutWildcard(authorization.name))},
                    {"challenges", std::move(challenges)},
                    {"expires", rfc3339(clock_.now() + std::chrono::hours(24))}};
  if (authorization.name.starts_with("*.")) json["wildcard"] = true;
  if (future_) json["weather"] = "fair";
  return json;
}

// RFC 8555 section 8.4: a wildcard has dns-01 alone. RFC 8738 section 4: an address does not have it.
std::vector<std::string> FakeCa::offeredTo(const Authorization& authorization) const {
  const bool wildcard = authorization.name.starts_with("*."), address = isAddress(authorization.name);
  std::vector<std::string> types;
  for (const std::string& type : offered_) {
    if (type == "dns-01" ? !address : !wildcard) types.push_back(type);
  }
  return types;
}

Json FakeCa::challengeJson(const std::string& id, const std::string& type, const Authorization& authorization) const {
  bool answered = authorization.answeredType == type;
  Json::Object json{{"type", type},
                    {"url", url("challenge", id + "." + type)},
                    {"status", answered ? authorization.challengeStatus : "pending"},
                    {"token", authorization.token}};
  if (answered && authorization.problem) json["error"] = problemJson(*authorization.problem);
  return json;
}

void FakeCa::addPollRetryAfter(acme::HttpResponse& response) const {
  if (!pollRetryAfter_) return;
  auto seconds = std::chrono::duration_cast<std::chrono::seconds>(*pollRetryAfter_).count();
  response.headers.emplace("retry-after", std::to_string(seconds));
}

}  // namespace postern::test
