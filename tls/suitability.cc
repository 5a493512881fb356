#include "tls/suitability.h"

#include <openssl/err.h>
#include <openssl/x509v3.h>

#include <array>
#include <string_view>

#include "tls/certificate_reading.h"

namespace postern::tls {
namespace {

std::string curveOf(const EVP_PKEY* key) {
  if (EVP_PKEY_get_base_id(key) != EVP_PKEY_EC) return {};
  std::array<char, 80> name{};
  std::size_t size = 0;
  if (EVP_PKEY_get_group_name(key, name.data(), name.size(), &size) != 1) return {};
  return {name.data(), size};
}

// RFC 8446 section 4.2.3 has signatures by keys on these and no others, and few clients of TLS 1.2 offer more.
bool isUsualCurve(std::string_view curve) {
  return curve == "prime256v1" || curve == "secp384r1" || curve == "secp521r1";
}

// RFC 7633 section 4: a client that finds status_request in it and gets no OCSP response is to give up.
bool demandsStapling(const X509* certificate) {
  const Owned<TLS_FEATURE, TLS_FEATURE_free> features(
      static_cast<TLS_FEATURE*>(X509_get_ext_d2i(certificate, NID_tlsfeature, nullptr, nullptr)));
  if (!features) return false;
  for (int i = 0; i < sk_ASN1_INTEGER_num(features.get()); ++i) {
    if (ASN1_INTEGER_get(sk_ASN1_INTEGER_value(features.get(), i)) == TLSEXT_TYPE_status_request) return true;
  }
  return false;
}

// Whether it says where its issuer's certificate can be fetched. Who issues with a root that clients have needs not.
bool namesIssuersPlace(const X509* certificate) {
  const Owned<AUTHORITY_INFO_ACCESS, AUTHORITY_INFO_ACCESS_free> places(
      static_cast<AUTHORITY_INFO_ACCESS*>(X509_get_ext_d2i(certificate, NID_info_access, nullptr, nullptr)));
  if (!places) return false;
  for (int i = 0; i < sk_ACCESS_DESCRIPTION_num(places.get()); ++i) {
    if (OBJ_obj2nid(sk_ACCESS_DESCRIPTION_value(places.get(), i)->method) == NID_ad_ca_issuers) return true;
  }
  return false;
}

}  // namespace

std::vector<Objection> objectionsTo(const CertifiedKey& certificate) {
  std::vector<Objection> objections;
  const std::string curve = curveOf(certificate.key());
  if (!curve.empty() && !isUsualCurve(curve)) {
    objections.push_back({"its key is on the curve " + curve + ", which mail clients do not take: handshakes fail",
                          "use a certificate for a key on P-256 (prime256v1), or for an RSA key"});
  }
  ERR_clear_error();
  const CertPtr leaf = certificateFromDer(certificate.leafDer());
  if (!leaf) {
    ERR_clear_error();
    return objections;
  }
  // Of one without the extension, both functions say that everything is allowed.
  if ((X509_get_key_usage(leaf.get()) & KU_DIGITAL_SIGNATURE) == 0) {
    objections.push_back({"its key usage lacks digitalSignature, which handshakes with ECDHE need: they fail",
                          "have it issued with the key usage digitalSignature"});
  }
  if ((X509_get_extended_key_usage(leaf.get()) & (XKU_SSL_SERVER | XKU_ANYEKU)) == 0) {
    objections.push_back({"its extended key usage lacks serverAuth: clients that verify it refuse it",
                          "have it issued as a certificate for a server"});
  }
  if (demandsStapling(leaf.get())) {
    objections.push_back(
        {"it demands a stapled OCSP response (must-staple), and none is sent: clients such as "
         "Thunderbird refuse it",
         "have it issued without must-staple"});
  }
  if (certificate.issuers().empty() && !certificate.selfSigned() && namesIssuersPlace(leaf.get())) {
    objections.push_back({"nothing stands behind it in its chain: clients that do not have \"" + certificate.issuer() +
                              "\" themselves cannot verify it",
                          "give the file with the whole chain (certbot's fullchain.pem instead of cert.pem)"});
  }
  ERR_clear_error();
  return objections;
}

}  // namespace postern::tls
