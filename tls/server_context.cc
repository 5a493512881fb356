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
  const Time asOf = plan.asOf;
  serving_.store(build(std::make_shared<const Planned>(std::move(plan)), asOf));
}

ServerContext::~ServerContext() = default;

ServingRef ServerContext::build(PlannedRef planned, Time asOf) {
  auto current = store_.current();
  auto made = buildServing(std::move(planned), asOf, *current, {tickets_, challenges_, log_}, serving_.load().get());
  seen_ = std::move(current);
  return made;
}

void ServerContext::goOver(ServingRef next) {
  // Freeing a serving of thousands of names stalls whoever does it. It is kept here until no connection holds it, so
  // that the last reference is dropped by a later change and not by an event loop. Nobody can take a new one meanwhile.
  retired_.push_back(serving_.exchange(std::move(next)));
  std::erase_if(retired_, [](const auto& serving) { return serving.use_count() == 1; });
}

void ServerContext::serve(ServingPlan plan) {
  std::lock_guard lock(changing_);
  const Time asOf = plan.asOf;
  goOver(build(std::make_shared<const Planned>(std::move(plan)), asOf));
}

bool ServerContext::refresh() {
  std::lock_guard lock(changing_);
  auto current = store_.current();
  if (current == seen_) return false;
  const auto before = serving_.load();
  try {
    auto next = renewServing(*before, *current, seen_->changes(*current));
    seen_ = std::move(current);
    if (!next) return false;
    goOver(std::move(next));
    return true;
  } catch (const Error& error) {
    kept(error);
    return false;
  }
}

bool ServerContext::passOverExpired(Time now) {
  std::lock_guard lock(changing_);
  const auto before = serving_.load();
  if (!before->reorderAt || now < *before->reorderAt) return false;
  try {
    goOver(build(before->planned, now));
    return true;
  } catch (const Error& error) {
    kept(error);
    return false;
  }
}

// Nobody stands behind a change of certificates who could mend it; what was served goes on being served.
void ServerContext::kept(const Error& error) const {
  log_.error("tls.serving.kept", {{"listener", plan()->listener}, {"error", error.what()}});
}

void ServerContext::serveMeanwhile(Served meanwhile) {
  std::lock_guard lock(changing_);
  const auto before = serving_.load();
  ServingPlan plan = before->plan();
  plan.meanwhile = std::move(meanwhile);
  goOver(build(std::make_shared<const Planned>(std::move(plan)), before->asOf));
}

Served ServerContext::served() const {
  return serving_.load()->served;
}

std::vector<CertifiedKeyRef> ServerContext::shownFor(std::string_view name) const {
  const auto serving = serving_.load();
  const ShownSet* const found = serving->selection.find(name);
  if (!found) return serving->served.all();
  std::vector<CertifiedKeyRef> certificates;
  for (const Shown& one : *found) certificates.push_back(one.certificate);
  return certificates;
}

std::vector<NameShown> ServerContext::furtherNames(std::size_t most, std::uint64_t choice) const {
  const auto serving = serving_.load();
  std::vector<NameShown> names;
  for (auto& name : serving->selection.furtherNames(most, choice)) {
    NameShown shown{std::move(name), {}};
    for (const Shown& one : *serving->selection.find(shown.name)) shown.certificates.push_back(one.certificate);
    names.push_back(std::move(shown));
  }
  return names;
}

std::shared_ptr<const ServingPlan> ServerContext::plan() const {
  auto planned = serving_.load()->planned;
  const ServingPlan* const plan = &planned->plan;
  return {std::move(planned), plan};
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
