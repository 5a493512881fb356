// What the fake CA issues, and what becomes of it: RFC 8555 sections 7.4 and 7.6, RFC 9773.
#include <algorithm>
#include <ctime>
#include <utility>

#include "base/encoding.h"
#include "tests/support/fake_ca.h"
#include "tests/support/fake_ca_crypto.h"

namespace postern::test {
namespace {

std::vector<std::string> sorted(std::vector<std::string> names) {
  for (std::string& name : names) name = spelledName(name);
  std::sort(names.begin(), names.end());
  names.erase(std::unique(names.begin(), names.end()), names.end());
  return names;
}

Time timeOf(const ASN1_TIME* time) {
  std::tm utc{};
  ASN1_TIME_to_tm(time, &utc);
  return Time(std::chrono::seconds(timegm(&utc)));
}

}  // namespace

acme::HttpResponse FakeCa::finalize(const Signed& request) {
  std::string id = idOf(request.url);
  Order& found = owned(orders_, id, request);
  settle(found);
  if (found.status != "ready") throw Refusal{403, "orderNotReady", "the order is " + found.status};
  auto csr = readRequest(fromBase64Url(request.payload["csr"].string()).value_or(""));
  if (!csr) throw Refusal{400, "badCSR", "the CSR cannot be read or is not signed by its key"};
  if (sorted(csr->names) != sorted(found.names)) throw Refusal{400, "badCSR", "the CSR is for other names"};
  if (EVP_PKEY_eq(csr->key.get(), request.key.get()) == 1) throw Refusal{400, "badCSR", "that is the account's key"};
  std::string certificateId = nextId();
  Certificate& made = certificates_[certificateId];
  made = {found.account, "", "", id, tls::share(csr->key.get())};
  issue(made, found, wrongOnce_ ? std::exchange(wrongOnce_, std::nullopt) : wrong_);
  found.certificate = url("certificate", certificateId);
  found.pollsLeft = orderPolls_;
  found.status = orderPolls_ > 0 || failOrders_ || stuckOnce_ ? "processing" : "valid";
  if (std::exchange(stuckOnce_, false)) found.stuckUntil = clock_.now() + std::chrono::hours(1);
  if (!failOrders_) {
    ++issued_;
    record(made, found);
  }
  acme::HttpResponse response = json(200, orderJson(id, found));  // no Location, as RFC 8555 promises none
  if (found.status == "processing") addPollRetryAfter(response);
  return response;
}

void FakeCa::issue(Certificate& certificate, const Order& order, std::optional<WrongCertificate> wrong) const {
  auto special = profileLifetimes_.find(order.profile);
  const Duration lifetime = special == profileLifetimes_.end() ? lifetime_ : special->second;
  Leaf leaf{order.names, clock_.now(), clock_.now() + lifetime, true};
  tls::KeyPtr used = tls::share(certificate.key.get());
  certificate.intermediate = issuer_.intermediatePem();
  if (wrong) {
    switch (*wrong) {
      case WrongCertificate::OtherKey: used = tls::generateKey(tls::KeyType::EcdsaP256); break;
      case WrongCertificate::OtherNames: leaf.names = {"wrong.example"}; break;
      case WrongCertificate::MissingName:
        leaf.names.pop_back();
        if (leaf.names.empty()) leaf.names = {"wrong.example"};
        break;
      case WrongCertificate::Expired:
        leaf.notBefore = clock_.now() - lifetime;
        leaf.notAfter = clock_.now() - std::chrono::hours(1);
        break;
      case WrongCertificate::NotYetValid:
        leaf.notBefore += std::chrono::hours(24);
        leaf.notAfter += std::chrono::hours(24);
        break;
      case WrongCertificate::LeafOnly: certificate.intermediate.clear(); break;
      case WrongCertificate::Garbage:
        certificate.leaf = "This is not the certificate that you are looking for.\n";
        certificate.intermediate.clear();
        return;
      case WrongCertificate::WrongOrder: certificate.intermediate = TestIssuer().intermediatePem(); break;
      case WrongCertificate::ClientOnly: leaf.serverAuth = false; break;
    }
  }
  certificate.leaf = pemOf(issuer_.issue(used.get(), leaf).get());
}

void FakeCa::record(const Certificate& certificate, const Order& order) {
  IssuedCertificate issued;
  issued.account = order.account;
  issued.profile = order.profile;
  issued.replaces = order.replaces;
  issued.names = order.names;
  if (!order.replaces.empty()) replaced_.push_back(order.replaces);
  if (tls::CertPtr leaf = certificateFromPem(certificate.leaf)) {
    issued.serial = serialOf(leaf.get());
    issued.renewalId = renewalIdOf(leaf.get());
    issued.notBefore = timeOf(X509_get0_notBefore(leaf.get()));
    issued.notAfter = timeOf(X509_get0_notAfter(leaf.get()));
  }
  issuedCertificates_.push_back(std::move(issued));
}

// "7" is the default chain of a certificate, "7.1" its first alternate.
acme::HttpResponse FakeCa::certificate(const Signed& request) {
  const std::string name = idOf(request.url), id = name.substr(0, name.find('.'));
  const std::size_t alternate = name == id ? 0 : static_cast<std::size_t>(std::stoul(name.substr(id.size() + 1)));
  const Certificate& found = owned(certificates_, id, request);
  if (!request.isGet) throw Refusal{400, "malformed", "a certificate is read with an empty payload"};
  if (alternate > crossSigned_.size()) throw Refusal{404, "malformed", "no such chain"};
  acme::HttpResponse response;
  response.status = 200;
  response.headers.emplace("content-type", "application/pem-certificate-chain");
  response.headers.emplace("link", "<" + directoryUrl() + ">;rel=\"index\"");
  // In all the ways that CAs write them: relative and not, quoted and not, in one header and in several.
  for (std::size_t i = 0; i <= crossSigned_.size(); ++i) {
    const std::string other = i == 0 ? id : id + "." + std::to_string(i);
    if (i == alternate) continue;
    response.headers.emplace("link", i % 2 == 0 ? "<" + url("certificate", other) + ">;rel=\"alternate\""
                                                : "<" + other + "> ; title=\"a, b\" ; rel=alternate");
  }
  response.body = found.leaf + (alternate == 0 ? found.intermediate : crossSigned_[alternate - 1]);
  return response;
}

acme::HttpResponse FakeCa::revokeCert(const Signed& request) {
  const tls::CertPtr certificate =
      certificateFromDer(fromBase64Url(request.payload["certificate"].string()).value_or(""));
  if (!certificate) throw Refusal{400, "malformed", "that is no certificate"};
  const std::string serial = serialOf(certificate.get());
  auto found = std::find_if(issuedCertificates_.begin(), issuedCertificates_.end(),
                            [&](const IssuedCertificate& each) { return each.serial == serial; });
  if (found == issuedCertificates_.end()) throw Refusal{404, "malformed", "we did not issue that certificate"};
  const bool byKey = request.account.empty();
  if (byKey ? X509_check_private_key(certificate.get(), request.key.get()) != 1 : found->account != request.account) {
    tls::drainErrors();
    throw Refusal{403, "unauthorized", "that is not for you to revoke"};
  }
  const auto reason = static_cast<int>(request.payload["reason"].integer());
  if (reason != 0 && reason != 1 && reason != 3 && reason != 4 && reason != 5) {
    throw Refusal{400, "badRevocationReason", "we know 0, 1, 3, 4 and 5"};
  }
  if (found->revoked) throw Refusal{400, "alreadyRevoked", "it is revoked already"};
  found->revoked = reason;
  revocations_.push_back({serial, reason, byKey});
  acme::HttpResponse response;
  response.status = 200;
  return response;
}

acme::HttpResponse FakeCa::renewalInfo(const std::string& id) {
  auto found = std::find_if(issuedCertificates_.begin(), issuedCertificates_.end(),
                            [&](const IssuedCertificate& each) { return each.renewalId == id; });
  if (found == issuedCertificates_.end()) throw Refusal{404, "malformed", "we did not issue that certificate"};
  RenewalWindow window;
  if (auto told = windows_.find(found->serial); told != windows_.end()) {
    window = told->second;
  } else if (windowRule_) {
    window = windowRule_(*found);
  } else {
    const Duration lifetime = found->notAfter - found->notBefore;
    window.start = found->notBefore + lifetime * 2 / 3;
    window.end = window.start + lifetime / 24;
  }
  Json::Object json{{"suggestedWindow", Json::Object{{"start", rfc3339(window.start)}, {"end", rfc3339(window.end)}}}};
  if (!explanation_.empty()) json["explanationURL"] = explanation_;
  acme::HttpResponse response = this->json(200, std::move(json));
  if (renewalRetryAfter_) response.headers.emplace("retry-after", *renewalRetryAfter_);
  return response;
}

}  // namespace postern::test
