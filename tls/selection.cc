#include "tls/selection.h"

namespace postern::tls {

Selection::Selection(const std::vector<Rule>& rules, const CertifiedKeyRef& own,
                     const std::vector<CertifiedKeyRef>& domains) {
  // The first to claim a name keeps it. An exact name and a wildcard never have the same spelling, so one pass serves
  // both kinds, and find() asks for the exact one first.
  for (const auto& rule : rules) {
    if (rule.certificate) add(rule.subject, rule.certificate);
  }
  const auto addNamesOf = [this](const CertifiedKeyRef& certificate) {
    if (!certificate) return;
    for (const auto& name : certificate->names()) add(name, certificate);
  };
  addNamesOf(own);
  for (const auto& certificate : domains) addNamesOf(certificate);
}

std::shared_ptr<const Shown> Selection::shown(const CertifiedKeyRef& certificate) {
  auto& held = shown_[certificate.get()];
  if (!held) held = std::make_shared<const Shown>(Shown{certificate, issuersOf(certificate->chain())});
  return held;
}

void Selection::add(std::string_view name, const CertifiedKeyRef& certificate) {
  byName_.try_emplace(normalisedName(name), shown(certificate));
}

const Shown* Selection::find(std::string_view serverName) const {
  if (serverName.empty() || byName_.empty()) return nullptr;
  auto found = byName_.find(std::string(serverName));
  // An SNI that is itself spelled as a wildcard names no host.
  if (serverName.starts_with('*')) return nullptr;
  if (found == byName_.end()) found = byName_.find(wildcardFor(serverName));
  return found == byName_.end() ? nullptr : found->second.get();
}

}  // namespace postern::tls
