// Manager::Impl: the manager's state and threads. manager_plan.cc goes over to what the configuration wants,
// manager_orders.cc does what is due, manager.cc answers questions about both.
//
// Locks, in the order in which they are taken: applying_ (one apply at a time), publishing_ (what is wanted and what is
// in the store change together), mutex_ (the state; never held during a request, a write to the cache or a call of the
// store). The cares and providers are freed under caches_, so that a cache that is closed is closed before it can be
// opened again.
#pragma once

#include <condition_variable>
#include <filesystem>
#include <map>
#include <memory>
#include <mutex>
#include <random>
#include <set>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "acme/certificate_care.h"
#include "acme/manager.h"
#include "acme/provider_care.h"

namespace postern::acme {

class Manager::Impl {
 public:
  explicit Impl(Parts parts) : parts_(std::move(parts)), chance_(std::random_device{}()) {}
  ~Impl();

  void prepare(const Plan& plan);
  void apply(const Plan& plan);
  void start();
  void wake();
  tls::KeyPtr pendingKey(const tls::CertificateId& id);
  std::vector<std::pair<std::string, tls::CertifiedKeyRef>> cached() const;
  RenewAnswer renew(const RenewRequest& request);
  bool waitFor(const std::vector<tls::CertificateId>& ids, std::stop_token stop);
  Status status() const;

 private:
  using StorageRef = std::shared_ptr<Storage>;
  using ProviderKey = std::pair<std::string, std::filesystem::path>;  // directory URL, cache
  using CareKey = std::pair<ProviderKey, std::vector<std::string>>;   // sorted names
  using CareRef = std::shared_ptr<CertificateCare>;
  struct Want {
    std::vector<std::string> names;
    std::vector<CareSection> sections;
  };
  using Caches = std::map<std::filesystem::path, StorageRef>;
  using Providers = std::map<ProviderKey, std::shared_ptr<ProviderCare>>;
  using Cares = std::map<CareKey, CareRef>;
  using Wants = std::map<CareKey, Want>;
  struct Section {  // of the configuration, with what cares for it
    Provider provider;
    ProviderKey key;
    std::shared_ptr<ProviderCare> care;
  };

  // --- manager_plan.cc: going over to what is wanted
  static std::filesystem::path canonical(const std::string& cache);
  static std::vector<ProviderKey> keysOf(const Plan& plan);  // of plan.providers, one for each
  Caches open(const std::vector<ProviderKey>& keys);
  Wants wantsOf(const Plan& plan, const std::vector<ProviderKey>& keys) const;
  Providers providersFor(const Plan& plan, const std::vector<ProviderKey>& keys, const Caches& caches);
  Cares newCares(const Wants& wants, const Providers& providers);
  void publishCached(const std::set<tls::CertificateId>& before);
  std::set<tls::CertificateId> wantedIds() const;
  CareRef find(const tls::CertificateId& id) const;
  void warnOfCuts(const std::vector<CareSection>& sections, const tls::CertifiedKey& certificate);

  // --- manager_orders.cc: what is done
  void decide(std::stop_token stop);
  Time beginWhatIsDue(Time now);  // returns when to look again
  void begin(CertificateCare& care, Time now);
  void run(CertificateCare& care, std::vector<std::string> names, std::stop_token stop) noexcept;
  void succeed(CertificateCare& care, tls::CertifiedKeyRef certificate);
  void fail(CertificateCare& care, const Problem& problem, std::optional<Time> retryAfter);
  void endStopped(CertificateCare& care);
  void ended(CertificateCare& care);
  void save(CertificateCare& care, const AttemptHistory& history);
  void sayExpired(CertificateCare& care, Time now);
  void joinEnded();
  void letGo();

  const Parts parts_;
  std::mutex applying_;
  std::mutex publishing_;

  mutable std::mutex caches_;
  std::map<std::filesystem::path, std::weak_ptr<Storage>> known_;
  Caches prepared_, opened_;

  mutable std::mutex mutex_;
  std::vector<Section> sections_;
  Providers providers_;
  Cares cares_;
  std::set<std::pair<std::string, std::chrono::seconds>> cutsSaid_;
  std::mt19937_64 chance_;
  bool closing_ = false;
  bool woken_ = false;
  std::condition_variable_any wake_;   // of the deciding thread
  std::condition_variable_any ended_;  // an attempt ended, or what is wanted changed
  std::jthread decider_;
};

}  // namespace postern::acme
