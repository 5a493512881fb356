// Certificates and requests that Postern makes itself.
#include <openssl/asn1.h>
#include <openssl/bn.h>
#include <openssl/err.h>
#include <openssl/objects.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include <chrono>
#include <utility>

#include "tls/certified_key.h"
#include "tls/names.h"

namespace postern::tls {
namespace {

using namespace std::chrono_literals;

constexpr std::size_t longestCommonName = 64;  // ub-common-name, RFC 5280 appendix A.1

using AltNamesPtr = Owned<GENERAL_NAMES, GENERAL_NAMES_free>;

ASN1_OCTET_STRING* octets(std::string_view bytes) {
  ASN1_OCTET_STRING* value = ASN1_OCTET_STRING_new();
  if (value == nullptr || ASN1_OCTET_STRING_set(value, reinterpret_cast<const unsigned char*>(bytes.data()),
                                                static_cast<int>(bytes.size())) != 1) {
    ASN1_OCTET_STRING_free(value);
    fail("cannot hold an octet string");
  }
  return value;
}

// Made name by name, not from a configuration string, in which a comma in a name would begin another.
AltNamesPtr alternativeNames(const std::vector<std::string>& names) {
  AltNamesPtr alternatives(GENERAL_NAMES_new());
  if (!alternatives) fail("cannot hold names");
  for (const auto& name : names) {
    Owned<GENERAL_NAME, GENERAL_NAME_free> alternative(GENERAL_NAME_new());
    if (!alternative) fail("cannot hold names");
    const std::string address = addressBytes(name);
    if (!address.empty()) {
      GENERAL_NAME_set0_value(alternative.get(), GEN_IPADD, octets(address));
    } else {
      Owned<ASN1_IA5STRING, ASN1_IA5STRING_free> text(ASN1_IA5STRING_new());
      if (!text || ASN1_STRING_set(text.get(), name.data(), static_cast<int>(name.size())) != 1)
        fail("cannot hold names");
      GENERAL_NAME_set0_value(alternative.get(), GEN_DNS, text.release());
    }
    if (sk_GENERAL_NAME_push(alternatives.get(), alternative.get()) <= 0) fail("cannot hold names");
    alternative.release();
  }
  return alternatives;
}

void addExtension(X509* certificate, int nid, const char* value) {
  const Owned<X509_EXTENSION, X509_EXTENSION_free> extension(X509V3_EXT_conf_nid(nullptr, nullptr, nid, value));
  if (!extension || X509_add_ext(certificate, extension.get(), -1) != 1)
    fail("cannot add an extension to a certificate");
}

// Everything but what makes it a certificate of its kind, and the signature.
CertPtr draft(EVP_PKEY* key, const std::vector<std::string>& names, Time notBefore, Time notAfter) {
  ERR_clear_error();
  CertPtr certificate(X509_new());
  const Owned<BIGNUM, BN_free> serial(BN_new());
  const auto seconds = [](Time time) {
    return static_cast<time_t>(std::chrono::floor<std::chrono::seconds>(time).time_since_epoch().count());
  };
  // The top bit of the serial number is set, so that all have the same length and none is zero.
  if (!certificate || !serial || X509_set_version(certificate.get(), X509_VERSION_3) != 1 ||
      BN_rand(serial.get(), 127, BN_RAND_TOP_ONE, BN_RAND_BOTTOM_ANY) != 1 ||
      BN_to_ASN1_INTEGER(serial.get(), X509_get_serialNumber(certificate.get())) == nullptr ||
      ASN1_TIME_set(X509_getm_notBefore(certificate.get()), seconds(notBefore)) == nullptr ||
      ASN1_TIME_set(X509_getm_notAfter(certificate.get()), seconds(notAfter)) == nullptr ||
      X509_set_pubkey(certificate.get(), key) != 1)
    fail("cannot make a certificate");

  X509_NAME* subject = X509_get_subject_name(certificate.get());
  const std::string common = names.empty() || names.front().size() > longestCommonName ? "postern" : names.front();
  if (X509_NAME_add_entry_by_NID(subject, NID_commonName, MBSTRING_UTF8,
                                 reinterpret_cast<const unsigned char*>(common.data()), static_cast<int>(common.size()),
                                 -1, 0) != 1 ||
      X509_set_issuer_name(certificate.get(), subject) != 1)
    fail("cannot name a certificate");

  if (!names.empty()) {
    const AltNamesPtr alternatives = alternativeNames(names);
    if (X509_add1_ext_i2d(certificate.get(), NID_subject_alt_name, alternatives.get(), 0, X509V3_ADD_DEFAULT) != 1)
      fail("cannot add the names to a certificate");
  }
  addExtension(certificate.get(), NID_basic_constraints, "critical,CA:FALSE");
  return certificate;
}

// Ed25519 and Ed448 bring their own digest and take none.
const EVP_MD* digestFor(const EVP_PKEY* key) {
  const int type = EVP_PKEY_get_base_id(key);
  return type == EVP_PKEY_ED25519 || type == EVP_PKEY_ED448 ? nullptr : EVP_sha256();
}

std::string signedAsPem(const CertPtr& certificate, EVP_PKEY* key) {
  if (X509_sign(certificate.get(), key, digestFor(key)) <= 0) fail("cannot sign a certificate");
  const BioPtr output(BIO_new(BIO_s_mem()));
  if (!output || PEM_write_bio_X509(output.get(), certificate.get()) != 1) fail("cannot write a certificate");
  char* data = nullptr;
  const long size = BIO_get_mem_data(output.get(), &data);
  return {data, static_cast<std::size_t>(size)};
}

}  // namespace

CertifiedKeyRef makeSelfSigned(EVP_PKEY* key, const std::vector<std::string>& names, Time now) {
  // An hour back for clients whose clock is slow; a week, so that it is not taken for something to be pinned.
  const CertPtr certificate = draft(key, names, now - 1h, now + 7 * 24h);
  addExtension(certificate.get(), NID_key_usage, "critical,digitalSignature,keyEncipherment");
  addExtension(certificate.get(), NID_ext_key_usage, "serverAuth");
  return CertifiedKey::fromPem(signedAsPem(certificate, key), share(key));
}

CertifiedKeyRef makeChallengeCertificate(const std::string& name, std::string_view digest, Time now) {
  if (digest.size() != 32) throw Error("a challenge's digest has 32 bytes, not " + std::to_string(digest.size()));
  KeyPtr key = generateKey(KeyType::EcdsaP256);
  const CertPtr certificate = draft(key.get(), {name}, now - 24h, now + 3 * 24h);

  // RFC 8737 section 3: a critical extension whose value is an OCTET STRING of the digest, in DER.
  const Owned<ASN1_OBJECT, ASN1_OBJECT_free> acmeIdentifier(OBJ_txt2obj("1.3.6.1.5.5.7.1.31", 1));
  const Owned<ASN1_OCTET_STRING, ASN1_OCTET_STRING_free> value(octets(std::string("\x04\x20", 2).append(digest)));
  const Owned<X509_EXTENSION, X509_EXTENSION_free> extension(
      X509_EXTENSION_create_by_OBJ(nullptr, acmeIdentifier.get(), 1, value.get()));
  if (!extension || X509_add_ext(certificate.get(), extension.get(), -1) != 1)
    fail("cannot make a challenge's certificate");

  const std::string pem = signedAsPem(certificate, key.get());
  return CertifiedKey::fromPem(pem, std::move(key));
}

std::string certificateRequest(EVP_PKEY* key, const std::vector<std::string>& names) {
  ERR_clear_error();
  const RequestPtr request(X509_REQ_new());
  if (!request || X509_REQ_set_version(request.get(), X509_REQ_VERSION_1) != 1 ||
      X509_REQ_set_pubkey(request.get(), key) != 1)
    fail("cannot make a certificate request");
  // The subject stays empty: a CA takes the names from subjectAltName, and a common name has room for 64 characters.
  const AltNamesPtr alternatives = alternativeNames(names);
  STACK_OF(X509_EXTENSION)* extensions = nullptr;
  const bool added =
      X509V3_add1_i2d(&extensions, NID_subject_alt_name, alternatives.get(), 0, X509V3_ADD_DEFAULT) == 1 &&
      X509_REQ_add_extensions(request.get(), extensions) == 1;
  sk_X509_EXTENSION_pop_free(extensions, X509_EXTENSION_free);
  if (!added) fail("cannot add the names to a certificate request");
  if (X509_REQ_sign(request.get(), key, digestFor(key)) <= 0) fail("cannot sign a certificate request");

  unsigned char* der = nullptr;
  const int size = i2d_X509_REQ(request.get(), &der);
  if (size < 0) fail("cannot write a certificate request");
  std::string bytes(reinterpret_cast<const char*>(der), static_cast<std::size_t>(size));
  OPENSSL_free(der);
  return bytes;
}

}  // namespace postern::tls
