// ProviderCare: one directory with one cache: its account, made once and shared by all orders, and the way an order
// goes from names to a certificate on disk.
//
// Any thread may call anything here. Sections with the same directory and cache share one of these. obtain() blocks on
// the network; nothing else does. It lives as long as a certificate is cared for with it.
#pragma once

#include <condition_variable>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <stop_token>
#include <string>
#include <vector>

#include "acme/client.h"
#include "acme/ledger_file.h"
#include "acme/manager.h"
#include "acme/order_gate.h"
#include "acme/solver.h"
#include "acme/storage.h"

namespace postern::acme {

// What one attempt is to get.
struct OrderTask {
  CertificateFolder& folder;
  std::vector<std::string> names;  // the first is primary
  tls::KeyType keyType;
  tls::CertifiedKeyRef predecessor;  // null: none. Its key is used again where the provider says so
  bool newKey = false;               // ... but not this time
  std::string replaces;              // certificate ID for newOrder
  OrderKind kind = OrderKind::First;
  bool passesLimits = false;  // goes out whatever the ledger says
  int failedValidations = 0;
  Pace& pace;
};

class ProviderCare {
 public:
  // Reads the account's URL from the cache and asks nobody. The parts outlive this object. `gate`: of all that order
  // where this does, by limitsNameOf().
  ProviderCare(const Provider& provider, std::shared_ptr<Storage> storage, std::shared_ptr<OrderGate> gate,
               const Manager::Parts& parts);
  ProviderCare(const ProviderCare&) = delete;
  ProviderCare& operator=(const ProviderCare&) = delete;

  // Goes over to changed settings of the section; orders under way keep those they began with.
  void configure(const Provider& provider);
  // Of the settings that decide whether an order can succeed: what failed before may succeed after this has changed.
  std::string configurationDigest() const;

  Storage& storage() { return *storage_; }
  const std::string& directory() const { return directory_; }

  // One order (or the rest of one that a crash interrupted), by one type of challenge: the preferred one, after
  // `failedValidations` the next. Returns a verified certificate that is stored in the task's folder. Throws Error,
  // Stopped or Delayed.
  tls::CertifiedKeyRef obtain(const OrderTask& task, std::stop_token stop);
  // The same, but the certificate is thrown away: to see that names validate before another CA counts a failure.
  void prove(const OrderTask& task, std::stop_token stop);
  // The type of challenge of that attempt. Throws Error postern:challenge when none fits the names.
  ChallengeType challengeFor(const std::vector<std::string>& names, int failedValidations) const;
  // RFC 9773; nothing when this CA does not do that.
  std::optional<RenewalInfo> renewalInfo(const tls::CertifiedKey& certificate, const std::optional<RenewalInfo>& before,
                                         double chance, Pace& pace, std::stop_token stop);
  // Has the account made, or found: for a fallback, before it is needed. Throws Error or Stopped.
  void makeReady(Pace& pace, std::stop_token stop);
  // Before then the CA wants to hear of no account.
  Time readyFrom(Time now) const;

  // --- provider_account.cc: what an administrator asks for. Block on the network; throw Error and Stopped. Of the
  // answers the provider's name is the caller's to fill in.
  AccountAnswer account(std::stop_token stop);
  AccountAnswer rolloverAccount(std::stop_token stop);
  AccountAnswer deactivateAccount(std::stop_token stop);
  // By the account, or where that cannot by the certificate's own key.
  void revoke(const tls::CertifiedKey& certificate, int reason, std::stop_token stop);

  // When the directory's limits let such an order out.
  Time earliest(const std::vector<std::string>& names, OrderKind kind, Time now) const {
    return gate_->earliest(*ledger_, names, kind, now);
  }
  // What the one's orders leave, the other's may take.
  bool sharesLimitsWith(const ProviderCare& other) const { return gate_ == other.gate_; }
  int ordersAtOnce() const;
  Duration longestWait() const;  // of an attempt, beside the CA's: DNS propagation

  // What an order's end says about the provider. A name that could not be validated says that it works.
  void succeeded();
  void failed(const Problem& problem, Time at);

  std::string accountUrl() const;  // "" when unknown
  // state and lastError; name and directory are the section's
  ProviderStatus status() const;

 private:
  // A client with its account; replaced whole when the account or the trust changes, while orders go on with theirs.
  struct Connection {
    std::shared_ptr<Transport> transport;
    std::unique_ptr<Client> client;
    bool contactTold = true;  // else the next order tells the CA
  };
  using ConnectionRef = std::shared_ptr<Connection>;

  // The connection with an account, made by one order while the others wait. `refused`: the one whose account the CA
  // does not know any more.
  ConnectionRef ready(Pace& pace, std::stop_token stop, const ConnectionRef& refused = nullptr);
  ConnectionRef connect(const Provider& provider, std::shared_ptr<Transport> transport, const std::string& refusedUrl,
                        Pace& pace, std::stop_token stop);
  tls::CertifiedKeyRef issued(const OrderTask& task, Journal& journal, std::stop_token stop);
  void noteFailure(const OrderTask& task, const Error& error);
  void enterIssuance(OrderGate::Pass& pass);
  std::shared_ptr<Solver> solverFor(ChallengeType type);
  bool updateContact(Client& client, const Provider& provider, Account account, std::stop_token stop);
  std::string registered(Client& client, const Provider& provider, bool keyIsNew, std::stop_token stop);
  void noteMeta(const Json& meta);
  void rememberTold(Time until);
  // provider_account.cc
  [[noreturn]] void refuseDeactivated(const Account& account) const;
  Account usableAccount() const;
  // Whether the CA knows the account's next key; then that is the account's key from now on.
  bool settleRollover(Transport& transport, Account& account, Pace& pace, std::stop_token stop);
  bool isLockedOut(Client& client, std::stop_token stop) const;
  std::shared_ptr<Transport> transportNow();
  void dropConnection();  // the next order makes one anew

  const std::string directory_;
  const std::shared_ptr<Storage> storage_;
  const Manager::Parts parts_;
  const std::shared_ptr<LedgerFile> ledger_;
  const std::shared_ptr<OrderGate> gate_;

  std::mutex administering_;  // one change of the account at a time

  mutable std::mutex mutex_;  // guards what follows; never held during a request
  Provider provider_;
  unsigned long trust_ = 0;  // changes with ca-file and with the account: what is being made then is not kept
  std::shared_ptr<Transport> transport_;
  ConnectionRef connection_;
  std::string accountUrl_;
  std::condition_variable_any made_;
  bool making_ = false;
  unsigned long turn_ = 0;        // of making the connection
  std::optional<Error> notMade_;  // why the last turn failed
  std::map<ChallengeType, std::shared_ptr<Solver>> solvers_;
  ProviderStatus::State state_ = ProviderStatus::State::Unknown;
  std::optional<LastError> lastError_;
};

// A refusal of onlyReturnExisting that may mean that the CA has no account with the key: not all say it as RFC 8555
// section 7.3.1 does, least of all those that want an external account with every newAccount.
bool saysKeyIsUnknown(const Problem& problem);

// A problem as `status` shows it.
LastError lastErrorOf(const Problem& problem, Time at);

}  // namespace postern::acme
