#include "acme/client.h"

#include <arpa/inet.h>

#include <array>
#include <utility>

#include "acme/answer.h"
#include "acme/client_state.h"
#include "acme/jws.h"
#include "acme/links.h"
#include "acme/retry_after.h"
#include "base/encoding.h"

namespace postern::acme {
namespace {

constexpr auto finalizeTimeout = std::chrono::seconds(90);  // some CAs sign before they answer
constexpr auto answerTimeout = std::chrono::seconds(60);    // ... or look for what they were told of

// "ip" and its one spelling: RFC 8738 section 3, RFC 5952.
Json identifier(const std::string& name) {
  std::array<unsigned char, 16> address{};
  std::array<char, INET6_ADDRSTRLEN> spelled{};
  for (int family : {AF_INET, AF_INET6}) {
    if (inet_pton(family, name.c_str(), address.data()) != 1) continue;
    const char* text = inet_ntop(family, address.data(), spelled.data(), static_cast<socklen_t>(spelled.size()));
    return Json::Object{{"type", "ip"}, {"value", text ? std::string(text) : name}};
  }
  return Json::Object{{"type", "dns"}, {"value", name}};
}

std::string location(const HttpResponse& response, const std::string& request) {
  std::string url = response.header("location");
  if (url.empty()) throw Error(makeProblem("postern:malformed", "the CA's answer to " + request + " has no Location"));
  return url;
}

std::string derOf(X509* certificate) {
  unsigned char* raw = nullptr;
  const int size = i2d_X509(certificate, &raw);
  if (size <= 0) tls::fail("cannot write the certificate");
  std::string der(raw, raw + size);
  OPENSSL_free(raw);
  return der;
}

}  // namespace

Client::Client(std::string directoryUrl, Transport& transport, const Clock& clock, Log& log)
    : state_(std::make_shared<State>(std::move(directoryUrl), transport, clock, log)) {}

Client::Client(const Client& other, Pace& pace) : state_(other.state_), pace_(&pace) {}

Client::~Client() = default;

Directory Client::directory(std::stop_token stop) {
  return state_->directory.get(stop, pace_);
}

void Client::useAccount(tls::KeyPtr key, std::string accountUrl) {
  std::string print = acme::thumbprint(key.get());
  std::lock_guard lock(state_->mutex);
  state_->key = std::move(key);
  state_->accountUrl = std::move(accountUrl);
  state_->thumbprint = std::move(print);
}

std::string Client::accountUrl() const {
  std::lock_guard lock(state_->mutex);
  return state_->accountUrl;
}

std::string Client::thumbprint() const {
  std::lock_guard lock(state_->mutex);
  return state_->thumbprint;
}

std::string Client::newAccount(const std::vector<std::string>& contact, bool onlyReturnExisting,
                               const std::optional<ExternalAccount>& externalAccount, std::stop_token stop) {
  const State::Way way{pace_, stop};
  const tls::KeyPtr key = state_->accountKey();
  Json payload;
  if (onlyReturnExisting) {
    payload["onlyReturnExisting"] = true;
  } else {
    payload["termsOfServiceAgreed"] = true;
    if (!contact.empty()) payload["contact"] = Json::strings(contact);
  }
  HttpResponse response = state_->at(&Directory::newAccount, "newAccount", way, [&](const std::string& url) {
    if (externalAccount && !onlyReturnExisting) {
      payload["externalAccountBinding"] = externalAccountBinding(*externalAccount, key.get(), url);
    }
    return state_->post(url, payload.dump(), {key.get(), false}, "newAccount", way);
  });
  std::string url = location(response, "newAccount");
  std::lock_guard lock(state_->mutex);
  state_->accountUrl = url;
  return url;
}

void Client::updateContact(const std::vector<std::string>& contact, std::stop_token stop) {
  Json payload;
  payload["contact"] = Json::strings(contact);
  state_->post(state_->demandAccountUrl(), payload.dump(), {}, "the account's update", {pace_, stop});
}

AccountObject Client::account(std::stop_token stop) {
  const std::string url = state_->demandAccountUrl();
  AccountObject account = parseAccount(jsonObject(state_->postAsGet(url, "the account", {pace_, stop}), "the account"));
  account.url = url;
  return account;
}

void Client::changeKey(tls::KeyPtr newKey, std::stop_token stop) {
  const State::Way way{pace_, stop};
  const tls::KeyPtr oldKey = state_->accountKey();
  const std::string account = state_->demandAccountUrl();
  std::string print = acme::thumbprint(newKey.get());
  state_->at(&Directory::keyChange, "keyChange", way, [&](const std::string& url) {
    const Json payload = keyChangePayload(oldKey.get(), newKey.get(), account, url);
    return state_->post(url, payload.dump(), {oldKey.get(), true}, "keyChange", way);
  });
  std::lock_guard lock(state_->mutex);
  state_->key = std::move(newKey);
  state_->thumbprint = std::move(print);
}

void Client::deactivateAccount(std::stop_token stop) {
  const Json payload = Json::Object{{"status", "deactivated"}};
  state_->post(state_->demandAccountUrl(), payload.dump(), {}, "the account's deactivation", {pace_, stop});
}

Order Client::newOrder(const OrderRequest& wanted, std::stop_token stop) {
  const State::Way way{pace_, stop};
  Json::Array identifiers;
  for (const std::string& name : wanted.names) identifiers.push_back(identifier(name));
  Json payload;
  payload["identifiers"] = std::move(identifiers);
  if (!wanted.profile.empty()) payload["profile"] = wanted.profile;
  if (!wanted.replaces.empty()) payload["replaces"] = wanted.replaces;
  HttpResponse response = state_->at(&Directory::newOrder, "newOrder", way, [&](const std::string& url) {
    return state_->post(url, payload.dump(), {}, "newOrder", way);
  });
  Order order = parseOrder(jsonObject(response, "newOrder"));
  order.url = location(response, "newOrder");
  order.retryAfter = pollAfter(response, state_->clock.now());
  return order;
}

Order Client::order(const std::string& url, std::stop_token stop) {
  HttpResponse response = state_->postAsGet(url, "the order", {pace_, stop});
  Order order = parseOrder(jsonObject(response, "the order"));
  order.url = url;
  order.retryAfter = pollAfter(response, state_->clock.now());
  return order;
}

Authorization Client::authorization(const std::string& url, std::stop_token stop) {
  HttpResponse response = state_->postAsGet(url, "the authorization", {pace_, stop});
  Authorization authorization = parseAuthorization(jsonObject(response, "the authorization"));
  authorization.url = url;
  authorization.retryAfter = pollAfter(response, state_->clock.now());
  return authorization;
}

Challenge Client::respond(const Challenge& challenge, std::stop_token stop) {
  HttpResponse response = state_->post(challenge.url, "{}", {}, "the challenge", {pace_, stop}, answerTimeout);
  // The answer was taken; the authorization tells the rest. So a body that cannot be read ends nothing here.
  Challenge answered = challenge;
  if (auto json = Json::parse(response.body)) {
    answered.status = (*json)["status"].string(challenge.status);
    if ((*json)["error"].isObject()) answered.error = parseProblem((*json)["error"]);
  }
  answered.retryAfter = pollAfter(response, state_->clock.now());
  return answered;
}

Order Client::finalize(const Order& order, const std::string& csrDer, std::stop_token stop) {
  Json payload;
  payload["csr"] = base64Url(csrDer);
  HttpResponse response = state_->post(order.finalize, payload.dump(), {}, "finalize", {pace_, stop}, finalizeTimeout);
  Order finalized = parseOrder(jsonObject(response, "finalize"));
  finalized.url = order.url;  // RFC 8555 promises no Location in this answer
  finalized.retryAfter = pollAfter(response, state_->clock.now());
  return finalized;
}

DownloadedChain Client::download(const std::string& certificateUrl, std::stop_token stop) {
  HttpResponse response = state_->postAsGet(certificateUrl, "the certificate", {pace_, stop});
  return {response.body, linksOf(response, "alternate", certificateUrl)};
}

void Client::revoke(const tls::CertifiedKey& certificate, int reason, RevokeBy by, std::stop_token stop) {
  const State::Way way{pace_, stop};
  Json payload;
  payload["certificate"] = base64Url(derOf(certificate.leaf()));
  if (reason != 0) payload["reason"] = reason;  // "unspecified" is said by saying nothing (RFC 5280 section 5.3.1)
  const State::Signer signer = by == RevokeBy::Account ? State::Signer{} : State::Signer{certificate.key(), false};
  try {
    state_->at(&Directory::revokeCert, "revokeCert", way,
               [&](const std::string& url) { return state_->post(url, payload.dump(), signer, "revokeCert", way); });
  } catch (const Error& error) {
    if (error.problem.shortType() != "alreadyRevoked") throw;
  }
}

std::optional<RenewalInfo> Client::renewalInfo(const tls::CertifiedKey& certificate,
                                               const std::optional<RenewalInfo>& before, double chance,
                                               std::stop_token stop) {
  std::string url = directory(stop).renewalInfo;
  const std::string id = renewalCertificateId(certificate);
  if (url.empty() || id.empty()) return std::nullopt;
  while (url.ends_with('/')) url.pop_back();
  const HttpResponse response = state_->get(url + "/" + id, "renewalInfo", {pace_, stop});
  return readRenewalInfo(response, id, certificate.notAfter(), before, state_->clock.now(), chance);
}

}  // namespace postern::acme
