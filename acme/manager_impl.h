// Manager::Impl: the manager's state and threads. manager_plan.cc goes over to what the configuration wants,
// manager_orders.cc decides what is due, manager_work.cc does it, manager.cc answers questions about all of it,
// manager_account.cc does the rest of the life cycle of accounts and certificates.
//
// Locks, in the order in which they are taken: applying_ (one apply at a time), publishing_ (what is wanted and what is
// in the store change together), mutex_ (the state; never held during a request, a write to the cache or a call of the
// store). The cares and providers are freed under caches_, so that a cache that is closed is closed before it can be
// opened again.
//
// Deciding costs as much as there is to decide. A certificate is decided about when the time comes that the last
// decision set (agenda_), when something was done to it (touch()), and when what it waited for may be there: a slot of
// its provider, its folder (blocked_), what an order that failed leaves of the CA's limits (limited_). All are decided
// about anew when the plan changes and when the clock was set back, and each once an hour, whatever happens: no
// decision rests on what nobody foresaw for longer.
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
#include <unordered_map>
#include <utility>
#include <vector>

#include "acme/export.h"
#include "acme/managed_certificate.h"
#include "acme/manager.h"
#include "acme/manager_agenda.h"
#include "acme/provider_care.h"

namespace postern::acme {

class Manager::Impl {
 public:
  explicit Impl(Parts parts) : parts_(std::move(parts)), chance_(std::random_device{}()) {}
  ~Impl();

  void prepare(const Plan& plan);
  void apply(const Plan& plan);
  void start();
  void wake();  // and decides about everything
  tls::KeyPtr pendingKey(const tls::CertificateId& id);
  std::vector<std::pair<std::string, tls::CertifiedKeyRef>> cached() const;
  RenewAnswer renew(const RenewRequest& request);
  bool waitFor(const std::vector<tls::CertificateId>& ids, std::stop_token stop);
  Status status() const;
  // manager_account.cc
  class Borrowed;
  Borrowed borrow(const std::string& provider);
  RevokeAnswer revoke(const std::string& name, const std::string& provider, int reason, std::stop_token stop);

 private:
  using StorageRef = std::shared_ptr<Storage>;
  using ProviderKey = std::pair<std::string, std::filesystem::path>;  // directory URL, cache
  using ManagedRef = std::shared_ptr<ManagedCertificate>;
  struct WantKey {
    std::vector<ProviderKey> routes;  // the provider, then its fallbacks
    std::vector<std::string> names;   // sorted
    std::string keyType;
    auto operator<=>(const WantKey&) const = default;
  };
  struct Want {
    std::vector<std::string> names;
    std::vector<std::string> routeNames;  // of the sections
    std::vector<CareSection> sections;
    std::optional<ProviderKey> staging;  // of the first route
  };
  using Caches = std::map<std::filesystem::path, StorageRef>;
  using Providers = std::map<ProviderKey, std::shared_ptr<ProviderCare>>;
  using Managed = std::map<WantKey, ManagedRef>;
  using Wants = std::map<WantKey, Want>;
  struct Section {  // of the configuration, with what cares for it
    Provider provider;
    ProviderKey key;
    std::optional<ProviderKey> staging;
    std::shared_ptr<ProviderCare> care;
  };
  // The account of a provider that is somebody's fallback is made before it is needed.
  struct Preparation {
    std::shared_ptr<ProviderCare> provider;
    std::unique_ptr<Pace> pace;
    std::optional<Work> work;
    Time next{};
    int failures = 0;
    bool done = false;
  };

  // --- manager_plan.cc: going over to what is wanted
  static std::filesystem::path canonical(const std::string& cache);
  // Of plan.providers, one for each, then those of directories that `staging` names by URL.
  static std::vector<Section> sectionsOf(const Plan& plan);
  Caches open(const std::vector<Section>& sections);
  Wants wantsOf(const Plan& plan, const std::vector<Section>& sections) const;
  Providers providersFor(const std::vector<Section>& sections, const Caches& caches);
  Managed newlyManaged(const Wants& wants, const Providers& providers);
  std::vector<std::shared_ptr<Preparation>> preparationsFor(const std::vector<Section>& sections, const Wants& wants,
                                                            const Providers& providers) const;
  void publishCached(const std::set<tls::CertificateId>& before);
  void exportCached();
  void takeOver(ManagedCertificate& made) const;
  std::set<tls::CertificateId> wantedIds() const;
  ManagedRef find(const tls::CertificateId& id) const;
  const Section* sectionNamed(const std::string& name) const;  // under the lock; null when there is none
  void warnOfCuts(const std::vector<CareSection>& sections, const tls::CertifiedKey& certificate);

  // --- manager_orders.cc: what is due
  void decide(std::stop_token stop);
  struct Slots {
    int taken = 0;
    int again = 0;  // of these, by what has failed before
  };
  struct Round {  // of the deciding thread
    Time now;
    Time next;                                     // when to look again, beside the agenda
    std::map<const ProviderCare*, Slots> working;  // slots that are taken
    std::set<const CertificateFolder*> busy;       // shared with another section, or with what a reload replaced
    void take(const ProviderCare& provider, bool again);
    bool hasSlot(const ProviderCare& provider, bool again) const;
  };
  struct Due {
    Work::Kind kind;
    std::size_t route;
    Time at;
    CertificateCare::Attempt attempt;
  };
  void decideOnce(const std::stop_token& stop);
  Round newRound();
  std::optional<Due> decideAbout(ManagedCertificate& managed, Round& round);
  void enqueue(ManagedCertificate& managed, const std::optional<Due>& due);
  void beginWhatIsDue(Round& round);
  void touch(ManagedCertificate& managed);   // under the lock: to be decided about anew
  void forget(ManagedCertificate& managed);  // under the lock: nobody wants it any more
  void sayDelayed(ManagedCertificate& managed, const CertificateCare::Attempt& attempt, Time now);
  std::optional<Event::Kind> look(ManagedCertificate& managed, Time now);
  void begin(ManagedCertificate& managed, Work::Kind kind, const CertificateCare::Attempt* attempt, Time now);
  void ended(ManagedCertificate& managed);
  void joinEnded();
  void wakeDecider();
  void letGo();
  void prepareFallbacks(Time now, Time& next);
  void prepareAccount(Preparation& preparation, std::stop_token stop) noexcept;
  double chance() { return std::uniform_real_distribution<double>(0, 1)(chance_); }  // under the lock

  // --- manager_work.cc: what a thread does for a certificate
  void order(ManagedCertificate& managed, const CertificateCare::Attempt& attempt, std::stop_token stop) noexcept;
  void askRenewalInfo(ManagedCertificate& managed, std::stop_token stop) noexcept;
  void prove(ManagedCertificate& managed, ProviderCare& staging, const OrderTask& task, std::stop_token stop);
  void succeed(ManagedCertificate& managed, tls::CertifiedKeyRef certificate, std::size_t route);
  void handOver(const ManagedCertificate& managed, std::size_t route, Time now, std::vector<CareSection>& sections);
  void dropOtherOrders(ManagedCertificate& managed, std::size_t route);
  void exportNow(const ManagedCertificate& managed, const Provider& provider, const std::vector<std::string>& names);
  void fail(ManagedCertificate& managed, std::size_t route, const Error& error);
  void endStopped(ManagedCertificate& managed, std::size_t route);
  void save(ManagedCertificate& managed, CertificateFolder& folder, const AttemptHistory& history);
  void saveHistories(ManagedCertificate& managed);
  void tell(Event::Kind kind, const std::vector<CertificateStatus>& certificates);
  std::vector<CertificateStatus> statusesOf(const ManagedCertificate& managed, Time now) const;  // under the lock

  // --- manager_account.cc: the rest of the life cycle
  struct Revocable {
    ManagedRef managed;
    std::shared_ptr<ProviderCare> provider;  // that issued it
    tls::CertifiedKeyRef certificate;
    tls::CertificateId id;
  };
  std::vector<Revocable> revocable(const std::string& name, const std::string& provider) const;
  void replace(ManagedCertificate& managed, const tls::CertifiedKey& revoked, std::stop_token stop);

  const Parts parts_;
  Exporter exporter_{parts_.log};
  std::mutex exporting_;  // taken before mutex_
  std::mutex applying_;
  std::map<std::string, std::weak_ptr<OrderGate>> gates_;  // by limitsNameOf(); guarded by applying_
  std::mutex publishing_;

  mutable std::mutex caches_;
  std::map<std::filesystem::path, std::weak_ptr<Storage>> known_;
  Caches prepared_, opened_;

  mutable std::mutex mutex_;
  std::vector<Section> sections_;
  Providers providers_;
  Managed managed_;
  std::vector<std::shared_ptr<Preparation>> preparations_;
  std::set<std::pair<std::string, std::chrono::seconds>> cutsSaid_;
  std::mt19937_64 chance_;
  std::unordered_multimap<std::size_t, ManagedRef> byId_;  // what is wanted, by CertificateIdHash
  Agenda agenda_;                                          // of what is wanted
  std::set<ManagedCertificate*> working_;                  // have `work`
  std::set<ManagedCertificate*> blocked_;                  // by another one's work for their folder
  std::set<ManagedCertificate*> limited_;                  // due, and held up by a ledger
  Time lastRound_{};
  bool allTouched_ = false;
  bool letGoDue_ = false;
  bool closing_ = false;
  bool woken_ = false;
  std::condition_variable_any wake_;   // of the deciding thread
  std::condition_variable_any ended_;  // some work ended, or what is wanted changed
  std::jthread decider_;
};

}  // namespace postern::acme
