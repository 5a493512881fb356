#include "tests/support/fake_ca.h"

#include <utility>

#include "acme/provider.h"

namespace postern::test {
namespace {

constexpr int sendingsOfAStorm = 30;

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
  if (failure == Failure::BadNonceStorm) {
    failure = Failure::BadNonce;
    const bool isRepeated = stage != "directory" && stage != "newNonce" && stage != "renewalInfo";
    times *= isRepeated ? sendingsOfAStorm : 1;
  }
  plans_[stage].push_back({failure, "", times});
}

int FakeCa::Refusal::statusOf(const std::string& type) {
  if (type == "rateLimited") return 429;
  if (type == "alreadyReplaced") return 409;
  if (type == "serverInternal") return 500;
  if (type == "unauthorized" || type == "userActionRequired" || type == "caa" || type == "orderNotReady") return 403;
  return 400;
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

void FakeCa::forgetAuthorizations() {
  std::lock_guard lock(mutex_);
  for (auto& [id, authorization] : authorizations_) authorization.lost = true;
}
void FakeCa::hurryAuthorizations() {
  std::lock_guard lock(mutex_);
  for (auto& [id, authorization] : authorizations_) authorization.pollsLeft = 1;
}

void FakeCa::decideAuthorizations() {
  std::lock_guard lock(mutex_);
  for (auto& [id, authorization] : authorizations_) {
    if (authorization.status == "pending" && authorization.challengeStatus == "processing") validate(authorization);
  }
}

// --- what it offers

void FakeCa::externalAccount(const std::string& keyId, const std::string& hmacKey, bool required) {
  std::lock_guard lock(mutex_);
  externalKeyId_ = keyId;
  externalKey_ = hmacKey;
  externalRequired_ = required;
}

void FakeCa::alternateRoots(const std::vector<std::string>& names) {
  std::lock_guard lock(mutex_);
  crossSigned_.clear();
  for (const std::string& name : names) crossSigned_.push_back(issuer_.crossSignedPem(name));
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

int FakeCa::failuresLeft() const {
  std::lock_guard lock(mutex_);
  int sum = 0;
  for (const auto& [stage, plans] : plans_) {
    for (const Planned& plan : plans) sum += plan.times;
  }
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

std::string FakeCa::accountStatus() const {
  std::lock_guard lock(mutex_);
  auto found = accounts_.find(lastAccount_);
  return found == accounts_.end() ? "" : found->second.status;
}

std::string FakeCa::accountThumbprint() const {
  std::lock_guard lock(mutex_);
  auto found = accounts_.find(lastAccount_);
  return found == accounts_.end() ? "" : found->second.thumbprint;
}

std::vector<std::string> FakeCa::boundTo() const {
  std::lock_guard lock(mutex_);
  std::vector<std::string> bound;
  for (const auto& [url, account] : accounts_) {
    if (!account.boundTo.empty()) bound.push_back(account.boundTo);
  }
  return bound;
}

}  // namespace postern::test
