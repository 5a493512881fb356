#include "acme/client.h"

#include <arpa/inet.h>

#include <array>
#include <utility>

#include "acme/answer.h"
#include "acme/directory_source.h"
#include "acme/jws.h"
#include "acme/nonce_pool.h"
#include "acme/retry_after.h"
#include "base/encoding.h"

namespace postern::acme {
namespace {

// Of one request. At a CA that refuses every second nonce, one request in a million still meets this bound.
constexpr int mostSendings = 20;
constexpr auto usualTimeout = std::chrono::seconds(30);
constexpr auto finalizeTimeout = std::chrono::seconds(90);  // some CAs sign before they answer

enum class SignedBy { Account, BareKey };  // "kid" or "jwk"

Json identifier(const std::string& name) {
  std::array<unsigned char, 16> address{};
  bool isAddress =
      inet_pton(AF_INET, name.c_str(), address.data()) == 1 || inet_pton(AF_INET6, name.c_str(), address.data()) == 1;
  return Json::Object{{"type", isAddress ? "ip" : "dns"}, {"value", name}};  // "ip": RFC 8738
}

// RFC 8555 section 7.1.1 gives URLs no lifetime: these answers say that the one kept leads nowhere any more.
bool saysUrlIsGone(const Problem& problem) {
  return problem.status == 404 || problem.status == 405 || problem.status == 410 || problem.shortType() == "malformed";
}

std::string location(const HttpResponse& response, const std::string& request) {
  std::string url = response.header("location");
  if (url.empty()) throw Error(makeProblem("postern:malformed", "the CA's answer to " + request + " has no Location"));
  return url;
}

}  // namespace

struct Client::State {
  State(std::string directoryUrl, Transport& t, const Clock& c, Log& log)
      : transport(t), clock(c), directory(std::move(directoryUrl), t, c, log) {}

  Transport& transport;
  const Clock& clock;
  DirectorySource directory;
  NoncePool nonces;
  std::mutex mutex;  // of what follows
  tls::KeyPtr key;
  std::string accountUrl, thumbprint;

  HttpResponse send(const HttpRequest& request, std::stop_token stop) {
    if (stop.stop_requested()) throw Stopped();
    return transport.send(request, stop);
  }

  // Does `use` with the URL of a resource of the directory; once more when that has moved.
  template <class Use>
  HttpResponse at(std::string Directory::*resource, std::stop_token stop, Use use) {
    std::string url = directory.get(stop).*resource;
    try {
      return use(url);
    } catch (const Error& error) {
      if (!saysUrlIsGone(error.problem)) throw;
      directory.forget();
      std::string moved = directory.get(stop).*resource;
      if (moved == url) throw;
      url = std::move(moved);
    }
    return use(url);
  }

  std::string nonce(std::stop_token stop) {
    if (auto pooled = nonces.take()) return *pooled;
    at(&Directory::newNonce, stop, [&](const std::string& url) {
      HttpRequest request;
      request.method = "HEAD";
      request.url = url;
      HttpResponse response = send(request, stop);
      if (response.status / 100 != 2) throw refusal(response, "newNonce", clock.now());
      nonces.put(response.header("replay-nonce"));
      return response;
    });
    if (auto fetched = nonces.take()) return *fetched;
    throw Error(makeProblem("postern:malformed", "the CA's answer to newNonce has no usable Replay-Nonce"));
  }

  // One signed request, sent again as long as its nonce alone is refused (6.5). Every other refusal is thrown.
  HttpResponse post(const std::string& url, const std::string& payload, SignedBy by, const std::string& what,
                    std::stop_token stop, Duration timeout = usualTimeout) {
    std::string fresh;
    for (int sending = 1;; ++sending) {
      HttpRequest request;
      request.method = "POST";
      request.url = url;
      request.timeout = timeout;
      request.body = signedBody(url, payload, by, fresh.empty() ? nonce(stop) : fresh);
      HttpResponse response = send(request, stop);
      std::string brought = response.header("replay-nonce");
      if (response.status / 100 == 2) {
        nonces.put(std::move(brought));
        return response;
      }
      Error error = refusal(response, what, clock.now());
      if (error.problem.shortType() != "badNonce" || sending == mostSendings) {
        nonces.put(std::move(brought));
        throw error;
      }
      fresh = std::move(brought);  // of the error itself: no other thread can have used it, and it cannot be stale
    }
  }

  std::string signedBody(const std::string& url, const std::string& payload, SignedBy by, std::string withNonce) {
    SignedParts parts;
    parts.url = url;
    parts.payload = payload;
    parts.nonce = std::move(withNonce);
    tls::KeyPtr signer;
    {
      std::lock_guard lock(mutex);
      if (key) signer = tls::share(key.get());
      if (by == SignedBy::Account) parts.accountUrl = accountUrl;
    }
    if (!signer || (by == SignedBy::Account && parts.accountUrl.empty())) {
      throw Error(
          makeProblem("urn:ietf:params:acme:error:accountDoesNotExist", "no account with this CA is known yet"));
    }
    return signedRequest(signer.get(), parts);
  }

  HttpResponse postAsGet(const std::string& url, const std::string& what, std::stop_token stop) {
    return post(url, "", SignedBy::Account, what, stop);
  }
};

Client::Client(std::string directoryUrl, Transport& transport, const Clock& clock, Log& log)
    : state_(std::make_shared<State>(std::move(directoryUrl), transport, clock, log)) {}

Client::~Client() = default;

Directory Client::directory(std::stop_token stop) {
  return state_->directory.get(stop);
}

void Client::useAccount(tls::KeyPtr key, std::string accountUrl) {
  std::string print = acme::thumbprint(key.get());
  std::lock_guard lock(state_->mutex);
  state_->key = std::move(key);
  state_->accountUrl = std::move(accountUrl);
  state_->thumbprint = std::move(print);
}

const std::string& Client::accountUrl() const {
  return state_->accountUrl;
}

std::string Client::thumbprint() const {
  std::lock_guard lock(state_->mutex);
  return state_->thumbprint;
}

std::string Client::newAccount(const std::vector<std::string>& contact, bool onlyReturnExisting,
                               const std::optional<ExternalAccount>&, std::stop_token stop) {
  Json payload;
  if (onlyReturnExisting) {
    payload["onlyReturnExisting"] = true;
  } else {
    payload["termsOfServiceAgreed"] = true;
    if (!contact.empty()) payload["contact"] = Json::strings(contact);
  }
  HttpResponse response = state_->at(&Directory::newAccount, stop, [&](const std::string& url) {
    return state_->post(url, payload.dump(), SignedBy::BareKey, "newAccount", stop);
  });
  std::string url = location(response, "newAccount");
  std::lock_guard lock(state_->mutex);
  state_->accountUrl = url;
  return url;
}

void Client::updateContact(const std::vector<std::string>& contact, std::stop_token stop) {
  Json payload;
  payload["contact"] = Json::strings(contact);
  std::string url;
  {
    std::lock_guard lock(state_->mutex);
    url = state_->accountUrl;
  }
  state_->post(url, payload.dump(), SignedBy::Account, "the account's update", stop);
}

Order Client::newOrder(const OrderRequest& wanted, std::stop_token stop) {
  Json::Array identifiers;
  for (const std::string& name : wanted.names) identifiers.push_back(identifier(name));
  Json payload;
  payload["identifiers"] = std::move(identifiers);
  HttpResponse response = state_->at(&Directory::newOrder, stop, [&](const std::string& url) {
    return state_->post(url, payload.dump(), SignedBy::Account, "newOrder", stop);
  });
  Order order = parseOrder(jsonObject(response, "newOrder"));
  order.url = location(response, "newOrder");
  order.retryAfter = retryAfter(response, state_->clock.now());
  return order;
}

Order Client::order(const std::string& url, std::stop_token stop) {
  HttpResponse response = state_->postAsGet(url, "the order", stop);
  Order order = parseOrder(jsonObject(response, "the order"));
  order.url = url;
  order.retryAfter = retryAfter(response, state_->clock.now());
  return order;
}

Authorization Client::authorization(const std::string& url, std::stop_token stop) {
  HttpResponse response = state_->postAsGet(url, "the authorization", stop);
  Authorization authorization = parseAuthorization(jsonObject(response, "the authorization"));
  authorization.url = url;
  authorization.retryAfter = retryAfter(response, state_->clock.now());
  return authorization;
}

Challenge Client::respond(const Challenge& challenge, std::stop_token stop) {
  HttpResponse response = state_->post(challenge.url, "{}", SignedBy::Account, "the challenge", stop);
  // The answer was taken; the authorization tells the rest. So a body that cannot be read ends nothing here.
  Challenge answered = challenge;
  if (auto json = Json::parse(response.body)) {
    answered.status = (*json)["status"].string(challenge.status);
    if ((*json)["error"].isObject()) answered.error = parseProblem((*json)["error"]);
  }
  answered.retryAfter = retryAfter(response, state_->clock.now());
  return answered;
}

Order Client::finalize(const Order& order, const std::string& csrDer, std::stop_token stop) {
  Json payload;
  payload["csr"] = base64Url(csrDer);
  HttpResponse response =
      state_->post(order.finalize, payload.dump(), SignedBy::Account, "finalize", stop, finalizeTimeout);
  Order finalized = parseOrder(jsonObject(response, "finalize"));
  finalized.url = order.url;  // RFC 8555 promises no Location in this answer
  finalized.retryAfter = retryAfter(response, state_->clock.now());
  return finalized;
}

DownloadedChain Client::download(const std::string& certificateUrl, std::stop_token stop) {
  return {state_->postAsGet(certificateUrl, "the certificate", stop).body, {}};
}

}  // namespace postern::acme
