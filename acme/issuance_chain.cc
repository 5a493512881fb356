// The certificate of an order (RFC 8555 section 7.4.2), and which of the chains that the CA offers.
#include <openssl/x509.h>

#include <algorithm>
#include <utility>

#include "acme/issuance.h"
#include "base/text.h"

namespace postern::acme {
namespace {

constexpr std::size_t mostAlternates = 10;
constexpr auto longestMissing = std::chrono::hours(1);  // a certificate, after its order was made

std::string commonNameOf(const X509_NAME* name) {
  const int at = X509_NAME_get_index_by_NID(name, NID_commonName, -1);
  if (at < 0) return "";
  const auto freeText = [](unsigned char* text) { OPENSSL_free(text); };
  unsigned char* utf8 = nullptr;
  const int size = ASN1_STRING_to_UTF8(&utf8, X509_NAME_ENTRY_get_data(X509_NAME_get_entry(name, at)));
  if (size < 0) {
    tls::drainErrors();
    return "";
  }
  const std::unique_ptr<unsigned char, decltype(freeText)> own(utf8, freeText);
  return {reinterpret_cast<const char*>(utf8), static_cast<std::size_t>(size)};
}

// Of everybody above the leaf; the last is the root's, which the chain itself does not hold.
std::vector<std::string> issuersOf(const tls::CertifiedKey& certificate) {
  std::vector<std::string> issuers;
  for (const tls::CertPtr& each : certificate.chain()) {
    issuers.push_back(commonNameOf(X509_get_issuer_name(each.get())));
  }
  return issuers;
}

bool hasIssuer(const tls::CertifiedKey& certificate, const std::string& wanted) {
  const std::vector<std::string> issuers = issuersOf(certificate);
  return std::any_of(issuers.begin(), issuers.end(),
                     [&](const std::string& issuer) { return equalsIgnoringCase(issuer, wanted); });
}

bool isForAnotherKey(const std::string& pem, EVP_PKEY* key) {
  const tls::BioPtr in(BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size())));
  const tls::CertPtr leaf(in ? PEM_read_bio_X509(in.get(), nullptr, tls::noPassword, nullptr) : nullptr);
  const EVP_PKEY* held = leaf ? X509_get0_pubkey(leaf.get()) : nullptr;
  const bool isOther = held && EVP_PKEY_eq(held, key) != 1;
  tls::drainErrors();
  return isOther;
}

}  // namespace

tls::CertifiedKeyRef Issuance::downloaded(const Order& order, bool wasResumed, std::stop_token stop) {
  DownloadedChain answer;
  tls::CertifiedKeyRef certificate;
  try {
    answer = client_.download(order.certificate, stop);
    if (!sentCsr_ && isForAnotherKey(answer.pem, request_.key.get())) {
      log_.warn("acme.order.used", {{"names", joined(request_.names)},
                                    {"order", order.url},
                                    {"detail", "its certificate is for another key"},
                                    {"next", "ordered anew"}});
      return nullptr;
    }
    certificate = verified(answer.pem, request_.key.get(), request_.names, clock_.now());
  } catch (const Error& error) {
    // The answer may have been cut short, so the next attempt asks for it once more; then the order is given up.
    if (wasResumed && error.problem.type == "postern:certificate") journal_.forgetOrder();
    if (!saysItIsUnknown(error.problem)) throw;
    // It is there later than the order says (some CAs answer 403 until then), or gone. The account is not to blame.
    const std::optional<Time> since = journal_.pendingSince();
    if (wasResumed && (!since || clock_.now() - *since > longestMissing)) journal_.forgetOrder();
    Problem problem = makeProblem("postern:http",
                                  "the order is valid and its certificate is not there: " + std::string(error.what()));
    problem.status = error.problem.status;
    throw Error(std::move(problem), error.retryAfter);
  }
  if (request_.preferredChain.empty() || hasIssuer(*certificate, request_.preferredChain)) return certificate;
  return preferred(std::move(certificate), answer.alternates, stop);
}

tls::CertifiedKeyRef Issuance::preferred(tls::CertifiedKeyRef byDefault, const std::vector<std::string>& alternates,
                                         std::stop_token stop) {
  const auto described = [](const tls::CertifiedKey& chain) { return joined(issuersOf(chain), " < "); };
  std::vector<std::string> seen{described(*byDefault)};
  for (std::size_t i = 0; i < std::min(alternates.size(), mostAlternates); ++i) {
    try {
      tls::CertifiedKeyRef chain =
          verified(client_.download(alternates[i], stop).pem, request_.key.get(), request_.names, clock_.now());
      if (hasIssuer(*chain, request_.preferredChain)) return chain;
      seen.push_back(described(*chain));
    } catch (const Error& error) {
      log_.warn("acme.chain.passed-over", {{"names", joined(request_.names)},
                                           {"url", alternates[i]},
                                           {"type", error.problem.shortType()},
                                           {"detail", error.problem.detail}});
    }
  }
  log_.warn("acme.chain.not-offered", {{"names", joined(request_.names)},
                                       {"preferred-chain", request_.preferredChain},
                                       {"offered", joined(seen, "; ")},
                                       {"next", "the CA's default chain is used"}});
  return byDefault;
}

}  // namespace postern::acme
