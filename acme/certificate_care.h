// CertificateCare: what is decided and remembered about one wanted certificate: when it is due, by which provider, what
// a success or a failure means for the next attempt.
//
// Facts in, decisions out: it knows neither disk nor network nor the certificate itself, so that years of it run in a
// test. Not thread-safe: its owner's lock guards it. Time and chance come in.
#pragma once

#include <cstddef>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "acme/certificate_folder.h"
#include "acme/ledger.h"
#include "acme/renewal.h"
#include "acme/renewal_info.h"

namespace postern::acme {

class CertificateCare {
 public:
  // A way to the certificate: the provider that is wanted first, then each of its `fallback`.
  struct Route {
    std::string provider;  // the section's name
    AttemptHistory history;
    bool resumable = false;     // an order begun waits to be ended
    std::string configuration;  // digest of what decides whether an order can succeed
    bool hasStaging = false;
  };
  // The certificate there is.
  struct Held {
    CertificateFacts facts;
    std::string renewalId;  // RFC 9773; "" when it has none
    std::size_t route = 0;  // who issued it
  };
  // An attempt at an order, due at `at`.
  struct Attempt {
    Time at;
    std::size_t route = 0;
    OrderKind kind = OrderKind::First;
    bool forced = false;        // an administrator wants it although nothing is due
    bool byAri = false;         // the CA's window alone makes it due
    bool passesLimits = false;  // the certificate would expire before the ledger lets it out: it goes out anyway
    bool provedFirst = false;   // at staging: the last attempt failed of what another one may fail of again
    std::string replaces;       // certificate ID for newOrder
  };
  // When the ledger of a route's directory lets out an order of this kind; asked only about what is due.
  using Limits = std::function<Time(std::size_t route, OrderKind kind)>;

  // At least one route. `info`: what the CA told about the held certificate, as kept.
  CertificateCare(std::vector<Route> routes, std::optional<Held> held, std::optional<RenewalInfo> info, Time now);

  // --- what is wanted: `renew-before` of each section that wants it; empty: nobody does any more.
  void want(std::vector<std::optional<std::chrono::seconds>> renewBefores) { renewBefores_ = std::move(renewBefores); }
  bool wanted() const { return !renewBefores_.empty(); }
  // A failure that a changed configuration may have mended is tried again at once.
  void configure(std::size_t route, std::string configuration, bool hasStaging);

  // --- decisions
  std::optional<Renewal> renewal(Time now) const;  // of the certificate there is, by the section that wants it first
  Time dueAt(Time now) const;                      // when there is something to do, back-off and limits aside
  Attempt next(Time now, const Limits& limits) const;
  // When the CA is to be asked about the held certificate (RFC 9773); nothing when there is nothing to ask.
  std::optional<Time> askAt(Time now) const;
  // From when on it is late: less than half of the time is left in which it was to be renewed.
  std::optional<Time> lateFrom() const;
  int failures() const;  // in a row, of all routes
  CertificateState state(Time now, bool running) const;
  RenewReason reasonNow(Time now) const;

  const std::vector<Route>& routes() const { return routes_; }
  const std::optional<Held>& held() const { return held_; }
  const std::optional<RenewalInfo>& info() const { return info_; }
  // The last failure that still stands.
  const AttemptHistory* lastFailure() const;

  // --- transitions
  // An administrator asks: the back-off is forgotten, and the next attempt is due now.
  void orderNow(Time now, bool forced);
  void forgetOrderNow() { ordered_.reset(); }
  void pendingDropped(std::size_t route);             // the order under way there was given up, with its key
  void newKeyIsThere();                               // the successor of what was revoked is the one held
  void wantNewKey(const std::string& revokedSerial);  // the one there is was revoked: it is due until there is another
  void begin(const Attempt& attempt, Time now);
  void succeeded(Held held, Time now);
  // Returns the time of the next attempt, limits aside. `resumable`: the order under way goes on in it.
  Time failed(const Problem& problem, std::optional<Time> retryAfter, bool resumable, Time now, double jitter);
  void stopped(bool resumable, Time now);
  void givenBack(const Attempt& attempt, Time now);  // limits did not let it out after all; nothing was sent
  void told(RenewalInfo info);
  // The CA did not answer the question; `retryAfter`: as it told.
  void notTold(Time now, std::optional<Time> retryAfter = std::nullopt);

  const std::optional<Attempt>& underWay() const { return attempt_; }
  std::optional<bool> lastAttempt;  // how the last one ended, since the start

 private:
  struct Ordered {
    Time at;
    bool forced;
  };
  bool revoked() const;  // the held one, by us
  std::optional<Time> ariPick() const;
  std::optional<std::size_t> onlyToBeResumed(Time now) const;
  OrderKind kindFor(std::size_t route, Time now) const;
  Time heeded(std::size_t route, Time due, Time now) const;  // `due` with the route's back-off
  Attempt attemptBy(std::size_t route, Time due, Time now, const Limits& limits) const;
  bool cannotIssue(const Attempt& first, Time now) const;

  std::vector<Route> routes_;
  std::optional<Held> held_;
  std::optional<RenewalInfo> info_;
  int unanswered_ = 0;  // questions in a row
  const Time since_;
  std::vector<std::optional<std::chrono::seconds>> renewBefores_;
  std::optional<Ordered> ordered_;
  std::optional<Attempt> attempt_;   // the one under way
  std::optional<Time> resumeSince_;  // an order begun waits to be ended
};

}  // namespace postern::acme
