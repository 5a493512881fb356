// How requests go in and out of the fake CA: what fails on demand, signatures and nonces.
#include <array>
#include <ctime>
#include <utility>

#include "base/encoding.h"
#include "tests/support/fake_ca.h"
#include "tests/support/fake_ca_crypto.h"

namespace postern::test {
namespace {

constexpr const char* problemType = "application/problem+json";

bool isSigned(const std::string& stage) {
  return stage != "directory" && stage != "newNonce" && stage != "renewalInfo";
}

std::string httpDate(Time at) {
  std::time_t seconds = std::chrono::system_clock::to_time_t(at);
  std::tm parts{};
  gmtime_r(&seconds, &parts);
  std::array<char, 40> text{};
  std::size_t length = std::strftime(text.data(), text.size(), "%a, %d %b %Y %H:%M:%S GMT", &parts);
  return {text.data(), length};
}

std::string inSeconds(Duration time) {
  return std::to_string(std::chrono::duration_cast<std::chrono::seconds>(time).count());
}

std::optional<WrongCertificate> wrongOf(Failure failure) {
  static const std::map<Failure, WrongCertificate> kinds{
      {Failure::OtherKey, WrongCertificate::OtherKey}, {Failure::OtherNames, WrongCertificate::OtherNames},
      {Failure::Expired, WrongCertificate::Expired},   {Failure::NotYetValid, WrongCertificate::NotYetValid},
      {Failure::LeafOnly, WrongCertificate::LeafOnly}, {Failure::Garbage, WrongCertificate::Garbage}};
  auto found = kinds.find(failure);
  return found == kinds.end() ? std::nullopt : std::optional(found->second);
}

// The same answer from a CA of ten years on.
std::string ofTheFuture(const std::string& body) {
  auto json = Json::parse(body);
  if (!json || !json->isObject()) return body;
  Json changed = *json;
  if ((*json)["status"].isString()) changed["status"] = "resting";
  if ((*json)["challenges"].isArray()) {
    Json::Array challenges = (*json)["challenges"].array();
    for (Json& challenge : challenges) challenge["status"] = "resting";
    challenges.push_back(Json::Object{{"type", "dance-01"}, {"url", "https://ca.test/dance"}, {"status", "invited"}});
    changed["challenges"] = std::move(challenges);
  }
  changed["mood"] = Json::Array{nullptr, 1.5, true};
  return changed.dump();
}

}  // namespace

acme::HttpResponse FakeCa::send(const acme::HttpRequest& request, std::stop_token stop) {
  if (stop.stop_requested()) throw acme::Stopped();
  std::unique_lock lock(mutex_);
  std::string stage = stageOf(request.url);
  ++counts_[stage];
  requests_.push_back({clock_.now(), stage, request.url});
  Planned plan = planned(stage);
  if (auto failed = failedBefore(plan, request, lock, stop)) return *std::move(failed);
  arm(plan, stage, request);
  acme::HttpResponse response;
  try {
    response = answer(stage, request);
  } catch (const Refusal& refusal) {
    response = refuse(refusal);
  }
  if (isSigned(stage)) response.headers.emplace("replay-nonce", newNonce());
  return failedAfter(plan, std::move(response), request, lock, stop);
}

std::string FakeCa::stageOf(const std::string& url) const {
  if (!url.starts_with(base_ + "/")) return "elsewhere";
  std::string path = url.substr(base_.size() + 1);
  return path.substr(0, path.find('/'));
}

FakeCa::Planned FakeCa::planned(const std::string& stage) {
  for (const std::string& key : {stage, std::string()}) {
    std::vector<Planned>& plans = plans_[key];
    if (plans.empty() || (key.empty() && !isSigned(stage))) continue;
    Planned plan = plans.front();
    if (--plans.front().times == 0) plans.erase(plans.begin());
    return plan;
  }
  return {};
}

std::optional<acme::HttpResponse> FakeCa::failedBefore(const Planned& plan, const acme::HttpRequest& request,
                                                       std::unique_lock<std::mutex>& lock, std::stop_token stop) {
  acme::HttpResponse response;
  if (!plan.refusal.empty()) {
    response = refuse({Refusal::statusOf(plan.refusal), plan.refusal, "refused as the test wanted"});
    if (plan.refusal == "rateLimited" || plan.refusal == "serverInternal")
      response.headers.emplace("retry-after", httpDate(clock_.now() + retryAfter_));
    response.headers.emplace("replay-nonce", newNonce());
    return response;
  }
  if (!plan.failure) return std::nullopt;
  switch (*plan.failure) {
    case Failure::Refused: throw acme::Error(acme::makeProblem("postern:connection", "Connection refused"));
    case Failure::Timeout:
      lock.unlock();
      if (!clock_.wait(request.timeout, stop)) throw acme::Stopped();
      throw acme::Error(acme::makeProblem("postern:timeout", "no answer within the time allowed"));
    case Failure::Hang:
      if (!released_.wait(lock, stop, [this] { return release_; })) throw acme::Stopped();
      return std::nullopt;
    case Failure::ServerError:
      response = refuse({500, "serverInternal", "the database is away"});
      response.headers.emplace("replay-nonce", newNonce());
      return response;
    case Failure::Unavailable:
      response.status = 503;
      response.headers.emplace("retry-after", inSeconds(retryAfter_));
      return response;
    case Failure::UnavailableDate:
      response.status = 503;
      response.headers.emplace("retry-after", httpDate(clock_.now() + retryAfter_));
      return response;
    case Failure::RateLimited:
      response = refuse({429, "rateLimited", "too many certificates already issued"});
      response.headers.emplace("retry-after", httpDate(clock_.now() + retryAfter_));
      response.headers.emplace("replay-nonce", newNonce());
      return response;
    case Failure::RateLimitedHtml:
      response.status = 429;
      response.headers.emplace("retry-after", inSeconds(retryAfter_));
      response.headers.emplace("content-type", "text/html");
      response.body = "<html><body><h1>429 Too Many Requests</h1></body></html>";
      return response;
    case Failure::NotFound:
      response.status = 404;
      response.headers.emplace("content-type", "text/html");
      response.body = "<html><body>nothing here</body></html>";
      return response;
    case Failure::Redirect:
      response.status = 302;
      response.headers.emplace("location", base_ + "/elsewhere");
      return response;
    case Failure::BadNonce:
    case Failure::BadNonceStorm:
      response = refuse({400, "badNonce", "refused as the test wanted"});
      response.headers.emplace("replay-nonce", newNonce());
      ++nonceRejections_;
      return response;
    case Failure::ResetMidBody:
    case Failure::AnswerLost:
    case Failure::NoNonce:
    case Failure::TruncatedJson:
    case Failure::WrongJson:
    case Failure::WrongContentType:
    case Failure::EndlessBody:
    case Failure::UnknownEnums:
    case Failure::StuckInProcessing:
    case Failure::InvalidAuthorization:
    case Failure::OtherKey:
    case Failure::OtherNames:
    case Failure::Expired:
    case Failure::NotYetValid:
    case Failure::LeafOnly:
    case Failure::Garbage: return std::nullopt;
  }
  return std::nullopt;
}

acme::HttpResponse FakeCa::failedAfter(const Planned& plan, acme::HttpResponse response,
                                       const acme::HttpRequest& request, std::unique_lock<std::mutex>& lock,
                                       std::stop_token stop) {
  if (plan.failure == Failure::ResetMidBody) {
    throw acme::Error(acme::makeProblem("postern:connection", "Recv failure: Connection reset by peer"));
  }
  if (plan.failure == Failure::AnswerLost) {
    lock.unlock();
    if (!clock_.wait(request.timeout, stop)) throw acme::Stopped();
    throw acme::Error(acme::makeProblem("postern:timeout", "no answer within the time allowed"));
  }
  if (plan.failure == Failure::EndlessBody) {
    throw acme::Error(
        acme::makeProblem("postern:http", "ca.test sent an answer longer than 1 MiB or headers longer than 64 KiB"));
  }
  if (plan.failure == Failure::NoNonce) response.headers.erase("replay-nonce");
  if (plan.failure == Failure::WrongContentType) {
    response.headers.erase("content-type");
    response.headers.emplace("content-type", "text/html; charset=latin-1");
  }
  if (plan.failure == Failure::UnknownEnums) response.body = ofTheFuture(response.body);
  if (plan.failure == Failure::TruncatedJson) response.body.resize(response.body.size() / 2);
  if (plan.failure == Failure::WrongJson) response.body = R"({"unexpected":[1,2,{"status":7}]})";
  return response;
}

// What goes wrong later in the life of the order that a request belongs to.
void FakeCa::arm(const Planned& plan, const std::string& stage, const acme::HttpRequest& request) {
  if (!plan.failure) return;
  if (plan.failure == Failure::StuckInProcessing) stuckOnce_ = true;
  if (plan.failure == Failure::InvalidAuthorization) invalidOnce_ = true;
  const std::optional<WrongCertificate> wrong = wrongOf(*plan.failure);
  if (!wrong) return;
  const std::string name = idOf(request.url), id = name.substr(0, name.find('.'));
  auto issued = stage == "certificate" ? certificates_.find(id) : certificates_.end();
  auto order = issued == certificates_.end() ? orders_.end() : orders_.find(issued->second.order);
  if (order == orders_.end()) {
    wrongOnce_ = wrong;
  } else {
    issue(issued->second, order->second, wrong);
  }
}

acme::HttpResponse FakeCa::answer(const std::string& stage, const acme::HttpRequest& request) {
  if (stage == "directory") return directory();
  if (stage == "renewalInfo" && renewalInfo_) {
    if (request.method != "GET") throw Refusal{405, "malformed", "only GET is allowed"};
    return renewalInfo(idOf(request.url));
  }
  bool isEntry = stage == "newNonce" || stage == "newAccount" || stage == "newOrder" || stage == "keyChange" ||
                 stage == "revokeCert";
  if (isEntry && request.url != entryUrl(stage)) throw Refusal{404, "malformed", "no such page"};
  if (stage == "newNonce") {
    acme::HttpResponse response;
    response.status = request.method == "HEAD" ? 200 : 204;
    response.headers.emplace("replay-nonce", newNonce());
    return response;
  }
  Signed verifiedRequest = verified(stage, request);
  if (stage == "newAccount") return newAccount(verifiedRequest);
  if (stage == "account") return account(verifiedRequest);
  if (stage == "newOrder") return newOrder(verifiedRequest);
  if (stage == "order") return order(verifiedRequest);
  if (stage == "authorization") return authorization(verifiedRequest);
  if (stage == "challenge") return challenge(verifiedRequest);
  if (stage == "finalize") return finalize(verifiedRequest);
  if (stage == "certificate") return certificate(verifiedRequest);
  if (stage == "keyChange") return keyChange(verifiedRequest);
  if (stage == "revokeCert") return revokeCert(verifiedRequest);
  throw Refusal{404, "malformed", "no such page"};
}

// RFC 8555 sections 6.2 to 6.5.
FakeCa::Signed FakeCa::verified(const std::string& stage, const acme::HttpRequest& request) {
  if (request.method != "POST") throw Refusal{405, "malformed", "only POST is allowed"};
  auto body = Json::parse(request.body);
  if (!body) throw Refusal{400, "malformed", "the body is no JSON"};
  auto header = Json::parse(fromBase64Url((*body)["protected"].string()).value_or(""));
  auto payload = fromBase64Url((*body)["payload"].string());
  auto signature = fromBase64Url((*body)["signature"].string());
  if (!header || !payload || !signature) throw Refusal{400, "malformed", "the body is no flattened JWS"};
  const std::string algorithm = (*header)["alg"].string();
  const bool mayBeOther = stage == "revokeCert" && (algorithm == "ES384" || algorithm == "RS256");
  if (algorithm != "ES256" && !mayBeOther) throw Refusal{400, "badSignatureAlgorithm", "not that algorithm"};
  if ((*header)["url"].string() != request.url) throw Refusal{400, "unauthorized", "the url is another"};

  Signed result;
  result.url = request.url;
  bool hasJwk = (*header)["jwk"].isObject(), hasKid = (*header)["kid"].isString();
  if (hasJwk == hasKid || (stage != "revokeCert" && hasJwk != (stage == "newAccount"))) {
    throw Refusal{400, "malformed", "jwk belongs to newAccount and perhaps revokeCert, kid to everything else"};
  }
  if (hasJwk) {
    result.key = keyFromJwk((*header)["jwk"]);
    result.thumbprint = thumbprintOf((*header)["jwk"]);
    if (!result.key) throw Refusal{400, "badPublicKey", "the jwk is no key of a kind that we know"};
  } else {
    auto found = accounts_.find((*header)["kid"].string());
    if (found == accounts_.end()) throw Refusal{400, "accountDoesNotExist", "no account has that kid"};
    if (found->second.status != "valid") throw Refusal{403, "unauthorized", "the account is deactivated"};
    result.key = tls::share(found->second.key.get());
    result.account = found->first;
    result.thumbprint = found->second.thumbprint;
  }
  std::string input = (*body)["protected"].string() + "." + (*body)["payload"].string();
  if (!signatureHolds(result.key.get(), input, *signature, algorithm))
    throw Refusal{400, "malformed", "the signature is wrong"};
  bool unlucky = std::uniform_real_distribution<double>(0, 1)(chance_) < rejectNonces_;
  if (nonces_.erase((*header)["nonce"].string()) == 0 || unlucky) {
    ++nonceRejections_;
    throw Refusal{400, "badNonce", "the nonce is unknown or was used before"};
  }
  result.isGet = payload->empty();
  if (!result.isGet) {
    auto parsed = Json::parse(*payload);
    if (!parsed || !parsed->isObject()) throw Refusal{400, "malformed", "the payload is no JSON object"};
    result.payload = *std::move(parsed);
  }
  return result;
}

acme::HttpResponse FakeCa::json(int status, const Json& body, const std::string& type) {
  acme::HttpResponse response;
  response.status = status;
  response.headers.emplace("content-type", type);
  response.body = body.dump();
  return response;
}

acme::HttpResponse FakeCa::refuse(const Refusal& refusal) {
  return json(refusal.status,
              Json::Object{{"type", "urn:ietf:params:acme:error:" + refusal.type},
                           {"detail", refusal.detail},
                           {"status", refusal.status}},
              problemType);
}

std::string FakeCa::newNonce() {
  std::string nonce = base64Url("nonce-" + std::to_string(++lastNonce_));
  nonces_.insert(nonce);
  return nonce;
}

}  // namespace postern::test
