#include "tls/server_context.h"

#include <openssl/err.h>

#include <algorithm>
#include <tuple>
#include <utility>

#include "tls/handshake.h"
#include "tls/serving.h"

namespace postern::tls {

std::vector<CertifiedKeyRef> Served::all() const {
  std::vector<CertifiedKeyRef> certificates;
  if (certificate) certificates.push_back(certificate);
  certificates.insert(certificates.end(), further.begin(), further.end());
  return certificates;
}

ServerContext::ServerContext(ServingPlan plan, CertificateStore& store, TicketKeys& tickets, AlpnChallenges& challenges,
                             Log& log)
    : store_(store), tickets_(tickets), challenges_(challenges), log_(log) {
  serving_.store(build(std::move(plan)));
}

ServerContext::~ServerContext() = default;

std::shared_ptr<const Serving> ServerContext::build(ServingPlan plan) const {
  const auto before = serving_.load();
  return buildServing(std::move(plan), *store_.current(), tickets_, challenges_, log_, before.get());
}

void ServerContext::goOver(std::shared_ptr<const Serving> next) {
  // Freeing a serving of thousands of names stalls whoever does it. It is kept here until no connection holds it, so
  // that the last reference is dropped by a later change and not by an event loop. Nobody can take a new one meanwhile.
  retired_.push_back(serving_.exchange(std::move(next)));
  std::erase_if(retired_, [](const auto& serving) { return serving.use_count() == 1; });
}

void ServerContext::serve(ServingPlan plan) {
  std::lock_guard lock(changing_);
  goOver(build(std::move(plan)));
}

bool ServerContext::refresh() {
  std::lock_guard lock(changing_);
  ServingPlan plan;
  {
    const auto now = serving_.load();
    if (!outdated(*now, *store_.current())) return false;
    plan = now->plan;
  }
  return rebuild(std::move(plan));
}

bool ServerContext::passOverExpired(Time now) {
  std::lock_guard lock(changing_);
  ServingPlan plan;
  {
    const auto serving = serving_.load();
    plan = serving->plan;
    const bool any = std::any_of(serving->seen.begin(), serving->seen.end(), [&](const auto& one) {
      return one.second && plan.asOf < one.second->notAfter() && one.second->notAfter() <= now;
    });
    if (!any) return false;
  }
  plan.asOf = now;
  return rebuild(std::move(plan));
}

bool ServerContext::rebuild(ServingPlan plan) {
  const std::string listener = plan.listener;
  try {
    goOver(build(std::move(plan)));
    return true;
  } catch (const Error& error) {
    // Nobody stands behind it who could mend it; what was served goes on being served.
    log_.error("tls.serving.kept", {{"listener", listener}, {"error", error.what()}});
    return false;
  }
}

void ServerContext::serveMeanwhile(Served meanwhile) {
  std::lock_guard lock(changing_);
  ServingPlan plan = serving_.load()->plan;
  plan.meanwhile = std::move(meanwhile);
  goOver(build(std::move(plan)));
}

Served ServerContext::served() const {
  return serving_.load()->served;
}

ServingPlan ServerContext::plan() const {
  return serving_.load()->plan;
}

SslPtr ServerContext::newConnection() const {
  ERR_clear_error();
  auto serving = serving_.load();
  SslPtr ssl(SSL_new(serving->context.get()));
  if (!ssl || !attachServing(ssl.get(), std::move(serving))) return nullptr;
  SSL_set_accept_state(ssl.get());
  return ssl;
}

CertifiedKeyRef bestMeanwhile(const std::vector<std::string>& hostnames, const std::vector<CertifiedKeyRef>& candidates,
                              Time now) {
  if (hostnames.empty()) return nullptr;
  const auto worth = [&](const CertifiedKey& candidate) {
    const auto covered = std::count_if(hostnames.begin(), hostnames.end(),
                                       [&](const std::string& name) { return candidate.covers(name); });
    return std::make_tuple(candidate.validAt(now), covered, candidate.notAfter());
  };
  CertifiedKeyRef best;
  for (const auto& candidate : candidates) {
    if (!candidate || !candidate->covers(hostnames.front())) continue;
    if (!best || worth(*candidate) > worth(*best)) best = candidate;
  }
  return best;
}

}  // namespace postern::tls
