#include <algorithm>
#include <atomic>
#include <exception>
#include <iterator>
#include <thread>
#include <utility>

#include "acme/ledger_limits.h"
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

std::vector<Manager::Impl::Section> Manager::Impl::sectionsOf(const Plan& plan) {
  std::vector<Section> sections;
  for (const auto& provider : plan.providers) {
    sections.push_back({provider, {provider.directory, canonical(provider.cache)}, {}, nullptr});
  }
  const std::size_t named = sections.size();
  for (std::size_t i = 0; i < named; ++i) {
    const Provider& provider = plan.providers[i];
    if (provider.staging.empty()) continue;
    const auto other = std::find_if(plan.providers.begin(), plan.providers.end(),
                                    [&](const Provider& each) { return each.name == provider.staging; });
    if (other != plan.providers.end()) {
      sections[i].staging = sections[static_cast<std::size_t>(other - plan.providers.begin())].key;
      continue;
    }
    // A directory's URL: the provider itself, with another CA.
    Provider staging = provider;
    staging.directory = provider.staging;
    staging.staging.clear();
    staging.fallback.clear();
    staging.externalAccount.reset();
    sections[i].staging = ProviderKey{staging.directory, sections[i].key.second};
    sections.push_back({staging, *sections[i].staging, {}, nullptr});
  }
  return sections;
}

Manager::Impl::Caches Manager::Impl::open(const std::vector<Section>& sections) {
  std::lock_guard lock(caches_);
  Caches opened;
  for (const auto& section : sections) {
    const auto& path = section.key.second;
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
  auto opened = open(sectionsOf(plan));
  std::lock_guard lock(caches_);
  prepared_ = std::move(opened);
}

Manager::Impl::Wants Manager::Impl::wantsOf(const Plan& plan, const std::vector<Section>& sections) const {
  const auto named = [&](const std::string& name) {
    return std::find_if(sections.begin(), sections.end(), [&](const auto& each) { return each.provider.name == name; });
  };
  Wants wants;
  for (const auto& wanted : plan.certificates) {
    const auto section = named(wanted.provider);
    if (section == sections.end() || wanted.names.empty()) {
      parts_.log.error("acme.plan.unknown", {{"provider", wanted.provider}, {"names", joined(wanted.names)}});
      continue;
    }
    const Provider& provider = section->provider;
    std::vector<ProviderKey> routes{section->key};
    std::vector<std::string> routeNames{provider.name};
    for (const auto& name : provider.fallback) {
      const auto other = named(name);
      if (other == sections.end() || std::find(routes.begin(), routes.end(), other->key) != routes.end()) continue;
      routes.push_back(other->key);
      routeNames.push_back(name);
    }
    for (const auto& keyType : provider.keyTypes) {
      const tls::CertificateId id = tls::acmeCertificate(provider.name, wanted.names, keyType);
      Want& want = wants[{routes, id.names, keyType}];
      if (want.names.empty()) {
        want.names = wanted.names;
        want.routeNames = routeNames;
        want.staging = section->staging;
      }
      const CareSection by{id, provider.name, provider.renewBefore};
      if (std::find(want.sections.begin(), want.sections.end(), by) == want.sections.end()) want.sections.push_back(by);
    }
  }
  return wants;
}

Manager::Impl::Providers Manager::Impl::providersFor(const std::vector<Section>& sections, const Caches& caches) {
  Providers providers;
  for (const auto& section : sections) {
    if (providers.count(section.key) != 0)
      continue;  // two sections, one directory, one cache: the first one's settings
    std::shared_ptr<ProviderCare> care;
    {
      std::lock_guard lock(mutex_);
      if (const auto known = providers_.find(section.key); known != providers_.end()) care = known->second;
    }
    if (care) {
      care->configure(section.provider);
    } else {
      auto& known = gates_[limitsNameOf(section.provider.directory)];
      auto gate = known.lock();
      if (!gate) known = gate = std::make_shared<OrderGate>(parts_.clock, parts_.log);
      care = std::make_shared<ProviderCare>(section.provider, caches.at(section.key.second), std::move(gate), parts_);
    }
    providers.emplace(section.key, std::move(care));
  }
  return providers;
}

// Those that are not managed yet, read from the disk: without the lock, for there may be thousands, and on all cores,
// because a certificate takes a millisecond to read and check.
Manager::Impl::Managed Manager::Impl::newlyManaged(const Wants& wants, const Providers& providers) {
  struct Reading {
    const Wants::value_type* want;
    std::shared_ptr<ManagedCertificate> managed;
    std::exception_ptr thrown;
  };
  std::vector<Reading> all;
  {
    std::lock_guard lock(mutex_);
    for (const auto& want : wants) {
      if (managed_.count(want.first) == 0) all.push_back({&want, nullptr, nullptr});
    }
  }
  std::atomic<std::size_t> turn{0};
  const auto read = [&]() noexcept {
    for (std::size_t i = turn++; i < all.size(); i = turn++) {
      const auto& [key, want] = *all[i].want;
      try {
        std::vector<ManagedCertificate::Route> routes;
        for (std::size_t route = 0; route < key.routes.size(); ++route) {
          routes.push_back({want.routeNames[route], providers.at(key.routes[route]), nullptr, nullptr});
        }
        all[i].managed = std::make_shared<ManagedCertificate>(std::move(routes), want.names, keyTypeNamed(key.keyType),
                                                              parts_.clock, parts_.log);
      } catch (...) {
        all[i].thrown = std::current_exception();
      }
    }
  };
  {
    constexpr std::size_t worthAThread = 16;
    const std::size_t threads = std::min<std::size_t>(std::thread::hardware_concurrency(), all.size() / worthAThread);
    std::vector<std::jthread> others;
    for (std::size_t i = 1; i < threads; ++i) others.emplace_back(read);
    read();
  }
  Managed made;
  for (auto& one : all) {
    if (one.thrown) std::rethrow_exception(one.thrown);
    made.emplace(one.want->first, std::move(one.managed));
  }
  return made;
}

std::vector<std::shared_ptr<Manager::Impl::Preparation>> Manager::Impl::preparationsFor(
    const std::vector<Section>& sections, const Wants& wants, const Providers& providers) const {
  std::vector<std::shared_ptr<Preparation>> preparations;
  std::set<ProviderKey> seen;
  const auto add = [&](const ProviderKey& key) {
    if (!seen.insert(key).second) return;
    auto preparation = std::make_shared<Preparation>();
    preparation->provider = providers.at(key);
    preparation->pace = std::make_unique<Pace>(parts_.clock);
    preparation->done = !preparation->provider->accountUrl().empty();
    if (!preparation->done) preparation->next = preparation->provider->readyFrom(parts_.clock.now());
    preparations.push_back(std::move(preparation));
  };
  for (const auto& [key, want] : wants) {
    for (std::size_t i = 1; i < key.routes.size(); ++i) add(key.routes[i]);
  }
  for (const auto& section : sections) {
    const bool used = std::any_of(wants.begin(), wants.end(),
                                  [&](const auto& want) { return want.first.routes.front() == section.key; });
    if (used && section.staging) add(*section.staging);
  }
  return preparations;
}

void Manager::Impl::apply(const Plan& plan) {
  // Also keeps letGo() away, so that what is found here is still there at the end.
  std::lock_guard applying(applying_);
  auto sections = sectionsOf(plan);
  auto caches = open(sections);  // may throw: nothing has changed yet
  const Wants wants = wantsOf(plan, sections);
  const Providers providers = providersFor(sections, caches);
  Managed made = newlyManaged(wants, providers);
  for (auto& section : sections) section.care = providers.at(section.key);
  auto preparations = preparationsFor(sections, wants, providers);
  {
    std::lock_guard publishing(publishing_);
    std::set<tls::CertificateId> before;
    {
      std::lock_guard lock(mutex_);
      before = wantedIds();
      sections_ = std::move(sections);
      for (const auto& [key, care] : providers) providers_[key] = care;
      for (const auto& old : preparations_) {
        if (!old->work) continue;
        // One that is under way goes on; its provider's next one waits for it.
        const auto same = std::find_if(preparations.begin(), preparations.end(),
                                       [&](const auto& each) { return each->provider == old->provider; });
        if (same != preparations.end()) {
          *same = old;
        } else {
          old->work->thread.request_stop();
          old->done = true;
          preparations.push_back(old);
        }
      }
      preparations_ = std::move(preparations);
      for (auto& [key, managed] : made) takeOver(*managed);
      managed_.merge(made);
      for (auto& [key, managed] : managed_) {
        if (const auto want = wants.find(key); want != wants.end()) {
          const auto& staging = want->second.staging;
          managed->routes.front().staging = staging ? providers.at(*staging) : nullptr;
          managed->want(want->second.names, want->second.sections);
        } else {
          managed->unwant();
          forget(*managed);
          if (managed->work && !managed->work->ended) managed->work->thread.request_stop();
        }
      }
      byId_.clear();
      for (const auto& [key, managed] : managed_) {
        for (const auto& section : managed->sections) byId_.emplace(tls::CertificateIdHash()(section.id), managed);
      }
    }
    publishCached(before);
  }
  exportCached();
  {
    std::lock_guard lock(caches_);
    opened_ = std::move(caches);
    prepared_.clear();
  }
  letGo();
  ended_.notify_all();
  wake();
}

// Under the lock. What one that is replaced has got since the disk was read. Only then does another hold the folder.
void Manager::Impl::takeOver(ManagedCertificate& made) const {
  if (std::all_of(made.routes.begin(), made.routes.end(),
                  [](const auto& route) { return route.folder.use_count() == 1; })) {
    return;
  }
  for (const auto& [key, old] : managed_) {
    if (!old->certificate || !old->care->held()) continue;
    const auto& folder = old->routes[old->care->held()->route].folder;
    for (std::size_t i = 0; i < made.routes.size(); ++i) {
      const bool newer = !made.certificate || old->certificate->notBefore() > made.certificate->notBefore();
      if (made.routes[i].folder == folder && newer) made.hold(old->certificate, i, parts_.clock.now());
    }
  }
}

// Under publishing_.
void Manager::Impl::publishCached(const std::set<tls::CertificateId>& before) {
  std::map<tls::CertificateId, tls::CertifiedKeyRef> changed;
  std::vector<tls::CertificateId> unwanted;
  const auto served = parts_.store.current();
  {
    std::lock_guard lock(mutex_);
    for (const auto& [key, managed] : managed_) {
      if (!managed->certificate || !managed->wanted()) continue;
      for (const auto& section : managed->sections) {
        if (served->find(section.id) != managed->certificate) changed[section.id] = managed->certificate;
      }
      warnOfCuts(managed->sections, *managed->certificate);
    }
    const auto wanted = wantedIds();
    std::set_difference(before.begin(), before.end(), wanted.begin(), wanted.end(), std::back_inserter(unwanted));
  }
  if (!changed.empty()) parts_.store.publish(changed);
  if (!unwanted.empty()) parts_.store.withdraw(unwanted);
}

// Under applying_. What is missing or differs in the folders that other programs read.
void Manager::Impl::exportCached() {
  struct Copy {
    ManagedRef managed;
    Provider provider;
    std::vector<std::string> names;
  };
  std::vector<Copy> copies;
  {
    std::lock_guard lock(mutex_);
    for (const auto& [key, managed] : managed_) {
      if (!managed->certificate) continue;
      for (const auto& by : managed->sections) {
        const Section* section = sectionNamed(by.provider);
        if (section == nullptr || section->provider.exportTo.empty()) continue;
        copies.push_back({managed, section->provider, managed->names});
      }
    }
  }
  for (const auto& copy : copies) exportNow(*copy.managed, copy.provider, copy.names);
}

std::set<tls::CertificateId> Manager::Impl::wantedIds() const {
  std::set<tls::CertificateId> ids;
  for (const auto& [key, managed] : managed_) {
    for (const auto& section : managed->sections) ids.insert(section.id);
  }
  return ids;
}

Manager::Impl::ManagedRef Manager::Impl::find(const tls::CertificateId& id) const {
  const auto [begin, end] = byId_.equal_range(tls::CertificateIdHash()(id));
  for (auto entry = begin; entry != end; ++entry) {
    for (const auto& section : entry->second->sections) {
      if (section.id == id) return entry->second;
    }
  }
  return nullptr;
}

const Manager::Impl::Section* Manager::Impl::sectionNamed(const std::string& name) const {
  const auto found = std::find_if(sections_.begin(), sections_.end(),
                                  [&](const Section& section) { return section.provider.name == name; });
  return found == sections_.end() ? nullptr : &*found;
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
