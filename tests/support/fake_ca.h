// FakeCa: the server's side of RFC 8555, 8738 and 9773 behind a Transport, for tests. It checks what a strict CA checks
// (signatures, single use of nonces, kid and jwk, url, ownership, names of the CSR), really signs certificates, and
// fails on demand.
//
// Any thread may call anything here. It lives by the clock that it is given and keeps everything until it goes.
#pragma once

#include <condition_variable>
#include <cstddef>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <random>
#include <set>
#include <string>
#include <vector>

#include "acme/error.h"
#include "acme/transport.h"
#include "base/clock.h"
#include "base/json.h"
#include "tests/support/fake_ca_failure.h"
#include "tests/support/test_issuer.h"
#include "tls/alpn_challenges.h"
#include "tls/certified_key.h"

namespace postern::test {

enum class WrongCertificate {
  OtherKey,
  OtherNames,
  MissingName,
  Expired,
  NotYetValid,
  LeafOnly,
  Garbage,
  WrongOrder,
  ClientOnly
};

struct SeenRequest {
  Time at;
  std::string stage, url;
  bool operator==(const SeenRequest&) const = default;
};

struct IssuedCertificate {
  std::string account, serial, renewalId, profile, replaces;  // serial: lower-case hexadecimal
  std::vector<std::string> names;
  Time notBefore, notAfter;
  std::optional<int> revoked;  // the reason
};

struct SeenRevocation {
  std::string serial;
  int reason;
  bool byCertificateKey;
  bool operator==(const SeenRevocation&) const = default;
};

struct RenewalWindow {
  Time start, end;
};

class FakeCa : public acme::Transport {
 public:
  // Finds the problem of an answer, nothing when it is right. This and the other callbacks are called under the CA's
  // lock: they must not call the CA.
  using Validation =
      std::function<std::optional<acme::Problem>(const std::string& name, const std::string& keyAuthorization)>;

  // Validates through `challenges` as a real CA does by TLS-ALPN-01; with null every answer is right.
  explicit FakeCa(Clock& clock, tls::AlpnChallenges* challenges = nullptr, std::string host = "ca.test");
  ~FakeCa() override;

  acme::HttpResponse send(const acme::HttpRequest& request, std::stop_token stop) override;
  std::string directoryUrl() const { return base_ + "/directory"; }
  acme::TransportFactory factory();  // transports that forward to this CA, which must outlive them
  // The CA whose directoryUrl() a provider names; one that is unknown is a connection refused.
  static acme::TransportFactory factory(std::vector<FakeCa*> cas);
  std::string rootPem() const { return issuer_.rootPem(); }

  // --- what goes wrong. Stages: those of stages(); "" is any signed request. Each of these lasts for `times` requests
  // of the stage, in the order of the calls.
  void failNext(const std::string& stage, Failure failure, int times = 1);
  // "rejectedIdentifier"; with rateLimited and serverInternal goes a Retry-After.
  void refuseNext(const std::string& errorType, const std::string& stage = "", int times = 1);
  void release();  // ends every Hang, and lets those to come through
  void rejectNonces(double probability, unsigned seed = 1);
  void failName(const std::string& name, acme::Problem problem);
  void unresolvable(const std::string& name);  // failName with problem type dns
  void mendName(const std::string& name);
  // After finalize orders become invalid with it; without a reason where it has no type.
  void failOrders(std::optional<acme::Problem> problem);
  void wrongCertificate(std::optional<WrongCertificate> wrong);
  void retryAfter(const Duration& time) {
    set([&] { retryAfter_ = time; });
  }  // what 429 and 503 tell; 1 h
  // --- how it behaves
  void lifetime(Duration time) {
    set([&] { lifetime_ = time; });
  }  // of certificates; 90 days
  void orderPolls(int polls) {
    set([&] { orderPolls_ = polls; });
  }  // in `processing` after finalize; 0
  void authorizationPolls(int polls) {
    set([&] { authorizationPolls_ = polls; });
  }  // before it validates; 0
  void pollRetryAfter(std::optional<Duration> time) {
    set([&] { pollRetryAfter_ = time; });
  }
  void speakTheFuture(bool on) {
    set([&] { future_ = on; });
  }  // unknown members, statuses, challenge types without token
  void offerOnly(std::vector<std::string> types) {
    set([&] { offered_ = std::move(types); });
  }
  void reuseAuthorizations(bool on) {
    set([&] { reuse_ = on; });
  }
  // An order that waits is given out again to whoever orders the same names and profile (Let's Encrypt, Sectigo).
  void reuseOrders(bool on) {
    set([&] { reuseOrders_ = on; });
  }
  // What a failed validation leaves. Invalid: the authorization (RFC 8555 section 7.1.6). OpenChallenge: the challenge
  // pending, with its error, found before its answer was answered; InvalidChallenge: that alone, and the authorization
  // pending (both step-ca). Waiting: nothing to be seen, and nobody looks before the challenge is answered once more
  // (Sectigo).
  enum class Leaves { Invalid, OpenChallenge, InvalidChallenge, Waiting };
  void failedValidationLeaves(Leaves what) {
    set([&] { leaves_ = what; });
  }
  void refuseRepeatedAnswers(bool on) {
    set([&] { refuseRepeatedAnswers_ = on; });
  }  // to challenges that are being validated (HARICA)
  // A key is looked for only where it comes with an external account (Sectigo's answer to onlyReturnExisting).
  void wantBindingFirst(bool on) {
    set([&] { bindingFirst_ = on; });
  }
  void termsOfService(std::string url) {
    set([&] { terms_ = std::move(url); });
  }
  void validateWith(Validation validation) {
    set([&] { validation_ = std::move(validation); });
  }
  // What the CA's web client reads at http://NAME/.well-known/acme-challenge/TOKEN; nothing: connection refused.
  using HttpFetch = std::function<std::optional<std::string>(const std::string& name, const std::string& token)>;
  void fetchHttpWith(HttpFetch fetch) {
    set([&] { httpFetch_ = std::move(fetch); });
  }
  // The TXT records that the CA finds at "_acme-challenge.NAME".
  using DnsLookup = std::function<std::vector<std::string>(const std::string& recordName)>;
  void lookUpDnsWith(DnsLookup lookup) {
    set([&] { dnsLookup_ = std::move(lookup); });
  }
  // --- what it offers beyond the least
  // An external account that new accounts may be bound to, or must be. `hmacKey` raw.
  void externalAccount(const std::string& keyId, const std::string& hmacKey, bool required = true);
  void offerProfiles(std::map<std::string, std::string> profiles) {
    set([&] { profiles_ = std::move(profiles); });
  }
  void profileLifetime(const std::string& profile, Duration time) {
    set([&] { profileLifetimes_[profile] = time; });
  }
  // Names of the roots of alternate chains, which go over the same intermediate's key.
  void alternateRoots(const std::vector<std::string>& names);
  void withhold(std::set<std::string> resources) {
    set([&] { withheld_ = std::move(resources); });
  }  // from the directory: "keyChange", "revokeCert"
  // ARI (RFC 9773). Without a rule the window is the twenty-fourth of the lifetime after two thirds of it.
  void offerRenewalInfo(bool on) {
    set([&] { renewalInfo_ = on; });
  }
  using WindowRule = std::function<RenewalWindow(const IssuedCertificate&)>;
  void suggestWindows(WindowRule rule) {
    set([&] { windowRule_ = std::move(rule); });
  }
  void suggestWindow(const std::string& serial, RenewalWindow window) {
    set([&] { windows_[serial] = window; });
  }  // goes before the rule
  void explainWindows(std::string url) {
    set([&] { explanation_ = std::move(url); });
  }
  void renewalRetryAfter(std::optional<std::string> header) {
    set([&] { renewalRetryAfter_ = std::move(header); });
  }  // as it stands in the header; "21600"
  void refuseReplaces(std::optional<std::string> errorType) {
    set([&] { refuseReplaces_ = std::move(errorType); });
  }  // each newOrder with `replaces`
  void forgetAccounts() {
    set([&] { accounts_.clear(); });
  }
  void forgetOrders() {
    set([&] {
      orders_.clear();
      authorizations_.clear();
    });
  }
  void forgetAuthorizations();  // while their orders stay (404)
  void forgetCertificates() {
    set([&] { certificates_.clear(); });
  }
  void expireAuthorizations();  // pending and valid ones
  void hurryAuthorizations();   // all that wait are decided at the look after the next
  void decideAuthorizations();  // ... now, with nobody looking
  void moveUrls() {
    set([&] { ++urlVersion_; });
  }  // newOrder and its like move; the old ones answer 404
  // --- what happened
  int count(const std::string& stage) const;  // requests that reached a stage, failed on demand or not
  int total() const;
  int failuresLeft() const;  // that were asked for with failNext() and refuseNext() and have not come up yet
  int nonceRejections() const { return get(nonceRejections_); }
  int issued() const { return get(issued_); }  // certificates
  int orders() const { return get(ordersMade_); }
  int accounts() const { return get(accountsMade_); }
  int repeatedAnswers() const { return get(repeatedAnswers_); }  // to challenges that had been answered before
  int deactivatedAuthorizations() const { return get(deactivatedAuthorizations_); }
  std::vector<std::string> contacts() const;                            // of the account made or changed last
  std::vector<std::vector<std::string>> orderedNames() const;           // of each order, in time's order
  std::vector<SeenRequest> requests() const { return get(requests_); }  // each that reached the CA, in time's order
  std::vector<IssuedCertificate> certificates() const { return get(issuedCertificates_); }
  std::vector<SeenRevocation> revocations() const { return get(revocations_); }
  std::vector<std::string> replaced() const { return get(replaced_); }  // renewal ids, by orders that were finalized
  std::vector<std::string> orderedProfiles() const { return get(orderedProfiles_); }  // of each order, "" for none
  std::string accountStatus() const;         // of the account made or changed last
  std::string accountThumbprint() const;     // the same
  std::vector<std::string> boundTo() const;  // key ids of external accounts, of each account that has one

 private:
  struct Account {
    std::string url, thumbprint, status = "valid", boundTo;
    tls::KeyPtr key;
    std::vector<std::string> contact;
  };
  struct Authorization {
    std::string account, name, token, status = "pending", challengeStatus = "pending", answeredType;
    int pollsLeft = 0;
    bool waits = false, lost = false;
    std::optional<acme::Problem> problem;
  };
  struct Order {
    std::string account, status = "pending", certificate, profile, replaces;
    std::vector<std::string> names, authorizations;  // those by their ids
    int pollsLeft = 0;
    Time expires{}, stuckUntil{};
    std::optional<acme::Problem> problem;
  };
  struct Certificate {
    std::string account, leaf, intermediate;  // in PEM
    std::string order;
    tls::KeyPtr key;  // of the CSR
  };
  struct Signed {                          // a request whose signature holds
    std::string url, account, thumbprint;  // account "" where the key itself signed
    Json payload;
    bool isGet = false;
    tls::KeyPtr key;
  };
  struct Planned {
    std::optional<Failure> failure;
    std::string refusal;
    int times = 1;
  };
  struct Refusal {  // thrown inside, becomes a problem document
    int status;
    std::string type, detail;
    static int statusOf(const std::string& type);
  };

  template <class Change>
  void set(Change change) {
    std::lock_guard lock(mutex_);
    change();
  }
  template <class T>
  T get(const T& value) const {
    std::lock_guard lock(mutex_);
    return value;
  }

  // How requests go in and out (fake_ca_wire.cc).
  std::string stageOf(const std::string& url) const;
  Planned planned(const std::string& stage);
  std::optional<acme::HttpResponse> failedBefore(const Planned& plan, const acme::HttpRequest& request,
                                                 std::unique_lock<std::mutex>& lock, std::stop_token stop);
  acme::HttpResponse failedAfter(const Planned& plan, acme::HttpResponse response, const acme::HttpRequest& request,
                                 std::unique_lock<std::mutex>& lock, std::stop_token stop);
  void arm(const Planned& plan, const std::string& stage, const acme::HttpRequest& request);
  acme::HttpResponse answer(const std::string& stage, const acme::HttpRequest& request);
  Signed verified(const std::string& stage, const acme::HttpRequest& request);
  acme::HttpResponse json(int status, const Json& body, const std::string& type = "application/json");
  acme::HttpResponse refuse(const Refusal& refusal);
  std::string newNonce();

  // Accounts and the directory (fake_ca_accounts.cc).
  acme::HttpResponse directory();
  acme::HttpResponse newAccount(const Signed& request);
  acme::HttpResponse account(const Signed& request);
  acme::HttpResponse keyChange(const Signed& request);
  std::string externalAccountOf(const Signed& request) const;  // key id of the binding, "" for none

  // Orders (fake_ca_resources.cc).
  acme::HttpResponse newOrder(const Signed& request);
  acme::HttpResponse order(const Signed& request);
  acme::HttpResponse authorization(const Signed& request);
  acme::HttpResponse challenge(const Signed& request);
  std::string authorizationFor(const std::string& account, const std::string& name);
  void validate(Authorization& authorization);
  std::optional<acme::Problem> checkAlpn(const std::string& name, const std::string& keyAuthorization) const;
  std::optional<acme::Problem> checkHttp(const Authorization& authorization, const std::string& expected) const;
  std::optional<acme::Problem> checkDns(const std::string& name, const std::string& keyAuthorization) const;
  void settle(Order& order);
  void demandReplaceable(const std::string& renewalId, const std::string& account) const;

  // Certificates (fake_ca_certificates.cc).
  acme::HttpResponse finalize(const Signed& request);
  acme::HttpResponse certificate(const Signed& request);
  acme::HttpResponse revokeCert(const Signed& request);
  acme::HttpResponse renewalInfo(const std::string& id);
  void issue(Certificate& certificate, const Order& order, std::optional<WrongCertificate> wrong) const;
  void record(const Certificate& certificate, const Order& order);

  Json orderJson(const std::string& id, const Order& order) const;
  Json authorizationJson(const std::string& id, const Authorization& authorization) const;
  std::vector<std::string> offeredTo(const Authorization& authorization) const;
  Json challengeJson(const std::string& id, const std::string& type, const Authorization& authorization) const;
  void addPollRetryAfter(acme::HttpResponse& response) const;

  std::string url(const std::string& stage, const std::string& id) const { return base_ + "/" + stage + "/" + id; }
  std::string entryUrl(const std::string& stage) const { return url(stage, std::to_string(urlVersion_)); }
  static std::string idOf(const std::string& url) { return url.substr(url.rfind('/') + 1); }
  std::string nextId() { return std::to_string(++lastId_); }
  // The resource that a request names; refused when there is none or it belongs to another account.
  template <class T>
  static T& owned(std::map<std::string, T>& all, const std::string& id, const Signed& request) {
    auto found = all.find(id);
    if (found == all.end()) throw Refusal{404, "malformed", "no such resource"};
    if (found->second.account != request.account) throw Refusal{403, "unauthorized", "it belongs to another account"};
    return found->second;
  }

  Clock& clock_;
  tls::AlpnChallenges* challenges_;
  std::string base_;
  TestIssuer issuer_;

  mutable std::mutex mutex_;
  std::condition_variable_any released_;
  bool release_ = false;
  std::map<std::string, std::vector<Planned>> plans_;
  std::map<std::string, int> counts_;
  std::set<std::string> nonces_;
  double rejectNonces_ = 0;
  std::mt19937 chance_{1};
  Duration retryAfter_ = std::chrono::hours(1), lifetime_ = std::chrono::hours(24 * 90);
  std::optional<Duration> pollRetryAfter_;
  int orderPolls_ = 0, authorizationPolls_ = 0, urlVersion_ = 1;
  bool future_ = false, reuse_ = false, reuseOrders_ = false, refuseRepeatedAnswers_ = false, bindingFirst_ = false;
  Leaves leaves_ = Leaves::Invalid;
  std::vector<std::string> offered_{"http-01", "dns-01", "tls-alpn-01"};
  std::string terms_ = "https://ca.test/terms";
  Validation validation_;
  HttpFetch httpFetch_;
  DnsLookup dnsLookup_;
  std::string externalKeyId_, externalKey_;
  bool externalRequired_ = false;
  std::map<std::string, std::string> profiles_;
  std::map<std::string, Duration> profileLifetimes_;
  std::vector<std::string> crossSigned_;  // the intermediate of each alternate chain
  std::set<std::string> withheld_;
  bool renewalInfo_ = false;
  WindowRule windowRule_;
  std::map<std::string, RenewalWindow> windows_;
  std::string explanation_;
  std::optional<std::string> renewalRetryAfter_ = "21600", refuseReplaces_;
  std::map<std::string, acme::Problem> failingNames_;
  std::optional<acme::Problem> failOrders_;
  std::optional<WrongCertificate> wrong_, wrongOnce_;
  bool stuckOnce_ = false, invalidOnce_ = false;
  std::map<std::string, Account> accounts_;  // by URL
  std::map<std::string, Authorization> authorizations_;
  std::map<std::string, Order> orders_;
  std::map<std::string, Certificate> certificates_;
  std::vector<std::vector<std::string>> orderedNames_;
  std::vector<SeenRequest> requests_;
  std::vector<IssuedCertificate> issuedCertificates_;
  std::vector<SeenRevocation> revocations_;
  std::vector<std::string> replaced_, orderedProfiles_;
  std::string lastAccount_;
  int lastId_ = 0, lastNonce_ = 0, issued_ = 0, ordersMade_ = 0, accountsMade_ = 0, repeatedAnswers_ = 0,
      deactivatedAuthorizations_ = 0, nonceRejections_ = 0;
};

}  // namespace postern::test
