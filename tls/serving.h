// Serving: one immutable state of a ServerContext: its plan, the certificates of that moment, and the SSL_CTX made of
// both. A connection holds the serving it began with until it ends.
#pragma once

#include <map>
#include <memory>
#include <string>

#include "tls/effective_policy.h"
#include "tls/selection.h"
#include "tls/server_context.h"

namespace postern::tls {

struct Serving {
  ServingPlan plan;
  EffectivePolicy policy;
  std::string policyDigest;                       // what tickets are bound to
  std::map<CertificateId, CertifiedKeyRef> seen;  // every certificate looked up in the store, also those not there
  Served served;
  ShownSet own;  // `served` as it is put on a connection
  Selection selection;
  SslCtxPtr context;
  TicketKeys& tickets;
  AlpnChallenges& challenges;
  Log& log;
};

// The policy of `before` is taken over where the plan did not change it, so that its line in the log is written once.
// Throws Error when the plan cannot be built.
std::shared_ptr<const Serving> buildServing(ServingPlan plan, const CertificateMap& certificates, TicketKeys& tickets,
                                            AlpnChallenges& challenges, Log& log, const Serving* before);

// Whether one of the certificates that `serving` looked up is another one now.
bool outdated(const Serving& serving, const CertificateMap& certificates);

}  // namespace postern::tls
