#include "tests/support/test_certificates.h"

#include <arpa/inet.h>
#include <openssl/bn.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include <stdexcept>
#include <utility>

namespace postern::testing {
namespace {

using tls::CertPtr;
using tls::Owned;

void require(bool held, const char* what) {
  if (!held) throw std::runtime_error(std::string("test CA: ") + what + ": " + tls::drainErrors());
}

bool isAddress(const std::string& name) {
  unsigned char bytes[16];
  return inet_pton(AF_INET, name.c_str(), bytes) == 1 || inet_pton(AF_INET6, name.c_str(), bytes) == 1;
}

void addExtension(X509* certificate, X509* issuer, int nid, const std::string& value) {
  X509V3_CTX context;
  X509V3_set_ctx(&context, issuer, certificate, nullptr, nullptr, 0);
  const Owned<X509_EXTENSION, X509_EXTENSION_free> extension(
      X509V3_EXT_conf_nid(nullptr, &context, nid, value.c_str()));
  require(extension && X509_add_ext(certificate, extension.get(), -1) == 1, "extension");
}

CertPtr draft(EVP_PKEY* subject, const std::string& commonName, X509* issuer, Time notBefore, Time notAfter) {
  CertPtr certificate(X509_new());
  const Owned<BIGNUM, BN_free> serial(BN_new());
  const auto seconds = [](Time time) {
    return static_cast<time_t>(std::chrono::floor<std::chrono::seconds>(time).time_since_epoch().count());
  };
  require(X509_set_version(certificate.get(), X509_VERSION_3) == 1 &&
              BN_rand(serial.get(), 127, BN_RAND_TOP_ONE, BN_RAND_BOTTOM_ANY) == 1 &&
              BN_to_ASN1_INTEGER(serial.get(), X509_get_serialNumber(certificate.get())) != nullptr &&
              ASN1_TIME_set(X509_getm_notBefore(certificate.get()), seconds(notBefore)) != nullptr &&
              ASN1_TIME_set(X509_getm_notAfter(certificate.get()), seconds(notAfter)) != nullptr &&
              X509_set_pubkey(certificate.get(), subject) == 1,
          "certificate");
  X509_NAME* name = X509_get_subject_name(certificate.get());
  if (!commonName.empty())
    require(X509_NAME_add_entry_by_NID(name, NID_commonName, MBSTRING_UTF8,
                                       reinterpret_cast<const unsigned char*>(commonName.data()),
                                       static_cast<int>(commonName.size()), -1, 0) == 1,
            "name");
  require(X509_set_issuer_name(certificate.get(), issuer == nullptr ? name : X509_get_subject_name(issuer)) == 1,
          "issuer");
  return certificate;
}

CertPtr authority(EVP_PKEY* key, const std::string& name, X509* issuer, EVP_PKEY* issuerKey) {
  const Time now = machineTime();
  CertPtr certificate =
      draft(key, name, issuer, now - std::chrono::hours(24 * 3650), now + std::chrono::hours(24 * 3650));
  X509* signer = issuer == nullptr ? certificate.get() : issuer;
  addExtension(certificate.get(), signer, NID_basic_constraints, "critical,CA:TRUE");
  addExtension(certificate.get(), signer, NID_key_usage, "critical,keyCertSign,cRLSign");
  addExtension(certificate.get(), signer, NID_subject_key_identifier, "hash");
  if (issuer != nullptr) addExtension(certificate.get(), signer, NID_authority_key_identifier, "keyid:always");
  require(X509_sign(certificate.get(), issuerKey, EVP_sha256()) > 0, "signature");
  return certificate;
}

}  // namespace

Time machineTime() {
  return std::chrono::time_point_cast<Duration>(std::chrono::system_clock::now());
}

std::string certificatePem(X509* certificate) {
  const tls::BioPtr output(BIO_new(BIO_s_mem()));
  require(PEM_write_bio_X509(output.get(), certificate) == 1, "PEM");
  char* data = nullptr;
  const long size = BIO_get_mem_data(output.get(), &data);
  return {data, static_cast<std::size_t>(size)};
}

TestCa::TestCa(const std::string& name)
    : rootKey_(tls::generateKey(tls::KeyType::EcdsaP256)), intermediateKey_(tls::generateKey(tls::KeyType::EcdsaP256)) {
  root_ = authority(rootKey_.get(), name + " Root", nullptr, rootKey_.get());
  intermediate_ = authority(intermediateKey_.get(), name + " Intermediate", root_.get(), rootKey_.get());
}

std::string TestCa::chainFor(EVP_PKEY* subject, const std::vector<std::string>& names,
                             const IssueOptions& options) const {
  const CertPtr leaf = draft(subject, "", intermediate_.get(), options.notBefore, options.notAfter);
  std::string alternatives = "critical";
  for (const auto& name : names) alternatives += (isAddress(name) ? ",IP:" : ",DNS:") + name;
  addExtension(leaf.get(), intermediate_.get(), NID_subject_alt_name, alternatives);
  addExtension(leaf.get(), intermediate_.get(), NID_basic_constraints, "critical,CA:FALSE");
  addExtension(leaf.get(), intermediate_.get(), NID_key_usage, "critical,digitalSignature,keyEncipherment");
  addExtension(leaf.get(), intermediate_.get(), NID_ext_key_usage, options.forClient ? "clientAuth" : "serverAuth");
  addExtension(leaf.get(), intermediate_.get(), NID_authority_key_identifier, "keyid:always");
  require(X509_sign(leaf.get(), intermediateKey_.get(), EVP_sha256()) > 0, "signature");
  return certificatePem(leaf.get()) + intermediatePem() + (options.withRoot ? rootPem() : "");
}

IssuedPem TestCa::issuePem(const std::vector<std::string>& names, const IssueOptions& options) const {
  const tls::KeyPtr key = tls::generateKey(options.keyType);
  return {chainFor(key.get(), names, options), tls::keyToPem(key.get())};
}

tls::CertifiedKeyRef TestCa::issue(const std::vector<std::string>& names, const IssueOptions& options) const {
  tls::KeyPtr key = tls::generateKey(options.keyType);
  const std::string chain = chainFor(key.get(), names, options);
  return tls::CertifiedKey::fromPem(chain, std::move(key));
}

std::string TestCa::chainForRequest(const std::string& der, const std::vector<std::string>& names,
                                    const IssueOptions& options) const {
  const auto* at = reinterpret_cast<const unsigned char*>(der.data());
  const tls::RequestPtr request(d2i_X509_REQ(nullptr, &at, static_cast<long>(der.size())));
  require(request != nullptr, "request");
  EVP_PKEY* key = X509_REQ_get0_pubkey(request.get());
  require(key != nullptr && X509_REQ_verify(request.get(), key) == 1, "the request's own signature");
  return chainFor(key, names, options);
}

std::vector<std::string> TestCa::namesOfRequest(const std::string& der) {
  const auto* at = reinterpret_cast<const unsigned char*>(der.data());
  const tls::RequestPtr request(d2i_X509_REQ(nullptr, &at, static_cast<long>(der.size())));
  require(request != nullptr, "request");
  STACK_OF(X509_EXTENSION)* extensions = X509_REQ_get_extensions(request.get());
  const Owned<GENERAL_NAMES, GENERAL_NAMES_free> alternatives(
      static_cast<GENERAL_NAMES*>(X509V3_get_d2i(extensions, NID_subject_alt_name, nullptr, nullptr)));
  sk_X509_EXTENSION_pop_free(extensions, X509_EXTENSION_free);
  std::vector<std::string> names;
  for (int i = 0; alternatives && i < sk_GENERAL_NAME_num(alternatives.get()); ++i) {
    const GENERAL_NAME* name = sk_GENERAL_NAME_value(alternatives.get(), i);
    char text[INET6_ADDRSTRLEN];
    if (name->type == GEN_DNS) {
      names.emplace_back(reinterpret_cast<const char*>(ASN1_STRING_get0_data(name->d.dNSName)),
                         static_cast<std::size_t>(ASN1_STRING_length(name->d.dNSName)));
    } else if (name->type == GEN_IPADD) {
      const bool four = ASN1_STRING_length(name->d.iPAddress) == 4;
      inet_ntop(four ? AF_INET : AF_INET6, ASN1_STRING_get0_data(name->d.iPAddress), text, sizeof text);
      names.emplace_back(text);
    }
  }
  return names;
}

std::string TestCa::rootPem() const {
  return certificatePem(root_.get());
}

std::string TestCa::intermediatePem() const {
  return certificatePem(intermediate_.get());
}

}  // namespace postern::testing
