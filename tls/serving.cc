#include "tls/serving.h"

#include <openssl/err.h>

#include <algorithm>
#include <set>
#include <utility>

#include "tls/handshake.h"

namespace postern::tls {
namespace {

// Those that are there, in the same order, but expired ones last.
std::vector<CertifiedKeyRef> existing(const std::vector<CertificateId>& ids, const CertificateMap& certificates,
                                      Time asOf) {
  std::vector<CertifiedKeyRef> all;
  for (const auto& id : ids) {
    if (auto found = certificates.find(id)) all.push_back(std::move(found));
  }
  std::stable_partition(all.begin(), all.end(), [asOf](const auto& one) { return asOf < one->notAfter(); });
  return all;
}

// Where two stand side by side, the order may change when one expires.
void noteExpiry(std::optional<Time>& reorderAt, const std::vector<CertifiedKeyRef>& certificates, Time asOf) {
  if (certificates.size() < 2) return;
  for (const auto& one : certificates) {
    if (asOf < one->notAfter()) reorderAt = reorderAt ? std::min(*reorderAt, one->notAfter()) : one->notAfter();
  }
}

Served servedOf(const ServingPlan& plan, const std::vector<CertifiedKeyRef>& own) {
  if (plan.challengesOnly) return {};
  Served served =
      own.empty() ? plan.meanwhile : Served{own.front(), plan.own.front().source, {own.begin() + 1, own.end()}};
  if (!served.certificate) throw Error("listener " + plan.listener + ": there is no certificate to serve");
  return served;
}

std::shared_ptr<SSL_CTX> contextFor(const ServingPlan& plan, const EffectivePolicy& policy, const Served& served) {
  SslCtxPtr context = makeContext(plan.policy, policy, plan.listener);
  for (const auto& certificate : served.all()) {
    ERR_clear_error();
    const ChainPtr issuers = issuersOf(*certificate);
    if (SSL_CTX_use_cert_and_key(context.get(), certificate->leaf(), certificate->key(), issuers.get(), 1) != 1)
      fail("listener " + plan.listener + ": cannot serve the certificate " + certificate->serial());
  }
  installCallbacks(context.get());
  return {context.release(), SSL_CTX_free};
}

bool holds(const ShownSet* set, const std::vector<CertifiedKeyRef>& certificates) {
  if (set == nullptr) return certificates.empty();
  return std::equal(set->begin(), set->end(), certificates.begin(), certificates.end(),
                    [](const Shown& one, const CertifiedKeyRef& other) { return one.certificate == other; });
}

ShownSetRef shared(const std::vector<CertifiedKeyRef>& certificates) {
  return certificates.empty() ? nullptr : std::make_shared<const ShownSet>(shownSet(certificates));
}

}  // namespace

Planned::Planned(ServingPlan made) : plan(std::move(made)) {
  if (plan.challengesOnly) return;
  Selection::Place place = 0;
  for (const auto& rule : plan.sni) places[rule.certificate].push_back(place++);
  for (const auto& id : plan.own) places[id].push_back(place);
  for (const auto& ids : plan.domains) {
    ++place;
    for (const auto& id : ids) places[id].push_back(place);
  }
}

std::vector<CertificateId> Planned::idsAt(Selection::Place place) const {
  const auto own = plan.sni.size();
  if (place < own) return {plan.sni[place].certificate};
  return place == own ? plan.own : plan.domains[place - own - 1];
}

ServingRef buildServing(PlannedRef planned, Time asOf, const CertificateMap& certificates, const ServingParts& parts,
                        const Serving* before) {
  const ServingPlan& plan = planned->plan;
  const bool samePolicy =
      before != nullptr && before->plan().policy == plan.policy && before->plan().listener == plan.listener;
  EffectivePolicy policy = samePolicy ? before->policy : effectivePolicy(plan.policy, plan.listener, parts.log);

  std::vector<CertifiedKeyRef> own;
  if (!plan.challengesOnly) own = existing(plan.own, certificates, asOf);
  Served served = servedOf(plan, own);
  std::optional<Time> reorderAt;
  std::vector<Selection::Rule> rules;
  std::vector<std::vector<CertifiedKeyRef>> domains;
  if (!plan.challengesOnly) {
    for (const auto& rule : plan.sni) rules.push_back({rule.subject, certificates.find(rule.certificate)});
    for (const auto& ids : plan.domains) {
      domains.push_back(existing(ids, certificates, asOf));
      noteExpiry(reorderAt, domains.back(), asOf);
    }
    noteExpiry(reorderAt, own, asOf);
  }
  // What is only served meanwhile is not the listener's own at the selection.
  Selection selection(rules, plan.own.empty() ? served.all() : own, domains);
  auto context = contextFor(plan, policy, served);
  std::string digest = policyDigest(plan.listener, plan.policy, plan.alpn);
  auto shown = std::make_shared<const ShownSet>(shownSet(served.all()));
  return std::shared_ptr<const Serving>(new Serving{
      std::move(planned), std::move(policy), std::move(digest), asOf, reorderAt, std::move(served), std::move(shown),
      std::move(selection), std::move(context), parts.tickets, parts.challenges, parts.log});
}

ServingRef renewServing(const Serving& before, const CertificateMap& certificates,
                        const std::vector<CertificateId>& changed) {
  const Planned& planned = *before.planned;
  std::set<Selection::Place> places;
  for (const auto& id : changed) {
    const auto found = planned.places.find(id);
    if (found != planned.places.end()) places.insert(found->second.begin(), found->second.end());
  }
  std::shared_ptr<Serving> next;
  std::pair<CertifiedKeyRef, ShownSetRef> ofRules;  // several rules may show one certificate
  for (const auto place : places) {
    const auto now = existing(planned.idsAt(place), certificates, before.asOf);
    if (holds(before.selection.at(place), now)) continue;
    if (!next) next = std::make_shared<Serving>(before);
    const bool rule = place < before.selection.ownPlace();
    if (!rule || now.empty() || ofRules.first != now.front())
      ofRules = {now.empty() ? nullptr : now.front(), shared(now)};
    next->selection = next->selection.with(place, ofRules.second);
    noteExpiry(next->reorderAt, now, before.asOf);
    if (place != before.selection.ownPlace()) continue;
    next->served = servedOf(planned.plan, now);
    next->own = std::make_shared<const ShownSet>(shownSet(next->served.all()));
    next->context = contextFor(planned.plan, before.policy, next->served);
  }
  return next;
}

}  // namespace postern::tls
