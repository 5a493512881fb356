// Issuance: one order, from names to a verified chain. Reads from top to bottom like RFC 8555 section 7.4.
//
// Runs on the thread that calls run(), and blocks. What it puts up is taken down when it returns, however it returns.
#pragma once

#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <vector>

#include "acme/client.h"
#include "acme/journal.h"
#include "acme/solver.h"
#include "base/clock.h"
#include "base/log.h"
#include "tls/certified_key.h"

namespace postern::acme {

struct IssuanceRequest {
  std::vector<std::string> names;  // the first is primary
  tls::KeyPtr key;                 // on disk already
  std::string profile = {};        // of the CA; "": its default
  std::string replaces = {};       // RFC 9773 section 5; left out, and said, where the CA refuses it
  std::string preferredChain =
      {};  // common name of an issuer in the wanted chain, over the alternates; "": the default
};

class Issuance {
 public:
  // The references must outlive the issuance. `solver` is the one type of challenge of this attempt (pitfall 21).
  Issuance(Client& client, Solver& solver, Journal& journal, Clock& clock, Log& log, IssuanceRequest request);

  // Resumes the journal's order where there is one for these names; else makes a new one. Throws Error or Stopped;
  // after Stopped and after failures that the order survives, the journal still has the order.
  tls::CertifiedKeyRef run(std::stop_token stop);

 private:
  struct Answer;  // to one challenge, while it is up

  // issuance.cc: the order.
  std::optional<Order> resumed(std::stop_token stop);
  // The order's certificate. Null where the order has none for us though nothing of it has failed: its authorizations
  // ended while we were away, or it was used for another key.
  tls::CertifiedKeyRef ended(Order order, bool wasResumed, std::stop_token stop);
  std::optional<Problem> failureOf(const Order& order, std::stop_token stop);
  Order begin(std::stop_token stop);
  Order ordered(std::stop_token stop);
  Order finalized(Order order, std::stop_token stop);
  // Polls until the order is at least there. Known: its status is one of RFC 8555. "invalid" ends the order.
  enum class Until { Known, Ready, Issued };
  Order awaited(Order order, Until until, std::stop_token stop);

  // issuance_authorize.cc: its authorizations.
  std::vector<Authorization> authorizationsOf(const Order& order, std::stop_token stop);
  void authorize(const std::vector<Authorization>& authorizations, std::stop_token stop);
  Problem whyFailed(const Authorization& authorization) const;
  Answer present(const Authorization& authorization, std::stop_token stop);
  void respond(Answer& answer, std::stop_token stop);
  void awaitValid(Answer& answer, std::stop_token stop);
  void failIfDecided(const Authorization& authorization, const Challenge& challenge);
  // What a look at an authorization that is not decided yet means for our answer. Throws where it has failed.
  void lookAt(const Authorization& authorization, Answer& answer, std::stop_token stop);

  // issuance_chain.cc: its certificate; null where it is for another key and the CSR was not sent by us.
  tls::CertifiedKeyRef downloaded(const Order& order, bool wasResumed, std::stop_token stop);
  tls::CertifiedKeyRef preferred(tls::CertifiedKeyRef byDefault, const std::vector<std::string>& alternates,
                                 std::stop_token stop);

  Client& client_;
  Solver& solver_;
  Journal& journal_;
  Clock& clock_;
  Log& log_;
  IssuanceRequest request_;
  bool sentCsr_ = false;  // for the order at hand
};

// The CA does not know the resource, or not as ours.
bool saysItIsUnknown(const Problem& problem);

// The checks of a downloaded chain before anything is replaced (pitfall 22): it is for `key`, covers exactly the names,
// is valid now, in order, usable for TLS servers. Throws Error postern:certificate.
tls::CertifiedKeyRef verified(const std::string& pem, EVP_PKEY* key, const std::vector<std::string>& names, Time now);

}  // namespace postern::acme
