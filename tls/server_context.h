// ServerContext: what one listener serves, as an SSL_CTX that is swapped whole.
//
// Any thread may call anything here. serve() and refresh() build the next serving aside and swap one pointer; a
// handshake takes the serving once, when its SSL is made, and keeps it, so running connections are never touched. What
// cannot be built changes nothing.
//
// A serving's SSL_CTX holds the policy and the listener's own certificate; further names (`sni`, `domains`) are put on
// the SSL in the ClientHello callback, from the same serving.
//
// Certificates of two key types for the same names stand side by side: a client that can use the preferred one gets
// that, any other the second. While one of two does not exist yet, the other is served alone;
// one that has expired is not preferred.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include "base/log.h"
#include "base/snapshot.h"
#include "tls/alpn_challenges.h"
#include "tls/certificate_store.h"
#include "tls/policy.h"
#include "tls/ticket_keys.h"

namespace postern::tls {

// What a client that asks for a name is shown, of each key type, the preferred first.
struct NameShown {
  std::string name;
  std::vector<CertifiedKeyRef> certificates;
};

struct SniRule {
  std::string subject;  // lower case, may be "*.example.org"
  CertificateId certificate;
  bool operator==(const SniRule&) const = default;
};

// What is served now, as `status` and the probe see it.
struct Served {
  CertifiedKeyRef certificate;               // null for a challenge-only context
  std::string source;                        // "acme:<name>", "certificate:<name>", "self-signed"
  std::vector<CertifiedKeyRef> further;      // of other key types, from the same source: for clients that cannot use
                                             // `certificate`
  std::vector<CertifiedKeyRef> all() const;  // the preferred one first; empty for a challenge-only context
  bool operator==(const Served&) const = default;
};

// What a listener is to serve: the configuration's part of a serving.
struct ServingPlan {
  std::string listener;  // its id, for the log and as session id context
  Policy policy;
  std::vector<std::string> alpn;       // protocols of this listener ("imap"); empty: none is ever agreed on
  std::vector<std::string> hostnames;  // the first is primary
  std::vector<CertificateId> own;      // of each key type, the preferred first; empty: self-signed is what is wanted
  Served meanwhile;                    // served while none of `own` has a certificate; never null
  std::vector<SniRule> sni;            // exact ones first, then wildcards, in the order of the configuration
  std::vector<std::vector<CertificateId>> domains;  // the provider's further certificates, each of every key type
  Time asOf{};                     // of two key types, one that had expired by then stands behind one that had not
  bool answersChallenges = false;  // speaks acme-tls/1 beside its normal traffic
  bool challengesOnly = false;     // speaks nothing else (own, meanwhile, alpn unused)
  bool operator==(const ServingPlan&) const = default;
};

struct Planned;
struct Serving;

class ServerContext {
 public:
  // The references must outlive this object. Throws Error when the plan cannot be built.
  ServerContext(ServingPlan plan, CertificateStore& store, TicketKeys& tickets, AlpnChallenges& challenges, Log& log);
  ~ServerContext();
  ServerContext(const ServerContext&) = delete;
  ServerContext& operator=(const ServerContext&) = delete;

  // Goes over to a new plan (a reload). Throws Error and stays as it was when that cannot be built.
  void serve(ServingPlan plan);
  // Looks into the store again; rebuilds only when a certificate that this context shows has changed, and only what
  // shows it. True if swapped.
  bool refresh();
  // Puts certificates that have expired by `now` behind those of another key type for the same names that have not.
  // Rebuilds only when one has expired since that was looked at last. True if so.
  bool passOverExpired(Time now);
  // Changes what is served while none of `own` has a certificate, and goes over to it at once where that is the case.
  void serveMeanwhile(Served meanwhile);

  Served served() const;
  // What a client that asks for this name is shown: served(), or a certificate that goes before it at the selection.
  std::vector<CertifiedKeyRef> shownFor(std::string_view name) const;
  // Names that are served by others than the own certificates: of many only `most`, and by `choice` which of them.
  std::vector<NameShown> furtherNames(std::size_t most, std::uint64_t choice) const;
  std::shared_ptr<const ServingPlan> plan() const;

  // A server-side SSL of the current serving, in accept state, without BIOs. Null only when memory ends.
  SslPtr newConnection() const;

 private:
  std::shared_ptr<const Serving> build(std::shared_ptr<const Planned> planned, Time asOf);
  void goOver(std::shared_ptr<const Serving> next);
  void kept(const Error& error) const;

  CertificateStore& store_;
  TicketKeys& tickets_;
  AlpnChallenges& challenges_;
  Log& log_;
  std::mutex changing_;                         // one change at a time; also guards seen_ and retired_
  std::shared_ptr<const CertificateMap> seen_;  // what the serving was built from
  Snapshot<Serving> serving_;
  std::vector<std::shared_ptr<const Serving>> retired_;  // replaced, but perhaps still held by connections
};

// To be called when data was read from newConnection()'s SSL. A peer that asks for new keys again and again (KeyUpdate;
// in TLS 1.2 a renegotiation, which is refused each time) without sending any is ended after a few dozen times.
void dataCame(const SSL* ssl);
// After (or during) a handshake of newConnection()'s SSL: whether it was a challenge's, to be closed once it is done.
bool isChallenge(const SSL* ssl);
// The SNI the client sent, lower case; "" when none.
std::string_view serverName(const SSL* ssl);

// The best of `candidates` to serve for `hostnames` until the wanted certificate arrives: it must cover the primary
// name; then valid before expired, then the one that covers most of the others, then the one that expires last.
// Null when none covers the primary name. A pure function.
CertifiedKeyRef bestMeanwhile(const std::vector<std::string>& hostnames, const std::vector<CertifiedKeyRef>& candidates,
                              Time now);

}  // namespace postern::tls
