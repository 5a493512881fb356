// The resources of the fake CA: RFC 8555 section 7, as its requests ask for them.
#include <algorithm>
#include <utility>

#include "base/encoding.h"
#include "tests/support/fake_ca.h"
#include "tests/support/fake_ca_crypto.h"

namespace postern::test {
namespace {

constexpr const char* errorPrefix = "urn:ietf:params:acme:error:";

Json identifierJson(const std::string& name) {
  bool isAddress = name.find(':') != std::string::npos || name.find_first_not_of("0123456789.") == std::string::npos;
  return Json::Object{{"type", isAddress ? "ip" : "dns"}, {"value", name}};
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

std::vector<std::string> sorted(std::vector<std::string> names) {
  for (std::string& name : names) {
    std::transform(name.begin(), name.end(), name.begin(),
                   [](char c) { return c >= 'A' && c <= 'Z' ? char(c + 32) : c; });
  }
  std::sort(names.begin(), names.end());
  names.erase(std::unique(names.begin(), names.end()), names.end());
  return names;
}

bool isOver(const std::string& status) {
  return status == "invalid" || status == "expired" || status == "deactivated" || status == "revoked";
}

}  // namespace

acme::HttpResponse FakeCa::directory() {
  Json::Object meta;
  if (!terms_.empty()) meta["termsOfService"] = terms_;
  Json::Object directory{{"newNonce", entryUrl("newNonce")},   {"newAccount", entryUrl("newAccount")},
                         {"newOrder", entryUrl("newOrder")},   {"revokeCert", entryUrl("revokeCert")},
                         {"keyChange", entryUrl("keyChange")}, {"meta", std::move(meta)}};
  if (future_) directory["xK3zQ"] = Json::Array{"https://community.letsencrypt.org/t/adding-random-entries/33417", 7};
  return json(200, std::move(directory));
}

acme::HttpResponse FakeCa::newAccount(const Signed& request) {
  for (const auto& [existing, account] : accounts_) {
    if (account.thumbprint != request.thumbprint) continue;
    acme::HttpResponse response = json(200, Json::Object{{"status", "valid"}});
    response.headers.emplace("location", existing);
    return response;
  }
  if (request.payload["onlyReturnExisting"].boolean()) throw Refusal{400, "accountDoesNotExist", "no such account"};
  if (!terms_.empty() && !request.payload["termsOfServiceAgreed"].boolean()) {
    throw Refusal{403, "userActionRequired", "the terms of service must be agreed to"};
  }
  Account made;
  made.url = url("account", nextId());
  made.thumbprint = request.thumbprint;
  made.key = tls::share(request.key.get());
  made.contact = request.payload["contact"].stringList();
  for (const std::string& contact : made.contact) {
    if (!contact.starts_with("mailto:")) throw Refusal{400, "unsupportedContact", "only mailto"};
  }
  lastAccount_ = made.url;
  ++accountsMade_;
  acme::HttpResponse response = json(201, Json::Object{{"status", "valid"}});
  response.headers.emplace("location", made.url);
  accounts_[lastAccount_] = std::move(made);
  return response;
}

acme::HttpResponse FakeCa::account(const Signed& request) {
  if (request.url != request.account) throw Refusal{403, "unauthorized", "it is another account"};
  Account& found = accounts_.at(request.account);
  if (request.payload["contact"].isArray()) {
    found.contact = request.payload["contact"].stringList();
    lastAccount_ = found.url;
  }
  return json(200, Json::Object{{"status", "valid"}, {"contact", Json::strings(found.contact)}});
}

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
    if (name.empty() || identifier["type"].string() != identifierJson(name)["type"].string()) {
      throw Refusal{400, "malformed", "an identifier has no value or the wrong type"};
    }
    made.names.push_back(name);
  }
  if (made.names.empty()) throw Refusal{400, "malformed", "no identifiers"};
  for (const std::string& name : made.names) made.authorizations.push_back(authorizationFor(request.account, name));
  made.expires = clock_.now() + std::chrono::hours(24 * 7);
  settle(made);
  ++ordersMade_;
  orderedNames_.push_back(made.names);
  std::string id = nextId();
  acme::HttpResponse response = json(201, orderJson(id, made));
  response.headers.emplace("location", url("order", id));
  orders_[id] = std::move(made);
  return response;
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
  if (found.status == "processing" && --found.pollsLeft < 0) found.status = failOrders_ ? "invalid" : "valid";
  if (found.status == "invalid" && failOrders_) found.problem = failOrders_;
  acme::HttpResponse response = json(200, orderJson(id, found));
  if (found.status == "processing") addPollRetryAfter(response);
  return response;
}

acme::HttpResponse FakeCa::authorization(const Signed& request) {
  std::string id = idOf(request.url);
  Authorization& found = owned(authorizations_, id, request);
  if (!request.isGet) throw Refusal{400, "malformed", "an authorization is read with an empty payload"};
  if (found.status == "pending" && found.challengeStatus == "processing" && --found.pollsLeft < 0) validate(found);
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
  if (found.challengeStatus == "pending") {
    found.challengeStatus = "processing";
    found.answeredType = type;
  } else {
    ++repeatedAnswers_;
  }
  return json(200, challengeJson(id, type, found));
}

// Looks at what the client shows, as late as a real CA may: when the authorization is about to be decided.
void FakeCa::validate(Authorization& authorization) {
  std::string name = withoutWildcard(authorization.name);
  std::string expected = authorization.token + "." + accounts_.at(authorization.account).thumbprint;
  if (auto failing = failingNames_.find(authorization.name); failing != failingNames_.end()) {
    authorization.problem = failing->second;
  } else if (validation_) {
    authorization.problem = validation_(name, expected);
  } else if (challenges_) {
    authorization.problem = checkAlpn(name, expected);
  }
  authorization.status = authorization.challengeStatus = authorization.problem ? "invalid" : "valid";
}

std::optional<acme::Problem> FakeCa::checkAlpn(const std::string& name, const std::string& keyAuthorization) const {
  tls::CertifiedKeyRef shown = challenges_->find(tls::challengeServerName(name));
  if (!shown) return acme::makeProblem("connection", "no acme-tls/1 answer at " + name);
  if (shown->names() != std::vector<std::string>{name}) {
    return acme::makeProblem("unauthorized", "the challenge certificate is not for " + name + " alone");
  }
  if (acmeIdentifier(shown->leaf()) != sha256(keyAuthorization)) {
    return acme::makeProblem("unauthorized", "the challenge certificate of " + name + " has another digest");
  }
  return std::nullopt;
}

acme::HttpResponse FakeCa::finalize(const Signed& request) {
  std::string id = idOf(request.url);
  Order& found = owned(orders_, id, request);
  settle(found);
  if (found.status != "ready") throw Refusal{403, "orderNotReady", "the order is " + found.status};
  auto csr = readRequest(fromBase64Url(request.payload["csr"].string()).value_or(""));
  if (!csr) throw Refusal{400, "badCSR", "the CSR cannot be read or is not signed by its key"};
  if (sorted(csr->names) != sorted(found.names)) throw Refusal{400, "badCSR", "the CSR is for other names"};
  if (EVP_PKEY_eq(csr->key.get(), request.key.get()) == 1) throw Refusal{400, "badCSR", "that is the account's key"};
  std::string certificateId = nextId();
  certificates_[certificateId] = {found.account, issue(csr->key.get(), found)};
  found.certificate = url("certificate", certificateId);
  found.pollsLeft = orderPolls_;
  found.status = orderPolls_ > 0 || failOrders_ ? "processing" : "valid";
  if (!failOrders_) ++issued_;
  acme::HttpResponse response = json(200, orderJson(id, found));  // no Location, as RFC 8555 promises none
  if (found.status == "processing") addPollRetryAfter(response);
  return response;
}

std::string FakeCa::issue(EVP_PKEY* key, const Order& order) const {
  Leaf leaf{order.names, clock_.now(), clock_.now() + lifetime_, true};
  if (!wrong_) return pemOf(issuer_.issue(key, leaf).get()) + issuer_.intermediatePem();
  std::string chain = issuer_.intermediatePem();
  tls::KeyPtr used = tls::share(key);
  switch (*wrong_) {
    case WrongCertificate::OtherKey: used = tls::generateKey(tls::KeyType::EcdsaP256); break;
    case WrongCertificate::OtherNames: leaf.names = {"wrong.example"}; break;
    case WrongCertificate::MissingName:
      leaf.names.pop_back();
      if (leaf.names.empty()) leaf.names = {"wrong.example"};
      break;
    case WrongCertificate::Expired:
      leaf.notBefore = clock_.now() - lifetime_;
      leaf.notAfter = clock_.now() - std::chrono::hours(1);
      break;
    case WrongCertificate::NotYetValid:
      leaf.notBefore += std::chrono::hours(24);
      leaf.notAfter += std::chrono::hours(24);
      break;
    case WrongCertificate::LeafOnly: chain.clear(); break;
    case WrongCertificate::Garbage: return "This is not the certificate that you are looking for.\n";
    case WrongCertificate::WrongOrder: chain = TestIssuer().intermediatePem(); break;
    case WrongCertificate::ClientOnly: leaf.serverAuth = false; break;
  }
  return pemOf(issuer_.issue(used.get(), leaf).get()) + chain;
}

acme::HttpResponse FakeCa::certificate(const Signed& request) {
  const Certificate& found = owned(certificates_, idOf(request.url), request);
  acme::HttpResponse response;
  response.status = 200;
  response.headers.emplace("content-type", "application/pem-certificate-chain");
  response.body = found.pem;
  return response;
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
  if (order.problem) json["error"] = problemJson(*order.problem);
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
  for (const std::string& type : offered_) challenges.push_back(challengeJson(id, type, authorization));
  Json::Object json{{"status", authorization.status},
                    {"identifier", identifierJson(withoutWildcard(authorization.name))},
                    {"challenges", std::move(challenges)},
                    {"expires", rfc3339(clock_.now() + std::chrono::hours(24))}};
  if (authorization.name.starts_with("*.")) json["wildcard"] = true;
  if (future_) json["weather"] = "fair";
  return json;
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
