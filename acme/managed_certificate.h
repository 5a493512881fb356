// ManagedCertificate: one wanted certificate of one key type with all that is alive about it: the decisions
// (CertificateCare), its folder at each provider, the certificate itself, and the thread that works for it.
//
// Not thread-safe: the manager's lock guards it, except the constructor and what the routes hold. Lives from the first
// apply() that wants it by these routes until none does and its last work has ended.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "acme/certificate_care.h"
#include "acme/manager.h"
#include "acme/manager_agenda.h"
#include "acme/pace.h"
#include "acme/provider_care.h"

namespace postern::acme {

// A section of the configuration that wants the certificate. Two may share it (contract section 4).
struct CareSection {
  tls::CertificateId id;
  std::string provider;
  std::optional<std::chrono::seconds> renewBefore;
  bool operator==(const CareSection&) const = default;
};

// What a thread does for a certificate now.
struct Work {
  enum class Kind { Order, RenewalInfo } kind;
  std::size_t route;  // whose slot it takes
  std::jthread thread;
  Duration longest;
  Time deadline;
  bool deadlinePassed = false;
  bool ended = false;  // its thread touches nothing more and waits to be joined
};

struct ManagedCertificate {
  struct Route {
    std::string name;  // of the section
    std::shared_ptr<ProviderCare> provider;
    std::shared_ptr<ProviderCare> staging;      // null: none
    std::shared_ptr<CertificateFolder> folder;  // filled by the constructor
  };

  // Reads certificate, histories and pending orders from the caches; `names` with the primary first.
  ManagedCertificate(std::vector<Route> routes, std::vector<std::string> names, tls::KeyType keyType, Clock& clock,
                     Log& log);

  void want(std::vector<std::string> names, std::vector<CareSection> sections);
  void unwant() { want(names, {}); }
  bool wanted() const { return !sections.empty(); }

  // Goes over to a certificate that is stored, with what it ends.
  void hold(tls::CertifiedKeyRef stored, std::size_t route, Time now);
  // What `limits` of CertificateCare::next are for this certificate.
  CertificateCare::Limits limits(Time now) const;
  // What the decisions rest on about a certificate of a route.
  static CertificateCare::Held heldBy(const tls::CertifiedKey& certificate, std::size_t route);

  bool ordering() const { return work && work->kind == Work::Kind::Order && !work->ended; }
  ProviderCare& providerOf(std::size_t route) const { return *routes[route].provider; }
  CertificateFolder& folderOf(std::size_t route) const { return *routes[route].folder; }
  CertificateStatus status(const CareSection& section, Time now) const;
  // Of each section, or what it was before the publication under way.
  std::vector<CertificateStatus> statuses(Time now) const;

  std::vector<Route> routes;
  std::vector<std::string> names;
  const tls::KeyType keyType;
  std::vector<CareSection> sections;
  tls::CertifiedKeyRef certificate;
  std::vector<CertificateStatus> before;  // while a new certificate is on its way to the listeners; else empty
  std::unique_ptr<CertificateCare> care;
  Pace pace, stagingPace;  // each CA's own
  std::optional<Work> work;
  Agenda::Place place;
  bool expirySaid = false, lateSaid = false;  // in log and events
  std::optional<Time> delaySaid;
  bool unwritableSaid = false;  // by the thread of the order
  std::string failureSaid;      // type of the last failure that was told as an event
};

// By its name in the configuration, as tls::nameOf; EcdsaP256 for what is none.
tls::KeyType keyTypeNamed(std::string_view name);

}  // namespace postern::acme
