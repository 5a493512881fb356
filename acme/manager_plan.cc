#include <algorithm>
#include <iterator>
#include <utility>

#include "acme/manager_impl.h"
#include "base/text.h"

namespace postern::acme {

namespace fs = std::filesystem;

// The same folder by whatever path, so that two sections that mean it share its lock.
fs::path Manager::Impl::canonical(const std::string& cache) {
  std::error_code error;
  const fs::path whole = fs::weakly_canonical(fs::absolute(cache), error);
  fs::path path = error ? fs::absolute(cache).lexically_normal() : whole;
  return path.filename().empty() ? path.parent_path() : path;  // "/var/lib/postern/"
}

std::vector<Manager::Impl::ProviderKey> Manager::Impl::keysOf(const Plan& plan) {
  std::vector<ProviderKey> keys;
  for (const auto& provider : plan.providers) keys.emplace_back(provider.directory, canonical(provider.cache));
  return keys;
}

Manager::Impl::Caches Manager::Impl::open(const std::vector<ProviderKey>& keys) {
  std::lock_guard lock(caches_);
  Caches opened;
  for (const auto& [directory, path] : keys) {
    if (opened.count(path) != 0) continue;
    StorageRef storage = known_[path].lock();
    if (!storage) {
      storage = std::make_shared<Storage>(path, parts_.log);
      known_[path] = storage;
    }
    opened.emplace(path, std::move(storage));
  }
  return opened;
}

void Manager::Impl::prepare(const Plan& plan) {
  auto opened = open(keysOf(plan));
  std::lock_guard lock(caches_);
  prepared_ = std::move(opened);
}

Manager::Impl::Wants Manager::Impl::wantsOf(const Plan& plan, const std::vector<ProviderKey>& keys) const {
  Wants wants;
  for (const auto& wanted : plan.certificates) {
    const auto provider = std::find_if(plan.providers.begin(), plan.providers.end(),
                                       [&](const auto& each) { return each.name == wanted.provider; });
    if (provider == plan.providers.end() || wanted.names.empty()) {
      parts_.log.error("acme.plan.unknown", {{"provider", wanted.provider}, {"names", joined(wanted.names)}});
      continue;
    }
    const tls::CertificateId id = tls::acmeCertificate(wanted.provider, wanted.names);
    Want& want = wants[{keys[static_cast<std::size_t>(provider - plan.providers.begin())], id.names}];
    if (want.names.empty()) want.names = wanted.names;
    const CareSection section{id, provider->name, provider->renewBefore};
    if (std::find(want.sections.begin(), want.sections.end(), section) == want.sections.end()) {
      want.sections.push_back(section);
    }
  }
  return wants;
}

Manager::Impl::Providers Manager::Impl::providersFor(const Plan& plan, const std::vector<ProviderKey>& keys,
                                                     const Caches& caches) {
  Providers providers;
  for (std::size_t i = 0; i < keys.size(); ++i) {
    if (providers.count(keys[i]) != 0) continue;  // two sections, one directory, one cache: the first one's settings
    std::shared_ptr<ProviderCare> care;
    {
      std::lock_guard lock(mutex_);
      if (const auto known = providers_.find(keys[i]); known != providers_.end()) care = known->second;
    }
    if (care) {
      care->configure(plan.providers[i]);
    } else {
      care = std::make_shared<ProviderCare>(plan.providers[i], caches.at(keys[i].second), parts_);
    }
    providers.emplace(keys[i], std::move(care));
  }
  return providers;
}

// Those that are not cared for yet, read from the disk: without the lock, for there may be thousands.
Manager::Impl::Cares Manager::Impl::newCares(const Wants& wants, const Providers& providers) {
  Cares made;
  const Time now = parts_.clock.now();
  for (const auto& [key, want] : wants) {
    {
      std::lock_guard lock(mutex_);
      if (cares_.count(key) != 0) continue;
    }
    made.emplace(key, std::make_shared<CertificateCare>(providers.at(key.first), want.names, now, parts_.log));
  }
  return made;
}

void Manager::Impl::apply(const Plan& plan) {
  // Also keeps letGo() away, so that what is found here is still there at the end.
  std::lock_guard applying(applying_);
  const auto keys = keysOf(plan);
  auto caches = open(keys);  // may throw: nothing has changed yet
  const Wants wants = wantsOf(plan, keys);
  const Providers providers = providersFor(plan, keys, caches);
  Cares made = newCares(wants, providers);
  {
    std::lock_guard publishing(publishing_);
    std::set<tls::CertificateId> before;
    {
      std::lock_guard lock(mutex_);
      before = wantedIds();
      sections_.clear();
      for (std::size_t i = 0; i < keys.size(); ++i) {
        sections_.push_back({plan.providers[i], keys[i], providers.at(keys[i])});
      }
      for (const auto& [key, care] : providers) providers_[key] = care;
      cares_.merge(made);
      for (auto& [key, care] : cares_) {
        if (const auto want = wants.find(key); want != wants.end()) {
          care->want(want->second.names, want->second.sections);
        } else {
          care->unwant();
          if (care->running()) care->underWay->thread.request_stop();
        }
      }
    }
    publishCached(before);
  }
  {
    std::lock_guard lock(caches_);
    opened_ = std::move(caches);
    prepared_.clear();
  }
  letGo();
  ended_.notify_all();
  wake();
}

// Under publishing_.
void Manager::Impl::publishCached(const std::set<tls::CertificateId>& before) {
  std::map<tls::CertificateId, tls::CertifiedKeyRef> changed;
  std::vector<tls::CertificateId> unwanted;
  const auto served = parts_.store.current();
  {
    std::lock_guard lock(mutex_);
    for (const auto& [key, care] : cares_) {
      if (!care->certificate() || !care->wanted()) continue;
      for (const auto& section : care->sections()) {
        if (served->find(section.id) != care->certificate()) changed[section.id] = care->certificate();
      }
      warnOfCuts(care->sections(), *care->certificate());
      sayExpired(*care, parts_.clock.now());
    }
    const auto wanted = wantedIds();
    std::set_difference(before.begin(), before.end(), wanted.begin(), wanted.end(), std::back_inserter(unwanted));
  }
  if (!changed.empty()) parts_.store.publish(changed);
  if (!unwanted.empty()) parts_.store.withdraw(unwanted);
}

std::set<tls::CertificateId> Manager::Impl::wantedIds() const {
  std::set<tls::CertificateId> ids;
  for (const auto& [key, care] : cares_) {
    for (const auto& section : care->sections()) ids.insert(section.id);
  }
  return ids;
}

Manager::Impl::CareRef Manager::Impl::find(const tls::CertificateId& id) const {
  for (const auto& [key, care] : cares_) {
    for (const auto& section : care->sections()) {
      if (section.id == id) return care;
    }
  }
  return nullptr;
}

void Manager::Impl::warnOfCuts(const std::vector<CareSection>& sections, const tls::CertifiedKey& certificate) {
  const CertificateFacts facts{certificate.notBefore(), certificate.notAfter()};
  for (const auto& section : sections) {
    const Duration cut = renewBeforeCut(facts, section.renewBefore);
    if (cut <= std::chrono::hours(1) || !cutsSaid_.emplace(section.provider, *section.renewBefore).second) continue;
    parts_.log.warn("acme.renew-before.cut", {{"provider", section.provider},
                                              {"renew-before", inWords(*section.renewBefore)},
                                              {"lifetime", inWords(facts.notAfter - facts.notBefore)},
                                              {"used", inWords(*section.renewBefore - cut)}});
  }
}

}  // namespace postern::acme
