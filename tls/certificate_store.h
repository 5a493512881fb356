// CertificateStore: which certificate is the newest for an identity, now.
//
// Any thread may call anything here. A map once taken never changes, and publishing replaces it whole, so a handshake
// sees the certificates of before or those of after, never a mixture; the next shares with the one before what has not
// changed, so publishing costs as much among ten thousand as among ten. Whoever must rebuild something when a
// certificate changes subscribes; the callback runs on the publishing thread, after the new map stands. Withdrawing is
// publishing too.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <vector>

#include "base/persistent_map.h"
#include "base/snapshot.h"
#include "tls/certificate_id.h"
#include "tls/certified_key.h"

namespace postern::tls {

class CertificateMap {
 public:
  // Null when there is none yet.
  CertifiedKeyRef find(const CertificateId& id) const;
  bool empty() const { return byId_.empty(); }
  std::map<CertificateId, CertifiedKeyRef> all() const;
  // Those that are another one, or there or gone, in `after`; for the cost of what has changed.
  std::vector<CertificateId> changes(const CertificateMap& after) const;

 private:
  friend class CertificateStore;
  PersistentMap<CertificateId, CertifiedKeyRef, CertificateIdHash> byId_;
};

class CertificateStore {
 public:
  using Changed = std::function<void(const std::vector<CertificateId>& ids)>;

  std::shared_ptr<const CertificateMap> current() const;  // never null; empty until the first publish
  void publish(const CertificateId& id, CertifiedKeyRef certificate);
  void publish(const std::map<CertificateId, CertifiedKeyRef>& certificates);  // all at once: one new map, one callback
  void withdraw(const std::vector<CertificateId>& ids);                        // what no configuration wants any more

  // `changed` is called after each publish until unsubscribe() returns. No publish may be made from inside it.
  std::uint64_t subscribe(Changed changed);
  void unsubscribe(std::uint64_t subscription);

 private:
  void swap(std::shared_ptr<const CertificateMap> next, const std::vector<CertificateId>& ids);

  std::mutex publishing_;  // one at a time; also guards subscribers_
  Snapshot<CertificateMap> map_{std::make_shared<const CertificateMap>()};
  std::map<std::uint64_t, Changed> subscribers_;
  std::uint64_t lastSubscription_ = 0;
};

}  // namespace postern::tls
