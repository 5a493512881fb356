// Serving: one immutable state of a ServerContext: its plan, the certificates of that moment, and the SSL_CTX made of
// both. A connection holds the serving it began with until it ends.
//
// When certificates change, the next serving shares with the one before whatever has not: the plan, the SSL_CTX where
// the own certificates stayed, and every other name. So a renewal among ten thousand costs as much as one among ten.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "tls/effective_policy.h"
#include "tls/selection.h"
#include "tls/server_context.h"

namespace postern::tls {

// A plan and what it looks up in the store.
struct Planned {
  explicit Planned(ServingPlan made);
  // What is looked up for a place of the selection, the preferred first.
  std::vector<CertificateId> idsAt(Selection::Place place) const;

  ServingPlan plan;
  std::unordered_map<CertificateId, std::vector<Selection::Place>, CertificateIdHash> places;
};
using PlannedRef = std::shared_ptr<const Planned>;

struct Serving {
  const ServingPlan& plan() const { return planned->plan; }

  PlannedRef planned;
  EffectivePolicy policy;
  std::string policyDigest;       // what tickets are bound to
  Time asOf;                      // of two key types, one that had expired by then stands behind one that had not
  std::optional<Time> reorderAt;  // when the next of two key types expires; perhaps too early
  Served served;
  ShownSetRef own;  // `served` as it is put on a connection
  Selection selection;
  std::shared_ptr<SSL_CTX> context;
  TicketKeys& tickets;
  AlpnChallenges& challenges;
  Log& log;
};
using ServingRef = std::shared_ptr<const Serving>;

struct ServingParts {
  TicketKeys& tickets;
  AlpnChallenges& challenges;
  Log& log;
};

// The policy of `before` is taken over where the plan did not change it, so that its line in the log is written once.
// Throws Error when the plan cannot be built.
ServingRef buildServing(PlannedRef planned, Time asOf, const CertificateMap& certificates, const ServingParts& parts,
                        const Serving* before);

// `before` after `changed` have become what `certificates` has of them; null where nothing that it shows is another
// one. Throws Error as above.
ServingRef renewServing(const Serving& before, const CertificateMap& certificates,
                        const std::vector<CertificateId>& changed);

}  // namespace postern::tls
