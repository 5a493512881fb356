#include "acme/managed_certificate.h"

#include <algorithm>
#include <utility>

#include "base/text.h"

namespace postern::acme {
namespace {

bool coversAll(const tls::CertifiedKey& certificate, const std::vector<std::string>& names) {
  return std::all_of(names.begin(), names.end(), [&](const auto& name) { return certificate.covers(name); });
}

}  // namespace

tls::KeyType keyTypeNamed(std::string_view name) {
  using tls::KeyType;
  for (const KeyType type : {KeyType::EcdsaP384, KeyType::Rsa2048, KeyType::Rsa3072, KeyType::Rsa4096}) {
    if (tls::nameOf(type) == name) return type;
  }
  return KeyType::EcdsaP256;
}

CertificateCare::Held ManagedCertificate::heldBy(const tls::CertifiedKey& certificate, std::size_t route) {
  return {{certificate.notBefore(), certificate.notAfter()}, renewalCertificateId(certificate), route};
}

ManagedCertificate::ManagedCertificate(std::vector<Route> ways, std::vector<std::string> wantedNames, tls::KeyType type,
                                       Clock& clock, Log& log)
    : routes(std::move(ways)), names(std::move(wantedNames)), keyType(type), pace(clock), stagingPace(clock) {
  const Time now = clock.now();
  std::vector<CertificateCare::Route> known;
  std::optional<CertificateCare::Held> held;
  std::optional<RenewalInfo> info;
  const auto worth = [now](const tls::CertifiedKey& each, const AttemptHistory& history) {
    return std::pair(each.validAt(now), std::max(each.notBefore(), history.lastIssued.value_or(each.notBefore())));
  };
  std::pair<bool, Time> best(false, Time::min());
  for (std::size_t i = 0; i < routes.size(); ++i) {
    Route& route = routes[i];
    ProviderCare& provider = *route.provider;
    route.folder = provider.storage().certificate(provider.directory(), names, std::string(tls::nameOf(type)));
    CertificateCare::Route facts;
    facts.provider = route.name;
    facts.configuration = provider.configurationDigest();
    facts.hasStaging = route.staging != nullptr;
    try {
      auto found = route.folder->load();
      if (found && !coversAll(*found, names)) {
        log.warn("acme.cache.damaged", {{"path", route.folder->path().string()},
                                        {"names", joined(names)},
                                        {"error", "the certificate is for " + joined(found->names())}});
        found.reset();
      }
      facts.history = route.folder->history();
      // A valid one before one that is not, then the one that came last, whoever issued it.
      if (found && worth(*found, facts.history) > best) {
        best = worth(*found, facts.history);
        certificate = std::move(found);
        held = heldBy(*certificate, i);
        info = route.folder->renewalInfo();
      }
      facts.resumable = route.folder->pendingOrder().has_value();
    } catch (const Error& error) {
      log.warn("acme.cache.unreadable", {{"path", route.folder->path().string()}, {"error", error.problem.detail}});
    }
    known.push_back(std::move(facts));
  }
  // The process ended between the storing of the successor and that of the history.
  const bool succeeded = held && certificate->serial() != known[held->route].history.revokedSerial;
  for (auto& route : known) route.history.newKey = route.history.newKey && !succeeded;
  care = std::make_unique<CertificateCare>(std::move(known), held, std::move(info), now);
  if (const AttemptHistory* failure = care->lastFailure()) failureSaid = failure->lastError->type;
}

void ManagedCertificate::want(std::vector<std::string> wantedNames, std::vector<CareSection> by) {
  names = std::move(wantedNames);
  sections = std::move(by);
  std::vector<std::optional<std::chrono::seconds>> renewBefores;
  for (const auto& section : sections) renewBefores.push_back(section.renewBefore);
  care->want(std::move(renewBefores));
  for (std::size_t i = 0; i < routes.size(); ++i) {
    care->configure(i, routes[i].provider->configurationDigest(), routes[i].staging != nullptr);
  }
}

void ManagedCertificate::hold(tls::CertifiedKeyRef stored, std::size_t route, Time now) {
  certificate = std::move(stored);
  expirySaid = lateSaid = false;
  failureSaid.clear();
  care->succeeded(heldBy(*certificate, route), now);
  pace.bound(false);
  stagingPace.bound(false);
}

CertificateCare::Limits ManagedCertificate::limits(Time now) const {
  return [this, now](std::size_t route, OrderKind kind) { return routes[route].provider->earliest(names, kind, now); };
}

CertificateStatus ManagedCertificate::status(const CareSection& section, Time now) const {
  CertificateStatus status;
  status.id = section.id;
  status.names = names;
  status.provider = section.provider;
  status.keyType = std::string(tls::nameOf(keyType));
  status.state = care->state(now, ordering());
  status.certificate = certificate;
  if (const auto planned = care->renewal(now)) {
    status.renewAt = planned->at;
    status.renewReason = planned->reason;
  }
  if (care->reasonNow(now) == RenewReason::Forced) {
    status.renewAt = care->underWay() ? care->underWay()->at : care->dueAt(now);
    status.renewReason = RenewReason::Forced;
  }
  if (!ordering()) status.nextAttempt = std::max(care->next(now, limits(now)).at, now);
  status.attempts = care->failures();
  if (const AttemptHistory* last = care->lastFailure()) {
    status.lastError = lastErrorOf(*last->lastError, last->lastErrorAt.value_or(Time{}));
  }
  return status;
}

std::vector<CertificateStatus> ManagedCertificate::statuses(Time now) const {
  if (!before.empty()) return before;
  std::vector<CertificateStatus> all;
  all.reserve(sections.size());
  for (const auto& section : sections) all.push_back(status(section, now));
  return all;
}

}  // namespace postern::acme
