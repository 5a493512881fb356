#include "server/serving.h"

#include <algorithm>

#include "base/text.h"
#include "server/plans.h"
#include "server/version.h"

namespace postern::server {

namespace {
constexpr std::string_view selfSignedSource = "self-signed";
}

Serving::Serving(Clock& clock, Log& log, std::function<void(const std::string&)> swapped)
    : clock_(clock),
      log_(log),
      swapped_(std::move(swapped)),
      tickets_(clock),
      events_(clock, log),
      manager_(std::make_unique<acme::Manager>(
          acme::Manager::Parts{clock, log, store_, challenges_, httpChallenges_, acme::curlTransports(userAgent),
                               [this](const acme::Event& event) { events_.tell(event); }})),
      subscription_(store_.subscribe([this](const std::vector<tls::CertificateId>&) { refresh(); })) {}

Serving::~Serving() {
  manager_.reset();  // ends the orders, and with them publishing
  store_.unsubscribe(subscription_);
}

std::shared_ptr<tls::ServerContext> Serving::build(const config::ListenerConfig& listener,
                                                   const config::Settings& settings,
                                                   const std::shared_ptr<tls::ServerContext>& before) {
  tls::ServingPlan plan = servingPlan(listener, settings);
  if (before && !plan.own.empty() && store_.current()->find(plan.own.front())) {
    // What is served meanwhile, and as of when, does not matter while the own certificate is there.
    const auto had = before->plan();
    plan.meanwhile = had->meanwhile;
    plan.asOf = had->asOf;
    if (plan == *had) return before;
  }
  plan.asOf = clock_.now();
  plan.meanwhile = meanwhile(plan, before ? before->served() : tls::Served{});
  return std::make_shared<tls::ServerContext>(std::move(plan), store_, tickets_, challenges_, log_);
}

std::shared_ptr<tls::ServerContext> Serving::buildChallengeOnly(const std::string& id) {
  tls::ServingPlan plan;
  plan.listener = id;
  plan.policy = tls::intermediatePolicy();
  plan.answersChallenges = plan.challengesOnly = true;
  return std::make_shared<tls::ServerContext>(std::move(plan), store_, tickets_, challenges_, log_);
}

tls::Served Serving::meanwhile(const tls::ServingPlan& plan, const tls::Served& before) {
  const bool hadBetter = before.certificate && before.source != selfSignedSource;
  if (hadBetter && !plan.own.empty()) return before;
  if (!plan.own.empty()) {
    // With the wanted one at hand, nothing needs to be looked for in the whole cache, which may hold thousands.
    const auto own = store_.current()->find(plan.own.front());
    if (own && own->validAt(clock_.now())) return {own, plan.own.front().source, {}};
    if (!cached_) cached_ = manager_->cached();
    std::vector<tls::CertifiedKeyRef> candidates;
    for (const auto& [source, certificate] : *cached_) {
      if (source == plan.own.front().source) candidates.push_back(certificate);
    }
    if (auto best = tls::bestMeanwhile(plan.hostnames, candidates, clock_.now())) {
      return {best, plan.own.front().source, {}};
    }
  }
  // What is self-signed already stays while it is for the same names: clients may have pinned it by hand meanwhile.
  if (before.certificate && std::all_of(plan.hostnames.begin(), plan.hostnames.end(),
                                        [&](const std::string& name) { return before.certificate->covers(name); })) {
    return before;
  }
  return selfSigned(plan);
}

tls::Served Serving::selfSigned(const tls::ServingPlan& plan) {
  tls::KeyPtr key;
  if (!plan.own.empty()) key = manager_->pendingKey(plan.own.front());
  if (!key) key = tls::generateKey(tls::KeyType::EcdsaP256);
  return {tls::makeSelfSigned(key.get(), plan.hostnames, clock_.now()), std::string(selfSignedSource), {}};
}

void Serving::follow(std::shared_ptr<const RunningListeners> running) {
  running_.store(std::move(running));
  cached_.reset();
  refresh();  // what was published while the contexts were built
}

void Serving::refresh() {
  const auto running = running_.load();
  for (const auto& one : *running) {
    if (!one.context) continue;
    try {
      const auto before = one.context->served().all();
      if (!one.context->refresh()) continue;
      if (one.context->served().all() == before) {  // a further name's: the listener's own stayed
        log_.debug("tls.names.swapped", {{"listener", one.config.listener.id}});
        swapped_(one.config.listener.id);
        continue;
      }
      saySwapped(one);
    } catch (const tls::Error& error) {
      log_.error("tls.certificate.swap_failed", {{"listener", one.config.listener.id}, {"error", error.what()}});
    }
  }
}

void Serving::saySwapped(const RunningListener& one) {
  for (const auto served = one.context->served(); const auto& certificate : served.all()) {
    log_.info("tls.certificate.swapped", {{"listener", one.config.listener.id},
                                          {"source", served.source},
                                          {"key_type", certificate->keyTypeName()},
                                          {"serial", certificate->serial()},
                                          {"not_after", rfc3339(certificate->notAfter())}});
  }
  swapped_(one.config.listener.id);
}

void Serving::lookAtExpiry() {
  const auto running = running_.load();
  const Time now = clock_.now();
  for (const auto& one : *running) {
    if (!one.context) continue;
    const auto& id = one.config.listener.id;
    const auto before = one.context->served().certificate;
    one.context->passOverExpired(now);
    const auto served = one.context->served();
    if (served.certificate != before) saySwapped(one);
    if (served.source == selfSignedSource) {
      if (served.certificate->notAfter() - now > std::chrono::hours(24)) continue;
      one.context->serveMeanwhile(selfSigned(*one.context->plan()));
      swapped_(id);
      continue;
    }
    for (const auto& certificate : served.all()) {
      if (certificate->notAfter() > now || !saidExpired_.emplace(id, certificate->serial()).second) continue;
      log_.error("tls.certificate.expired",
                 {{"listener", id},
                  {"source", served.source},
                  {"key_type", certificate->keyTypeName()},
                  {"serial", certificate->serial()},
                  {"not_after", rfc3339(certificate->notAfter())},
                  {"remedy", "it is still served; see `postern status` for what is being done"}});
    }
  }
}

}  // namespace postern::server
