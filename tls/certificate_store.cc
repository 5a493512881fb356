#include "tls/certificate_store.h"

#include <utility>

namespace postern::tls {

CertifiedKeyRef CertificateMap::find(const CertificateId& id) const {
  const CertifiedKeyRef* const found = byId_.find(id);
  return found == nullptr ? nullptr : *found;
}

std::map<CertificateId, CertifiedKeyRef> CertificateMap::all() const {
  std::map<CertificateId, CertifiedKeyRef> all;
  byId_.forEach([&](const CertificateId& id, const CertifiedKeyRef& certificate) { all.emplace(id, certificate); });
  return all;
}

std::vector<CertificateId> CertificateMap::changes(const CertificateMap& after) const {
  std::vector<CertificateId> ids;
  byId_.changes(after.byId_,
                [&](const CertificateId& id, const CertifiedKeyRef*, const CertifiedKeyRef*) { ids.push_back(id); });
  return ids;
}

std::shared_ptr<const CertificateMap> CertificateStore::current() const {
  return map_.load();
}

void CertificateStore::publish(const CertificateId& id, CertifiedKeyRef certificate) {
  publish(std::map<CertificateId, CertifiedKeyRef>{{id, std::move(certificate)}});
}

void CertificateStore::publish(const std::map<CertificateId, CertifiedKeyRef>& certificates) {
  if (certificates.empty()) return;
  std::lock_guard lock(publishing_);
  auto next = std::make_shared<CertificateMap>(*map_.load());
  std::vector<CertificateId> ids;
  ids.reserve(certificates.size());
  for (const auto& [id, certificate] : certificates) ids.push_back(id);
  if (next->empty()) {  // the start: thousands at once cost a tenth of one by one
    std::vector<std::pair<CertificateId, CertifiedKeyRef>> all(certificates.begin(), certificates.end());
    std::erase_if(all, [](const auto& one) { return !one.second; });
    next->byId_ = decltype(next->byId_)(std::move(all));
  } else {
    for (const auto& [id, certificate] : certificates) {
      next->byId_ = certificate ? next->byId_.with(id, certificate) : next->byId_.without(id);
    }
  }
  swap(std::move(next), ids);
}

void CertificateStore::withdraw(const std::vector<CertificateId>& ids) {
  std::lock_guard lock(publishing_);
  auto next = std::make_shared<CertificateMap>(*map_.load());
  std::vector<CertificateId> gone;
  for (const auto& id : ids) {
    if (!next->find(id)) continue;
    next->byId_ = next->byId_.without(id);
    gone.push_back(id);
  }
  if (!gone.empty()) swap(std::move(next), gone);
}

void CertificateStore::swap(std::shared_ptr<const CertificateMap> next, const std::vector<CertificateId>& ids) {
  // Kept until the subscribers have gone over to the new map, so that what was replaced is freed here, on the
  // publishing thread, and not by whichever event loop lets go of it last.
  const auto replaced = map_.exchange(std::move(next));
  for (const auto& [subscription, changed] : subscribers_) changed(ids);
}

std::uint64_t CertificateStore::subscribe(Changed changed) {
  std::lock_guard lock(publishing_);
  subscribers_.emplace(++lastSubscription_, std::move(changed));
  return lastSubscription_;
}

void CertificateStore::unsubscribe(std::uint64_t subscription) {
  std::lock_guard lock(publishing_);
  subscribers_.erase(subscription);
}

}  // namespace postern::tls
