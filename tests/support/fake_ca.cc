#include "tests/support/fake_ca.h"

#include <array>
#include <ctime>
#include <utility>

#include "acme/provider.h"
#include "base/encoding.h"
#include "tests/support/fake_ca_crypto.h"

namespace postern::test {
namespace {

constexpr const char* problemType = "application/problem+json";

bool isSigned(const std::string& stage) {
  return stage != "directory" && stage != "newNonce";
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

int statusOf(const std::string& type) {
  if (type == "rateLimited") return 429;
  if (type == "serverInternal") return 500;
  if (type == "unauthorized" || type == "userActionRequired" || type == "caa" || type == "orderNotReady") return 403;
  return 400;
}

struct Forwarding : acme::Transport {
  explicit Forwarding(FakeCa& ca) : to(ca) {}
  acme::HttpResponse send(const acme::HttpRequest& request, std::stop_token stop) override {
    return to.send(request, stop);
  }
  FakeCa& to;
};

struct Nowhere : acme::Transport {
  acme::HttpResponse send(const acme::HttpRequest& request, std::stop_token) override {
    throw acme::Error(acme::makeProblem("postern:connection", "cannot reach " + request.url + ": Connection refused"));
  }
};

}  // namespace

FakeCa::FakeCa(Clock& clock, tls::AlpnChallenges* challenges, std::string host)
    : clock_(clock), challenges_(challenges), base_("https://" + host) {}

FakeCa::~FakeCa() = default;

acme::TransportFactory FakeCa::factory() {
  return [this](const acme::Provider&) { return std::make_unique<Forwarding>(*this); };
}

acme::TransportFactory FakeCa::factory(std::vector<FakeCa*> cas) {
  return [cas = std::move(cas)](const acme::Provider& provider) -> std::unique_ptr<acme::Transport> {
    for (FakeCa* ca : cas) {
      if (ca->directoryUrl() == provider.directory) return std::make_unique<Forwarding>(*ca);
    }
    return std::make_unique<Nowhere>();
  };
}

// --- what goes wrong

void FakeCa::failNext(const std::string& stage, Failure failure, int times) {
  std::lock_guard lock(mutex_);
  plans_[stage].push_back({failure, "", times});
}

void FakeCa::refuseNext(const std::string& errorType, const std::string& stage, int times) {
  std::lock_guard lock(mutex_);
  plans_[stage].push_back({std::nullopt, errorType, times});
}

void FakeCa::release() {
  std::lock_guard lock(mutex_);
  release_ = true;
  released_.notify_all();
}

void FakeCa::rejectNonces(double probability, unsigned seed) {
  std::lock_guard lock(mutex_);
  rejectNonces_ = probability;
  chance_.seed(seed);
}

void FakeCa::failName(const std::string& name, acme::Problem problem) {
  std::lock_guard lock(mutex_);
  failingNames_[name] = std::move(problem);
}

void FakeCa::unresolvable(const std::string& name) {
  failName(name, acme::makeProblem("dns", "DNS problem: NXDOMAIN looking up A for " + name));
}

void FakeCa::mendName(const std::string& name) {
  std::lock_guard lock(mutex_);
  failingNames_.erase(name);
}

void FakeCa::failOrders(std::optional<acme::Problem> problem) {
  std::lock_guard lock(mutex_);
  failOrders_ = std::move(problem);
}

void FakeCa::wrongCertificate(std::optional<WrongCertificate> wrong) {
  std::lock_guard lock(mutex_);
  wrong_ = wrong;
}

void FakeCa::expireAuthorizations() {
  std::lock_guard lock(mutex_);
  for (auto& [id, authorization] : authorizations_) {
    if (authorization.status == "pending" || authorization.status == "valid") authorization.status = "expired";
  }
}

// --- what happened

int FakeCa::count(const std::string& stage) const {
  std::lock_guard lock(mutex_);
  auto found = counts_.find(stage);
  return found == counts_.end() ? 0 : found->second;
}

int FakeCa::total() const {
  std::lock_guard lock(mutex_);
  int sum = 0;
  for (const auto& [stage, times] : counts_) sum += times;
  return sum;
}

std::vector<std::string> FakeCa::contacts() const {
  std::lock_guard lock(mutex_);
  auto found = accounts_.find(lastAccount_);
  return found == accounts_.end() ? std::vector<std::string>{} : found->second.contact;
}

std::vector<std::vector<std::string>> FakeCa::orderedNames() const {
  return get(orderedNames_);
}

// --- how requests go in and out

acme::HttpResponse FakeCa::send(const acme::HttpRequest& request, std::stop_token stop) {
  if (stop.stop_requested()) throw acme::Stopped();
  std::unique_lock lock(mutex_);
  std::string stage = stageOf(request.url);
  ++counts_[stage];
  Planned plan = planned(stage);
  if (auto failed = failedBefore(plan, request, lock, stop)) return *std::move(failed);
  acme::HttpResponse response;
  try {
    response = answer(stage, request);
  } catch (const Refusal& refusal) {
    response = refuse(refusal);
  }
  if (isSigned(stage) && plan.failure != Failure::NoNonce) response.headers.emplace("replay-nonce", newNonce());
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
    response = refuse({statusOf(plan.refusal), plan.refusal, "refused as the test wanted"});
    if (plan.refusal == "rateLimited") response.headers.emplace("retry-after", httpDate(clock_.now() + retryAfter_));
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
    case Failure::BadNonce:
      response = refuse({400, "badNonce", "refused as the test wanted"});
      response.headers.emplace("replay-nonce", newNonce());
      ++nonceRejections_;
      return response;
    case Failure::ResetMidBody:
    case Failure::AnswerLost:
    case Failure::NoNonce:
    case Failure::TruncatedJson:
    case Failure::WrongJson: return std::nullopt;
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
  if (plan.failure == Failure::TruncatedJson) response.body.resize(response.body.size() / 2);
  if (plan.failure == Failure::WrongJson) response.body = R"({"unexpected":[1,2,{"status":7}]})";
  return response;
}

acme::HttpResponse FakeCa::answer(const std::string& stage, const acme::HttpRequest& request) {
  if (stage == "directory") return directory();
  bool isEntry = stage == "newNonce" || stage == "newAccount" || stage == "newOrder";
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
  if ((*header)["alg"].string() != "ES256") throw Refusal{400, "badSignatureAlgorithm", "only ES256"};
  if ((*header)["url"].string() != request.url) throw Refusal{400, "unauthorized", "the url is another"};

  Signed result;
  result.url = request.url;
  bool hasJwk = (*header)["jwk"].isObject(), hasKid = (*header)["kid"].isString();
  if (hasJwk == hasKid || hasJwk != (stage == "newAccount")) {
    throw Refusal{400, "malformed", "jwk belongs to newAccount, kid to everything else"};
  }
  if (hasJwk) {
    result.key = keyFromJwk((*header)["jwk"]);
    result.thumbprint = thumbprintOf((*header)["jwk"]);
    if (!result.key) throw Refusal{400, "badPublicKey", "the jwk is no P-256 key"};
  } else {
    auto found = accounts_.find((*header)["kid"].string());
    if (found == accounts_.end()) throw Refusal{400, "accountDoesNotExist", "no account has that kid"};
    result.key = tls::share(found->second.key.get());
    result.account = found->first;
    result.thumbprint = found->second.thumbprint;
  }
  std::string input = (*body)["protected"].string() + "." + (*body)["payload"].string();
  if (!signatureHolds(result.key.get(), input, *signature)) throw Refusal{400, "malformed", "the signature is wrong"};
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
