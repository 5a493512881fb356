// CertificateCare: one wanted certificate: what is served for it, what has been tried, and what is due when.
//
// Not thread-safe: the manager's lock guards it, except folder() and the constructor. It decides and remembers, and
// does neither requests nor writes; the manager's threads do. Lives from the first apply() that wants the names until
// none does and its last order has ended.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "acme/manager.h"
#include "acme/provider_care.h"
#include "acme/renewal.h"
#include "acme/storage.h"

namespace postern::acme {

// A section of the configuration that wants the certificate. Two may share it (contract section 4).
struct CareSection {
  tls::CertificateId id;
  std::string provider;
  std::optional<std::chrono::seconds> renewBefore;
  bool operator==(const CareSection&) const = default;
};

struct OrderUnderWay {
  std::jthread thread;
  Time deadline;
  bool deadlinePassed = false;
  bool ended = false;  // its thread touches nothing more and waits to be joined
};

class CertificateCare {
 public:
  // Reads certificate, history and pending order from the cache.
  CertificateCare(std::shared_ptr<ProviderCare> provider, std::vector<std::string> names, Time now, Log& log);

  // --- what is wanted
  // `names` with the primary first. A failure that a changed configuration may have mended is forgotten here.
  void want(std::vector<std::string> names, std::vector<CareSection> sections);
  void unwant() { sections_.clear(); }
  bool wanted() const { return !sections_.empty(); }

  const std::vector<std::string>& names() const { return names_; }
  const std::vector<CareSection>& sections() const { return sections_; }
  ProviderCare& provider() const { return *provider_; }
  CertificateFolder& folder() const { return *folder_; }
  const tls::CertifiedKeyRef& certificate() const { return certificate_; }
  const AttemptHistory& history() const { return history_; }

  // --- decisions
  std::optional<Renewal> renewal(Time now) const;  // of the certificate there is, by the section that wants it first
  Time dueAt(Time now) const;                      // when there is something to do, back-off aside
  Time nextAttempt(Time now) const;                // the same with the back-off
  bool failing() const { return history_.failures > 0; }
  CertificateState state(Time now) const;
  CertificateStatus status(const CareSection& section, Time now) const;

  // --- transitions
  // An administrator asks: the back-off is forgotten, and the next attempt is due now.
  void orderNow(Time now, bool forced);
  void begin(Time now);
  void succeeded(tls::CertifiedKeyRef certificate, Time now);
  // Returns the time of the next attempt. `resumable`: the order under way goes on in it.
  Time failed(const Problem& problem, std::optional<Time> retryAfter, bool resumable, Time now, double jitter);
  void stopped(bool resumable, Time now);

  // --- the order under way, kept by the manager
  std::optional<OrderUnderWay> underWay;
  bool running() const { return underWay && !underWay->ended; }
  std::optional<bool> lastAttempt;  // how the last one ended, since the start
  bool expirySaid = false;          // in the log

 private:
  struct Ordered {
    Time at;
    bool forced;
  };

  const std::shared_ptr<ProviderCare> provider_;
  std::vector<std::string> names_;
  const std::shared_ptr<CertificateFolder> folder_;
  const Time since_;
  std::vector<CareSection> sections_;
  tls::CertifiedKeyRef certificate_;
  AttemptHistory history_;
  std::optional<Ordered> ordered_;
  std::optional<Ordered> attempt_;   // what the attempt under way was ordered as
  std::optional<Time> resumeSince_;  // an order begun waits to be ended
};

}  // namespace postern::acme
