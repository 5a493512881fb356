// FakeCa: the server's side of RFC 8555 behind a Transport, for tests. It checks what a strict CA checks (signatures,
// single use of nonces, kid and jwk, url, ownership, names of the CSR), really signs certificates, and fails on demand.
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
#include "tests/support/test_issuer.h"
#include "tls/alpn_challenges.h"
#include "tls/certified_key.h"

namespace postern::test {

enum class Failure {
  Refused,          // connection refused: the request does not reach the CA
  Timeout,          // the same, after the request's whole time-out has passed on the clock
  Hang,             // blocks until release() or the stop request
  ResetMidBody,     // the request has its effect, the answer breaks off
  AnswerLost,       // the request has its effect, no answer comes (time-out)
  ServerError,      // 500 with a problem document; no effect, as for all below
  Unavailable,      // 503 without a body, Retry-After in seconds
  RateLimited,      // 429 with a problem document, Retry-After as a date
  RateLimitedHtml,  // 429 of a gateway: HTML, Retry-After in seconds
  NotFound,         // 404 in HTML
  BadNonce,         // 400 badNonce with a fresh nonce
  NoNonce,          // effect and answer, but without Replay-Nonce
  TruncatedJson,    // effect, the answer's body is cut in half
  WrongJson,        // effect, the answer's body is JSON of another shape
};

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

class FakeCa : public acme::Transport {
 public:
  // Finds the problem of an answer, nothing when it is right.
  // Called under the CA's lock: it must not call the CA.
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

  // --- what goes wrong. Stages: directory newNonce newAccount account newOrder order authorization challenge finalize
  // certificate; "" is any signed request. Each of these lasts for `times` requests of the stage, in the order of the
  // calls.
  void failNext(const std::string& stage, Failure failure, int times = 1);
  void refuseNext(const std::string& errorType, const std::string& stage = "", int times = 1);  // "rejectedIdentifier"
  void release();  // ends every Hang, and lets those to come through
  void rejectNonces(double probability, unsigned seed = 1);
  void failName(const std::string& name, acme::Problem problem);
  void unresolvable(const std::string& name);  // failName with problem type dns
  void mendName(const std::string& name);
  void failOrders(std::optional<acme::Problem> problem);  // after finalize orders become invalid with it
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
  void termsOfService(std::string url) {
    set([&] { terms_ = std::move(url); });
  }
  void validateWith(Validation validation) {
    set([&] { validation_ = std::move(validation); });
  }
  void forgetAccounts() {
    set([&] { accounts_.clear(); });
  }
  void forgetOrders() {
    set([&] {
      orders_.clear();
      authorizations_.clear();
    });
  }
  void expireAuthorizations();  // pending and valid ones
  void moveUrls() {
    set([&] { ++urlVersion_; });
  }  // newOrder and its like move; the old ones answer 404
  // --- what happened
  int count(const std::string& stage) const;  // requests that reached a stage, failed on demand or not
  int total() const;
  int nonceRejections() const { return get(nonceRejections_); }
  int issued() const { return get(issued_); }  // certificates
  int orders() const { return get(ordersMade_); }
  int accounts() const { return get(accountsMade_); }
  int repeatedAnswers() const { return get(repeatedAnswers_); }  // to challenges that had been answered before
  std::vector<std::string> contacts() const;                     // of the account made or changed last
  std::vector<std::vector<std::string>> orderedNames() const;    // of each order, in time's order

 private:
  struct Account {
    std::string url, thumbprint;
    tls::KeyPtr key;
    std::vector<std::string> contact;
  };
  struct Authorization {
    std::string account, name, token, status = "pending", challengeStatus = "pending", answeredType;
    int pollsLeft = 0;
    std::optional<acme::Problem> problem;
  };
  struct Order {
    std::string account, status = "pending", certificate;
    std::vector<std::string> names, authorizations;  // those by their ids
    int pollsLeft = 0;
    Time expires{};
    std::optional<acme::Problem> problem;
  };
  struct Certificate {
    std::string account, pem;
  };
  struct Signed {  // a request whose signature holds
    std::string url, account, thumbprint;
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

  // How requests go in and out (fake_ca.cc).
  std::string stageOf(const std::string& url) const;
  Planned planned(const std::string& stage);
  std::optional<acme::HttpResponse> failedBefore(const Planned& plan, const acme::HttpRequest& request,
                                                 std::unique_lock<std::mutex>& lock, std::stop_token stop);
  acme::HttpResponse failedAfter(const Planned& plan, acme::HttpResponse response, const acme::HttpRequest& request,
                                 std::unique_lock<std::mutex>& lock, std::stop_token stop);
  acme::HttpResponse answer(const std::string& stage, const acme::HttpRequest& request);
  Signed verified(const std::string& stage, const acme::HttpRequest& request);
  acme::HttpResponse json(int status, const Json& body, const std::string& type = "application/json");
  acme::HttpResponse refuse(const Refusal& refusal);
  std::string newNonce();

  // What they ask for (fake_ca_resources.cc).
  acme::HttpResponse directory();
  acme::HttpResponse newAccount(const Signed& request);
  acme::HttpResponse account(const Signed& request);
  acme::HttpResponse newOrder(const Signed& request);
  acme::HttpResponse order(const Signed& request);
  acme::HttpResponse authorization(const Signed& request);
  acme::HttpResponse challenge(const Signed& request);
  acme::HttpResponse finalize(const Signed& request);
  acme::HttpResponse certificate(const Signed& request);
  std::string authorizationFor(const std::string& account, const std::string& name);
  void validate(Authorization& authorization);
  std::optional<acme::Problem> checkAlpn(const std::string& name, const std::string& keyAuthorization) const;
  void settle(Order& order);
  std::string issue(EVP_PKEY* key, const Order& order) const;
  Json orderJson(const std::string& id, const Order& order) const;
  Json authorizationJson(const std::string& id, const Authorization& authorization) const;
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
  bool future_ = false, reuse_ = false;
  std::vector<std::string> offered_{"http-01", "dns-01", "tls-alpn-01"};
  std::string terms_ = "https://ca.test/terms";
  Validation validation_;
  std::map<std::string, acme::Problem> failingNames_;
  std::optional<acme::Problem> failOrders_;
  std::optional<WrongCertificate> wrong_;
  std::map<std::string, Account> accounts_;  // by URL
  std::map<std::string, Authorization> authorizations_;
  std::map<std::string, Order> orders_;
  std::map<std::string, Certificate> certificates_;
  std::vector<std::vector<std::string>> orderedNames_;
  std::string lastAccount_;
  int lastId_ = 0, lastNonce_ = 0, issued_ = 0, ordersMade_ = 0, accountsMade_ = 0, repeatedAnswers_ = 0,
      nonceRejections_ = 0;
};

}  // namespace postern::test
