#include "tests/support/test_issuer.h"

#include <arpa/inet.h>
#include <openssl/rand.h>
#include <openssl/x509v3.h>

#include <array>
#include <stdexcept>

#include "tls/certified_key.h"

namespace postern::test {
namespace {

void must(bool done, const char* what) {
  if (!done) throw std::runtime_error(std::string("test issuer: cannot ") + what + ": " + tls::drainErrors());
}

void setTime(ASN1_TIME* to, Time at) {
  must(ASN1_TIME_set(to, std::chrono::system_clock::to_time_t(std::chrono::floor<std::chrono::seconds>(at))) != nullptr,
       "set a time");
}

void addExtension(X509* certificate, X509* issuer, int nid, const std::string& value) {
  X509V3_CTX context;
  X509V3_set_ctx(&context, issuer, certificate, nullptr, nullptr, 0);
  using ExtensionPtr = tls::Owned<X509_EXTENSION, X509_EXTENSION_free>;
  ExtensionPtr extension(X509V3_EXT_conf_nid(nullptr, &context, nid, value.c_str()));
  must(extension && X509_add_ext(certificate, extension.get(), -1) == 1, "add an extension");
}

// A certificate with all but its own extensions and its signature.
tls::CertPtr begun(const std::string& commonName, EVP_PKEY* key, Time notBefore, Time notAfter, X509* issuer) {
  tls::CertPtr certificate(X509_new());
  must(certificate && X509_set_version(certificate.get(), X509_VERSION_3) == 1, "make a certificate");
  std::array<unsigned char, 16> serial{};
  must(RAND_bytes(serial.data(), static_cast<int>(serial.size())) == 1, "draw a serial");
  serial[0] = static_cast<unsigned char>((serial[0] & 0x3FU) | 0x40U);  // positive, and always 16 bytes long
  using BignumPtr = tls::Owned<BIGNUM, BN_free>;
  BignumPtr number(BN_bin2bn(serial.data(), static_cast<int>(serial.size()), nullptr));
  must(BN_to_ASN1_INTEGER(number.get(), X509_get_serialNumber(certificate.get())) != nullptr, "set the serial");
  setTime(X509_getm_notBefore(certificate.get()), notBefore);
  setTime(X509_getm_notAfter(certificate.get()), notAfter);
  if (!commonName.empty()) {
    must(X509_NAME_add_entry_by_txt(X509_get_subject_name(certificate.get()), "CN", MBSTRING_UTF8,
                                    reinterpret_cast<const unsigned char*>(commonName.c_str()), -1, -1, 0) == 1,
         "set the subject");
  }
  X509_set_issuer_name(certificate.get(), X509_get_subject_name(issuer ? issuer : certificate.get()));
  must(X509_set_pubkey(certificate.get(), key) == 1, "set the public key");
  return certificate;
}

tls::CertPtr makeCa(const std::string& name, EVP_PKEY* key, X509* issuer, EVP_PKEY* issuerKey) {
  using namespace std::chrono;
  // Longer than any simulation.
  tls::CertPtr ca = begun(name, key, sys_days(year(2000) / 1 / 1), sys_days(year(2100) / 1 / 1), issuer);
  X509* signer = issuer ? issuer : ca.get();
  addExtension(ca.get(), signer, NID_basic_constraints, "critical,CA:TRUE");
  addExtension(ca.get(), signer, NID_key_usage, "critical,keyCertSign,cRLSign");
  addExtension(ca.get(), signer, NID_subject_key_identifier, "hash");
  must(X509_sign(ca.get(), issuerKey, EVP_sha256()) > 0, "sign");
  return ca;
}

}  // namespace

TestIssuer::TestIssuer()
    : rootKey_(tls::generateKey(tls::KeyType::EcdsaP256)),
      intermediateKey_(tls::generateKey(tls::KeyType::EcdsaP256)),
      root_(makeCa("Test Root", rootKey_.get(), nullptr, rootKey_.get())),
      intermediate_(makeCa("Test Intermediate", intermediateKey_.get(), root_.get(), rootKey_.get())) {}

tls::CertPtr TestIssuer::issue(EVP_PKEY* publicKey, const Leaf& leaf) const {
  tls::CertPtr certificate = begun("", publicKey, leaf.notBefore, leaf.notAfter, intermediate_.get());
  std::string names;
  for (const std::string& name : leaf.names) {
    std::array<unsigned char, 16> address{};
    bool isAddress =
        inet_pton(AF_INET, name.c_str(), address.data()) == 1 || inet_pton(AF_INET6, name.c_str(), address.data()) == 1;
    names += (names.empty() ? "" : ",") + std::string(isAddress ? "IP:" : "DNS:") + name;
  }
  X509* issuer = intermediate_.get();
  addExtension(certificate.get(), issuer, NID_subject_alt_name, "critical," + names);
  addExtension(certificate.get(), issuer, NID_basic_constraints, "critical,CA:FALSE");
  addExtension(certificate.get(), issuer, NID_key_usage, "critical,digitalSignature");
  addExtension(certificate.get(), issuer, NID_ext_key_usage, leaf.serverAuth ? "serverAuth" : "clientAuth");
  addExtension(certificate.get(), issuer, NID_authority_key_identifier, "keyid");
  must(X509_sign(certificate.get(), intermediateKey_.get(), EVP_sha256()) > 0, "sign");
  return certificate;
}

std::string TestIssuer::rootPem() const {
  return pemOf(root_.get());
}
std::string TestIssuer::intermediatePem() const {
  return pemOf(intermediate_.get());
}

std::string TestIssuer::crossSignedPem(const std::string& rootName) const {
  const tls::KeyPtr otherKey = tls::generateKey(tls::KeyType::EcdsaP256);
  const tls::CertPtr otherRoot = makeCa(rootName, otherKey.get(), nullptr, otherKey.get());
  return pemOf(makeCa("Test Intermediate", intermediateKey_.get(), otherRoot.get(), otherKey.get()).get());
}

std::string pemOf(X509* certificate) {
  tls::BioPtr out(BIO_new(BIO_s_mem()));
  must(out && PEM_write_bio_X509(out.get(), certificate) == 1, "write PEM");
  char* text = nullptr;
  long length = BIO_get_mem_data(out.get(), &text);
  return {text, static_cast<std::size_t>(length)};
}

}  // namespace postern::test
