#include "tls/selection.h"

#include <algorithm>
#include <map>
#include <unordered_map>
#include <utility>

namespace postern::tls {

ShownSet shownSet(const std::vector<CertifiedKeyRef>& certificates) {
  ShownSet set;
  for (const auto& certificate : certificates) set.push_back({certificate, issuersOf(*certificate)});
  return set;
}

Selection::Selection(const std::vector<Rule>& rules, const std::vector<CertifiedKeyRef>& own,
                     const std::vector<std::vector<CertifiedKeyRef>>& domains) {
  std::vector<std::string> subjects;
  subjects.reserve(rules.size());
  for (const auto& rule : rules) subjects.push_back(normalisedName(rule.subject));
  subjects_ = std::make_shared<const std::vector<std::string>>(std::move(subjects));

  std::unordered_map<std::string, Claims> claims;
  std::vector<std::pair<Place, ShownSetRef>> sets;
  const auto put = [&](Place place, ShownSetRef set) {
    for (auto& name : namesAt(place, *set)) claims[std::move(name)].push_back({place, set});
    sets.emplace_back(place, std::move(set));
  };
  const auto putAll = [&](Place place, const std::vector<CertifiedKeyRef>& certificates) {
    if (!certificates.empty()) put(place, std::make_shared<const ShownSet>(shownSet(certificates)));
  };
  std::map<const CertifiedKey*, ShownSetRef> ofRules;
  for (Place i = 0; i < rules.size(); ++i) {
    if (!rules[i].certificate) continue;
    auto& set = ofRules[rules[i].certificate.get()];
    if (!set) set = std::make_shared<const ShownSet>(shownSet({rules[i].certificate}));
    put(i, set);
  }
  putAll(ownPlace(), own);
  for (Place i = 0; i < domains.size(); ++i) putAll(ownPlace() + 1 + i, domains[i]);

  std::vector<Names::Entry> names;
  names.reserve(claims.size());
  for (auto& [name, wanted] : claims) names.emplace_back(name, std::make_shared<const Claims>(std::move(wanted)));
  byName_ = Names(std::move(names));
  sets_ = PersistentMap<Place, ShownSetRef>(std::move(sets));
}

std::vector<std::string> Selection::namesAt(Place place, const ShownSet& set) const {
  if (place < subjects_->size()) return {(*subjects_)[place]};
  // Those of one set were ordered for the same names; a name that one of them lacks is not theirs to serve.
  std::vector<std::string> names;
  for (const auto& name : set.front().certificate->names()) {
    auto normalised = normalisedName(name);
    if (std::find(names.begin(), names.end(), normalised) == names.end()) names.push_back(std::move(normalised));
  }
  return names;
}

const ShownSet* Selection::at(Place place) const {
  const ShownSetRef* const set = sets_.find(place);
  return set == nullptr ? nullptr : set->get();
}

Selection Selection::with(Place place, ShownSetRef set) const {
  Selection next = *this;
  const auto claimed = [&](const std::string& name) {
    Claims claims;
    if (const auto* const before = next.byName_.find(name)) claims = **before;
    std::erase_if(claims, [place](const Claim& claim) { return claim.place == place; });
    return claims;
  };
  if (const ShownSet* const before = at(place)) {
    for (const auto& name : namesAt(place, *before)) {
      Claims left = claimed(name);
      next.byName_ = left.empty() ? next.byName_.without(name)
                                  : next.byName_.with(name, std::make_shared<const Claims>(std::move(left)));
    }
  }
  if (!set) {
    next.sets_ = next.sets_.without(place);
    return next;
  }
  for (const auto& name : namesAt(place, *set)) {
    Claims claims = claimed(name);
    const auto behind = std::find_if(claims.begin(), claims.end(), [&](const Claim& one) { return one.place > place; });
    claims.insert(behind, {place, set});
    next.byName_ = next.byName_.with(name, std::make_shared<const Claims>(std::move(claims)));
  }
  next.sets_ = next.sets_.with(place, std::move(set));
  return next;
}

const ShownSet* Selection::find(std::string_view serverName) const {
  // An SNI that is itself spelled as a wildcard names no host.
  if (serverName.empty() || byName_.empty() || serverName.starts_with('*')) return nullptr;
  const auto* claims = byName_.find(serverName);
  if (claims == nullptr) claims = byName_.find(std::string_view(wildcardFor(serverName)));
  return claims == nullptr ? nullptr : (*claims)->front().set.get();
}

std::vector<std::string> Selection::furtherNames(std::size_t most, std::uint64_t choice) const {
  // Those that a hash with `choice` puts first: of many names others each time, of the same choice the same ones.
  using Ranked = std::pair<std::size_t, const std::string*>;
  std::vector<Ranked> names;
  const std::string salt = std::to_string(choice);
  byName_.forEach([&](const std::string& name, const std::shared_ptr<const Claims>& claims) {
    if (claims->front().place != ownPlace()) names.emplace_back(std::hash<std::string>{}(salt + name), &name);
  });
  const auto end = names.begin() + static_cast<std::ptrdiff_t>(std::min(most, names.size()));
  std::partial_sort(names.begin(), end, names.end());
  std::vector<std::string> chosen;
  for (auto one = names.begin(); one != end; ++one)
    chosen.push_back(one->second->starts_with('*') ? "any" + one->second->substr(1) : *one->second);
  return chosen;
}

}  // namespace postern::tls
