#include "tls/selection.h"

#include <map>

namespace postern::tls {

ShownSet shownSet(const std::vector<CertifiedKeyRef>& certificates) {
  ShownSet set;
  for (const auto& certificate : certificates) set.push_back({certificate, issuersOf(certificate->chain())});
  return set;
}

Selection::Selection(const std::vector<Rule>& rules, const std::vector<CertifiedKeyRef>& own,
                     const std::vector<std::vector<CertifiedKeyRef>>& domains) {
  // The first to claim a name keeps it. An exact name and a wildcard never have the same spelling, so one pass serves
  // both kinds, and find() asks for the exact one first.
  std::map<const CertifiedKey*, std::shared_ptr<const ShownSet>> ofRules;
  for (const auto& rule : rules) {
    if (!rule.certificate) continue;
    auto& set = ofRules[rule.certificate.get()];
    if (!set) set = std::make_shared<const ShownSet>(shownSet({rule.certificate}));
    add(rule.subject, set);
  }
  addNamesOf(own);
  for (const auto& certificates : domains) addNamesOf(certificates);
}

void Selection::addNamesOf(const std::vector<CertifiedKeyRef>& certificates) {
  if (certificates.empty()) return;
  const auto set = std::make_shared<const ShownSet>(shownSet(certificates));
  // Those of one set were ordered for the same names; a name that one of them lacks is not theirs to serve.
  for (const auto& name : certificates.front()->names()) add(name, set);
}

void Selection::add(std::string_view name, const std::shared_ptr<const ShownSet>& set) {
  byName_.try_emplace(normalisedName(name), set);
}

const ShownSet* Selection::find(std::string_view serverName) const {
  if (serverName.empty() || byName_.empty()) return nullptr;
  auto found = byName_.find(std::string(serverName));
  // An SNI that is itself spelled as a wildcard names no host.
  if (serverName.starts_with('*')) return nullptr;
  if (found == byName_.end()) found = byName_.find(wildcardFor(serverName));
  return found == byName_.end() ? nullptr : found->second.get();
}

}  // namespace postern::tls
