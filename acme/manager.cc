#include "acme/manager.h"

#include <algorithm>
#include <iterator>
#include <utility>

#include "acme/manager_impl.h"
#include "base/text.h"

namespace postern::acme {

namespace fs = std::filesystem;

std::string_view nameOf(CertificateState state) {
  switch (state) {
    case CertificateState::Pending: return "pending";
    case CertificateState::Issuing: return "issuing";
    case CertificateState::Valid: return "valid";
    case CertificateState::Failing: return "failing";
    case CertificateState::Expired: return "expired";
  }
  return "";
}

std::string_view nameOf(Event::Kind kind) {
  switch (kind) {
    case Event::Kind::Renewed: return "renewed";
    case Event::Kind::Failing: return "failing";
    case Event::Kind::Expiring: return "expiring";
    case Event::Kind::Expired: return "expired";
  }
  return "";
}

std::string_view nameOf(RenewReason reason) {
  switch (reason) {
    case RenewReason::Lifetime: return "lifetime";
    case RenewReason::RenewBefore: return "renew-before";
    case RenewReason::Ari: return "ari";
    case RenewReason::Expiry: return "expiry";
    case RenewReason::Forced: return "forced";
  }
  return "";
}

Manager::Manager(Parts parts) : impl_(std::make_unique<Impl>(std::move(parts))) {}
Manager::~Manager() = default;
void Manager::prepare(const Plan& plan) {
  impl_->prepare(plan);
}
void Manager::apply(const Plan& plan) {
  impl_->apply(plan);
}
void Manager::start() {
  impl_->start();
}
void Manager::wake() {
  impl_->wake();
}
tls::KeyPtr Manager::pendingKey(const tls::CertificateId& id) {
  return impl_->pendingKey(id);
}
std::vector<std::pair<std::string, tls::CertifiedKeyRef>> Manager::cached() const {
  return impl_->cached();
}
RenewAnswer Manager::renew(const RenewRequest& request) {
  return impl_->renew(request);
}
bool Manager::waitFor(const std::vector<tls::CertificateId>& ids, std::stop_token stop) {
  return impl_->waitFor(ids, std::move(stop));
}
Status Manager::status() const {
  return impl_->status();
}

tls::KeyPtr Manager::Impl::pendingKey(const tls::CertificateId& id) {
  ManagedRef managed;
  {
    std::lock_guard lock(mutex_);
    managed = find(id);
  }
  if (!managed) return nullptr;
  CertificateFolder& folder = managed->folderOf(0);
  try {
    return folder.pendingKey(managed->keyType);
  } catch (const Error& error) {
    parts_.log.warn("acme.cache.unwritable", {{"path", folder.path().string()}, {"error", error.problem.detail}});
    return nullptr;
  }
}

std::vector<std::pair<std::string, tls::CertifiedKeyRef>> Manager::Impl::cached() const {
  std::map<fs::path, StorageRef> caches;
  {
    std::lock_guard lock(caches_);
    caches = opened_;
  }
  std::vector<Section> sections;
  {
    std::lock_guard lock(mutex_);
    sections = sections_;
  }
  std::vector<std::pair<std::string, tls::CertifiedKeyRef>> all;
  for (const auto& [path, storage] : caches) {
    for (auto& [folder, certificate] : storage->everythingByDirectory()) {
      // What a section got from another directory before (its CA's staging, say) is the section's all the same.
      const Section* found = nullptr;
      for (const auto& section : sections) {
        if (section.key.second != path) continue;
        const bool exact = directoryFolderName(section.key.first) == folder;
        if (exact || found == nullptr) found = &section;
        if (exact) break;
      }
      if (found == nullptr) continue;
      // Also of those whose fallback it is.
      for (const auto& section : sections) {
        const auto& fallback = section.provider.fallback;
        if (std::find(fallback.begin(), fallback.end(), found->provider.name) == fallback.end()) continue;
        all.emplace_back("acme:" + section.provider.name, certificate);
      }
      all.emplace_back("acme:" + found->provider.name, std::move(certificate));
    }
  }
  return all;
}

RenewAnswer Manager::Impl::renew(const RenewRequest& request) {
  RenewAnswer answer;
  {
    std::lock_guard lock(mutex_);
    const Time now = parts_.clock.now();
    for (const auto& [key, managed] : managed_) {
      const auto& names = key.names;
      const bool named =
          request.names.empty() || std::any_of(request.names.begin(), request.names.end(), [&](const auto& name) {
            return std::binary_search(names.begin(), names.end(), lower(name));
          });
      if (!named) continue;
      const auto& sections = managed->sections;
      const bool asked = std::any_of(sections.begin(), sections.end(), [&](const auto& section) {
        return request.provider.empty() || section.provider == request.provider;
      });
      if (!asked) continue;
      CertificateCare& care = *managed->care;
      std::string words = "ordered";
      bool ordered = true;
      // An order that has its outcome and is still being recorded does not bring what is asked for now.
      if (managed->ordering() && care.underWay()) {
        words = "already under way";
      } else if (request.force || care.failures() > 0 || care.dueAt(now) <= now) {
        care.orderNow(now, request.force && care.dueAt(now) > now);
        if (const auto next = care.next(now, managed->limits(now)); next.at > now) {
          ordered = false;
          words = "delayed by the CA's limits until " + rfc3339(next.at);
          if (next.forced) care.forgetOrderNow();
        }
      } else {
        ordered = false;
        words = "not due before " + rfc3339(care.dueAt(now));
      }
      touch(*managed);
      for (const auto& section : sections) {
        if (!request.provider.empty() && section.provider != request.provider) continue;
        answer.certificates.push_back({section.id, ordered, words});
      }
    }
  }
  wakeDecider();
  return answer;
}

bool Manager::Impl::waitFor(const std::vector<tls::CertificateId>& ids, std::stop_token stop) {
  std::unique_lock lock(mutex_);
  bool good = true;
  for (const auto& id : ids) {
    const bool over = ended_.wait(lock, stop, [&] {
      const auto managed = find(id);
      if (closing_ || managed == nullptr) return true;
      const Time now = parts_.clock.now();
      return !managed->ordering() && managed->care->next(now, managed->limits(now)).at > now;
    });
    const auto managed = find(id);
    if (!over || closing_ || managed == nullptr) return false;
    const CertificateCare& care = *managed->care;
    good = good && care.lastAttempt.value_or(care.state(parts_.clock.now(), false) == CertificateState::Valid);
  }
  return good;
}

Status Manager::Impl::status() const {
  Status status;
  std::lock_guard lock(mutex_);
  const Time now = parts_.clock.now();
  for (const auto& [key, managed] : managed_) {
    auto statuses = managed->statuses(now);
    std::move(statuses.begin(), statuses.end(), std::back_inserter(status.certificates));
  }
  for (const auto& section : sections_) {
    if (std::any_of(status.providers.begin(), status.providers.end(),
                    [&](const auto& known) { return known.name == section.provider.name; })) {
      continue;  // the staging of one, named by its URL
    }
    auto one = section.care->status();
    one.name = section.provider.name;
    one.directory = section.provider.directory;
    status.providers.push_back(std::move(one));
  }
  return status;
}

}  // namespace postern::acme
