#include "tls/serving.h"

#include <openssl/err.h>

#include <algorithm>
#include <utility>
#include <vector>

#include "tls/handshake.h"

namespace postern::tls {
namespace {

// The certificates of one moment, as the plan asks for them.
class Looked {
 public:
  Looked(const CertificateMap& certificates, Time asOf) : certificates_(certificates), asOf_(asOf) {}
  CertifiedKeyRef operator()(const CertificateId& id) {
    const auto found = certificates_.find(id);
    seen_.emplace(id, found);
    return found;
  }
  // Those that are there, in the same order, but expired ones last.
  std::vector<CertifiedKeyRef> existing(const std::vector<CertificateId>& ids) {
    std::vector<CertifiedKeyRef> all;
    for (const auto& id : ids) {
      if (auto found = (*this)(id)) all.push_back(std::move(found));
    }
    std::stable_partition(all.begin(), all.end(), [this](const auto& one) { return asOf_ < one->notAfter(); });
    return all;
  }
  std::map<CertificateId, CertifiedKeyRef> take() { return std::move(seen_); }

 private:
  const CertificateMap& certificates_;
  const Time asOf_;
  std::map<CertificateId, CertifiedKeyRef> seen_;
};

void useCertificate(SSL_CTX* context, const CertifiedKey& certificate, const std::string& listener) {
  ERR_clear_error();
  const ChainPtr issuers = issuersOf(certificate.chain());
  if (SSL_CTX_use_cert_and_key(context, certificate.leaf(), certificate.key(), issuers.get(), 1) != 1)
    fail("listener " + listener + ": cannot serve the certificate " + certificate.serial());
}

}  // namespace

std::shared_ptr<const Serving> buildServing(ServingPlan plan, const CertificateMap& certificates, TicketKeys& tickets,
                                            AlpnChallenges& challenges, Log& log, const Serving* before) {
  const bool samePolicy =
      before != nullptr && before->plan.policy == plan.policy && before->plan.listener == plan.listener;
  EffectivePolicy policy = samePolicy ? before->policy : effectivePolicy(plan.policy, plan.listener, log);
  std::string digest = policyDigest(plan.listener, plan.policy, plan.alpn);
  SslCtxPtr context = makeContext(plan.policy, policy, plan.listener);

  Looked look(certificates, plan.asOf);
  Served served;
  std::vector<CertifiedKeyRef> matching;  // as the listener's own at the selection: not while only served meanwhile
  std::vector<Selection::Rule> rules;
  std::vector<std::vector<CertifiedKeyRef>> domains;
  if (!plan.challengesOnly) {
    const auto own = look.existing(plan.own);
    served = own.empty() ? plan.meanwhile : Served{own.front(), plan.own.front().source, {own.begin() + 1, own.end()}};
    if (!served.certificate) throw Error("listener " + plan.listener + ": there is no certificate to serve");
    matching = plan.own.empty() ? served.all() : own;
    for (const auto& rule : plan.sni) rules.push_back({rule.subject, look(rule.certificate)});
    for (const auto& ids : plan.domains) domains.push_back(look.existing(ids));
    for (const auto& certificate : served.all()) useCertificate(context.get(), *certificate, plan.listener);
  }
  installCallbacks(context.get());

  ShownSet shown = shownSet(served.all());
  return std::shared_ptr<const Serving>(
      new Serving{std::move(plan), std::move(policy), std::move(digest), look.take(), std::move(served),
                  std::move(shown), Selection(rules, matching, domains), std::move(context), tickets, challenges, log});
}

bool outdated(const Serving& serving, const CertificateMap& certificates) {
  for (const auto& [id, certificate] : serving.seen) {
    if (certificates.find(id) != certificate) return true;
  }
  return false;
}

}  // namespace postern::tls
