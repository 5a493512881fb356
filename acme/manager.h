// Manager: keeps every wanted certificate obtained and renewed, shared by all listeners.
//
// Any thread may call anything here; nothing blocks for the network except where said. The manager owns a few threads:
// one that decides what is due (at the latest every few minutes, from the wall clock), and one per order under way, at
// most `orders` per provider; providers and certificates do not hold one another up. Certificates go into the
// CertificateStore; the cached ones are published by apply() before it returns, so that they are served before the
// first accept.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "acme/error.h"
#include "acme/http_challenges.h"
#include "acme/ledger.h"
#include "acme/provider.h"
#include "acme/transport.h"
#include "base/clock.h"
#include "base/log.h"
#include "tls/alpn_challenges.h"
#include "tls/certificate_store.h"

namespace postern::acme {

// A certificate somebody wants: names of a listener's `hostname`, or an entry of a provider's `domains`.
struct Wanted {
  std::string provider;
  std::vector<std::string> names;  // the first is primary
  bool operator==(const Wanted&) const = default;
};

struct Plan {
  std::vector<Provider> providers;
  std::vector<Wanted> certificates;
  bool operator==(const Plan&) const = default;
};

enum class CertificateState { Pending, Issuing, Valid, Failing, Expired };
std::string_view nameOf(CertificateState state);
enum class RenewReason { Lifetime, RenewBefore, Ari, Expiry, Forced };
std::string_view nameOf(RenewReason reason);

struct LastError {
  std::string type, detail, name;
  Time at;
};

struct CertificateStatus {
  tls::CertificateId id;
  std::vector<std::string> names;  // primary first
  std::string provider, keyType;
  CertificateState state = CertificateState::Pending;
  tls::CertifiedKeyRef certificate;  // what is in the store; null when none
  std::optional<Time> renewAt;
  std::optional<RenewReason> renewReason;
  std::optional<Time> nextAttempt;
  int attempts = 0;  // failed ones in a row
  std::optional<LastError> lastError;
};

struct ProviderStatus {
  std::string name, directory, account;  // account URL, "" when unknown
  enum class State { Ok, Failing, Unknown } state = State::Unknown;
  std::optional<LastError> lastError;
  std::vector<LimitState> ledger;
};

struct Status {
  std::vector<CertificateStatus> certificates;
  std::vector<ProviderStatus> providers;
};

struct RenewRequest {
  std::vector<std::string> names;  // any name of a certificate; empty: all
  std::string provider;            // "" : any
  bool force = false;
};
struct RenewAnswer {
  struct One {
    tls::CertificateId id;
    bool ordered;       // an attempt begins now
    std::string words;  // "ordered", "not due before 2026-03-01T12:00:00Z"
  };
  std::vector<One> certificates;  // empty: no certificate has such a name
};

// What an administrator wants to be told of at once.
struct Event {
  enum class Kind {
    Renewed,   // a certificate is there, the first or a new one
    Failing,   // the first failure after a success, and each that changes its type
    Expiring,  // renewal is overdue: less than half of the time it was to have is left
    Expired
  } kind;
  CertificateStatus certificate;  // as it is then
};
std::string_view nameOf(Event::Kind kind);  // "renewed", "failing", "expiring", "expired"

// An account as the CA knows it.
struct AccountAnswer {
  std::string provider, directory, url, status, thumbprint;
  std::vector<std::string> contact;
  std::string termsOfService;            // URL; "" when none
  bool externalAccountRequired = false;  // the directory says so
};

struct RevokeAnswer {
  struct One {
    tls::CertificateId id;
    std::string serial;
  };
  std::vector<One> revoked;  // empty: no certificate has such a name
};

class Manager {
 public:
  struct Parts {  // all outlive the manager
    Clock& clock;
    Log& log;
    tls::CertificateStore& store;
    tls::AlpnChallenges& challenges;
    HttpChallenges& httpChallenges;
    TransportFactory transports;
    std::function<void(const Event&)> events;  // on a thread of the manager's; returns at once; may be empty
    // Of the deciding thread: after it the wall clock is looked at again, so that suspend and clock changes are
    // noticed.
    Duration longestSleep = std::chrono::seconds(60);
  };
  explicit Manager(Parts parts);
  ~Manager();  // ends every order at once; they are resumed at the next start

  // Opens the caches that `plan` needs and that are not open yet, without acting; throws StorageUnavailable. A reload
  // calls it before anything changes; what it opened and apply() then does not want is closed again.
  void prepare(const Plan& plan);
  // Goes over to `plan`. Certificates in the cache are published before this returns; orders for certificates that are
  // wanted unchanged go on, others end; failures that only a changed configuration could mend are tried at once.
  // The deciding thread starts with start(), so that nothing is ordered before the listeners stand.
  void apply(const Plan& plan);
  void start();
  // Decides again at once: the clock was set. It would be noticed within a minute anyhow.
  void wake();

  // The self-signed or pending side of a certificate: the key of its pending order, for the bootstrap certificate. Null
  // when the cache cannot keep one.
  tls::KeyPtr pendingKey(const tls::CertificateId& id);
  // Every certificate in every open cache, any generation, with the provider it was found under ("acme:<name>").
  std::vector<std::pair<std::string, tls::CertifiedKeyRef>> cached() const;

  RenewAnswer renew(const RenewRequest& request);
  // Blocks until the attempts under way or due now for `ids` have ended, or `stop`. True when each ended in a newer
  // certificate.
  bool waitFor(const std::vector<tls::CertificateId>& ids, std::stop_token stop);

  Status status() const;

  // --- the rest of the life cycle (RFC 8555 sections 7.3 and 7.6). They block for the network; throw Error, whose
  // words are for the administrator, and Stopped.
  AccountAnswer account(const std::string& provider, std::stop_token stop);
  AccountAnswer rolloverAccount(const std::string& provider, std::stop_token stop);  // a new account key
  // Nothing more is ordered with this account, also after a restart, until its folder is removed from the cache.
  AccountAnswer deactivateAccount(const std::string& provider, std::stop_token stop);
  // Revokes the certificates in service that have the name, by the account's key or, where the CA does not take that,
  // by the certificate's own; then orders new ones with new keys. `provider` "": any.
  RevokeAnswer revoke(const std::string& name, const std::string& provider, int reason, std::stop_token stop);

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace postern::acme
