#include "acme/client_state.h"

#include <utility>

#include "acme/answer.h"
#include "acme/jws.h"

namespace postern::acme {
namespace {

// Of one request. At a CA that refuses every second nonce, one request in a thousand million still meets this bound.
constexpr int usualSendings = 30;
// A CA that refused thirty nonces running is not well: for a while it is not asked as often.
constexpr int sparingSendings = 11;
constexpr auto sparingFor = std::chrono::minutes(10);
// How long a request waits for the nonce of another's answer before it fetches one.
constexpr auto patience = std::chrono::milliseconds(150);

[[noreturn]] void missAccount() {
  throw Error(makeProblem("urn:ietf:params:acme:error:accountDoesNotExist", "no account with this CA is known yet"));
}

}  // namespace

// RFC 8555 section 7.1.1 gives URLs no lifetime: these answers say that the one kept leads nowhere any more.
bool Client::State::saysUrlIsGone(const Problem& problem) {
  return problem.status == 404 || problem.status == 405 || problem.status == 410 || problem.shortType() == "malformed";
}

std::string Client::State::urlOf(std::string Directory::*resource, const char* called, const Way& way) {
  std::string url = directory.get(way.stop, way.pace).*resource;
  if (url.empty()) {
    throw Error(makeProblem("postern:unsupported", std::string("this CA's directory has no ") + called));
  }
  return url;
}

HttpResponse Client::State::send(const HttpRequest& request, const Way& way) {
  if (way.stop.stop_requested()) throw Stopped();
  return transport.send(request, way.stop);
}

std::string Client::State::nonce(const Way& way) {
  if (auto pooled = nonces.take(patience, way.stop)) return *pooled;
  std::string fetched;  // ours: in the pool another request could take it
  const HttpResponse answer = at(&Directory::newNonce, "newNonce", way, [&](const std::string& url) {
    HttpRequest request;
    request.method = "HEAD";
    request.url = url;
    if (way.pace) way.pace->request(way.stop);
    HttpResponse response = send(request, way);
    if (response.status / 100 != 2) throw refusal(response, "newNonce", clock.now());
    fetched = response.header("replay-nonce");
    return response;
  });
  if (NoncePool::isNonce(fetched)) return fetched;
  Problem problem = makeProblem("postern:malformed", "the CA's answer to newNonce has no usable Replay-Nonce");
  problem.status = answer.status;
  throw Error(std::move(problem));
}

HttpResponse Client::State::post(const std::string& url, const std::string& payload, const Signer& signer,
                                 const std::string& what, const Way& way, Duration timeout) {
  std::string fresh;
  const int most = mostSendings();
  for (int sending = 1;; ++sending) {
    HttpRequest request;
    request.method = "POST";
    request.url = url;
    request.timeout = timeout;
    if (way.pace) sending == 1 ? way.pace->request(way.stop) : way.pace->repetition(way.stop);
    const NoncePool::Awaited awaited(nonces);
    request.body = signedBody(url, payload, signer, fresh.empty() ? nonce(way) : fresh);
    HttpResponse response = send(request, way);
    std::string brought = response.header("replay-nonce");
    if (response.status / 100 == 2) {
      nonces.put(std::move(brought));
      return response;
    }
    Error error = refusal(response, what, clock.now());
    const bool badNonce = error.problem.shortType() == "badNonce";
    if (!badNonce || sending >= most) {
      nonces.put(std::move(brought));
      if (badNonce) {
        std::lock_guard lock(mutex);
        sparingUntil = clock.now() + sparingFor;
      }
      throw error;
    }
    fresh = std::move(brought);  // of the error itself: no other thread can have used it, and it cannot be stale
  }
}

HttpResponse Client::State::get(const std::string& url, const std::string& what, const Way& way) {
  HttpRequest request;
  request.method = "GET";
  request.url = url;
  if (way.pace) way.pace->request(way.stop);
  HttpResponse response = send(request, way);
  if (response.status / 100 != 2) throw refusal(response, what, clock.now());
  return response;
}

int Client::State::mostSendings() {
  std::lock_guard lock(mutex);
  const Time now = clock.now();
  // One further away was noted under a wrong clock.
  return now < sparingUntil && sparingUntil <= now + sparingFor ? sparingSendings : usualSendings;
}

tls::KeyPtr Client::State::accountKey() {
  std::lock_guard lock(mutex);
  if (!key) missAccount();
  return tls::share(key.get());
}

std::string Client::State::demandAccountUrl() {
  std::lock_guard lock(mutex);
  if (accountUrl.empty()) missAccount();
  return accountUrl;
}

std::string Client::State::signedBody(const std::string& url, const std::string& payload, const Signer& signer,
                                      std::string withNonce) {
  SignedParts parts;
  parts.url = url;
  parts.payload = payload;
  parts.nonce = std::move(withNonce);
  if (signer.byUrl) parts.accountUrl = demandAccountUrl();
  const tls::KeyPtr own = signer.key ? nullptr : accountKey();
  return signedRequest(signer.key ? signer.key : own.get(), parts);
}

}  // namespace postern::acme
