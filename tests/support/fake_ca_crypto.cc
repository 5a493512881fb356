#include "tests/support/fake_ca_crypto.h"

#include <arpa/inet.h>
#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/hmac.h>
#include <openssl/param_build.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include <array>

#include "base/encoding.h"
#include "base/text.h"

namespace postern::test {
namespace {

using BuilderPtr = tls::Owned<OSSL_PARAM_BLD, OSSL_PARAM_BLD_free>;
using ParametersPtr = tls::Owned<OSSL_PARAM, OSSL_PARAM_free>;
using KeyContextPtr = tls::Owned<EVP_PKEY_CTX, EVP_PKEY_CTX_free>;
using DigestContextPtr = tls::Owned<EVP_MD_CTX, EVP_MD_CTX_free>;
using SignaturePtr = tls::Owned<ECDSA_SIG, ECDSA_SIG_free>;

const unsigned char* bytesOf(const std::string& text) {
  return reinterpret_cast<const unsigned char*>(text.data());
}

void freeExtensions(STACK_OF(X509_EXTENSION) * list) {
  sk_X509_EXTENSION_pop_free(list, X509_EXTENSION_free);
}
void freeNames(GENERAL_NAMES* names) {
  GENERAL_NAMES_free(names);
}

std::string nameFrom(const GENERAL_NAME* name) {
  int type = 0;
  void* value = GENERAL_NAME_get0_value(name, &type);
  if (type != GEN_DNS && type != GEN_IPADD) return "";
  const auto* text = static_cast<const ASN1_STRING*>(value);
  const unsigned char* data = ASN1_STRING_get0_data(text);
  int length = ASN1_STRING_length(text);
  if (type == GEN_DNS) return {data, data + length};
  std::array<char, INET6_ADDRSTRLEN> spelled{};
  const char* made = inet_ntop(length == 4 ? AF_INET : AF_INET6, data, spelled.data(), spelled.size());
  return made ? made : "";
}

}  // namespace

tls::KeyPtr keyFromJwk(const Json& jwk) {
  using BignumPtr = tls::Owned<BIGNUM, BN_free>;
  const bool isRsa = jwk["kty"].string() == "RSA";
  const std::string curve = jwk["crv"].string();
  const std::size_t size = curve == "P-256" ? 32 : 48;
  BuilderPtr builder(OSSL_PARAM_BLD_new());
  std::string point;
  BignumPtr n, e;
  if (isRsa) {
    auto modulus = fromBase64Url(jwk["n"].string()), exponent = fromBase64Url(jwk["e"].string());
    if (!modulus || !exponent) return nullptr;
    n.reset(BN_bin2bn(bytesOf(*modulus), static_cast<int>(modulus->size()), nullptr));
    e.reset(BN_bin2bn(bytesOf(*exponent), static_cast<int>(exponent->size()), nullptr));
    OSSL_PARAM_BLD_push_BN(builder.get(), OSSL_PKEY_PARAM_RSA_N, n.get());
    OSSL_PARAM_BLD_push_BN(builder.get(), OSSL_PKEY_PARAM_RSA_E, e.get());
  } else {
    auto x = fromBase64Url(jwk["x"].string()), y = fromBase64Url(jwk["y"].string());
    if (jwk["kty"].string() != "EC" || (curve != "P-256" && curve != "P-384") || !x || !y || x->size() != size ||
        y->size() != size) {
      return nullptr;
    }
    point = "\x04" + *x + *y;
    OSSL_PARAM_BLD_push_utf8_string(builder.get(), OSSL_PKEY_PARAM_GROUP_NAME, curve.c_str(), 0);
    OSSL_PARAM_BLD_push_octet_string(builder.get(), OSSL_PKEY_PARAM_PUB_KEY, point.data(), point.size());
  }
  ParametersPtr parameters(OSSL_PARAM_BLD_to_param(builder.get()));
  KeyContextPtr context(EVP_PKEY_CTX_new_from_name(nullptr, isRsa ? "RSA" : "EC", nullptr));
  EVP_PKEY* key = nullptr;
  if (EVP_PKEY_fromdata_init(context.get()) != 1 ||
      EVP_PKEY_fromdata(context.get(), &key, EVP_PKEY_PUBLIC_KEY, parameters.get()) != 1) {
    tls::drainErrors();
    return nullptr;
  }
  return tls::KeyPtr(key);
}

std::string thumbprintOf(const Json& jwk) {
  if (jwk["kty"].string() == "RSA") {
    return base64Url(sha256(R"({"e":")" + jwk["e"].string() + R"(","kty":"RSA","n":")" + jwk["n"].string() + R"("})"));
  }
  return base64Url(sha256(R"({"crv":")" + jwk["crv"].string() + R"(","kty":")" + jwk["kty"].string() + R"(","x":")" +
                          jwk["x"].string() + R"(","y":")" + jwk["y"].string() + R"("})"));
}

bool signatureHolds(EVP_PKEY* key, const std::string& input, const std::string& signature,
                    const std::string& algorithm) {
  std::string encoded = signature;
  const bool isRsa = algorithm == "RS256";
  const int bits = algorithm == "ES256" ? 256 : 384;
  if (isRsa != (EVP_PKEY_is_a(key, "RSA") == 1) || (!isRsa && EVP_PKEY_get_bits(key) != bits)) return false;
  if (!isRsa) {
    const int half = bits / 8;
    if (signature.size() != static_cast<std::size_t>(2 * half)) return false;
    SignaturePtr pair(ECDSA_SIG_new());
    BIGNUM* r = BN_bin2bn(bytesOf(signature), half, nullptr);
    BIGNUM* s = BN_bin2bn(bytesOf(signature) + half, half, nullptr);
    ECDSA_SIG_set0(pair.get(), r, s);
    unsigned char* der = nullptr;
    int length = i2d_ECDSA_SIG(pair.get(), &der);
    encoded.assign(der, der + length);
    OPENSSL_free(der);
  }
  DigestContextPtr context(EVP_MD_CTX_new());
  const EVP_MD* digest = algorithm == "ES384" ? EVP_sha384() : EVP_sha256();
  bool holds = EVP_DigestVerifyInit(context.get(), nullptr, digest, nullptr, key) == 1 &&
               EVP_DigestVerify(context.get(), bytesOf(encoded), encoded.size(), bytesOf(input), input.size()) == 1;
  tls::drainErrors();
  return holds;
}

std::string hmacSha256(const std::string& key, const std::string& input) {
  std::array<unsigned char, 32> mac{};
  HMAC(EVP_sha256(), key.data(), static_cast<int>(key.size()), bytesOf(input), input.size(), mac.data(), nullptr);
  return {mac.begin(), mac.end()};
}

std::string renewalIdOf(X509* certificate) {
  const ASN1_OCTET_STRING* issuer = X509_get0_authority_key_id(certificate);
  if (!issuer) return "";
  const std::string keyId(reinterpret_cast<const char*>(ASN1_STRING_get0_data(issuer)),
                          static_cast<std::size_t>(ASN1_STRING_length(issuer)));
  // The contents of the DER INTEGER: the number's bytes, with a zero before a first bit that is set.
  const ASN1_INTEGER* serial = X509_get0_serialNumber(certificate);
  std::string number(reinterpret_cast<const char*>(ASN1_STRING_get0_data(serial)),
                     static_cast<std::size_t>(ASN1_STRING_length(serial)));
  if (!number.empty() && (static_cast<unsigned char>(number[0]) & 0x80U) != 0) number.insert(0, 1, '\0');
  return base64Url(keyId) + "." + base64Url(number);
}

bool isAddress(const std::string& name) {
  std::array<unsigned char, 16> address{};
  return inet_pton(AF_INET, name.c_str(), address.data()) == 1 ||
         inet_pton(AF_INET6, name.c_str(), address.data()) == 1;
}

std::string spelledName(const std::string& name) {
  std::array<unsigned char, 16> address{};
  std::array<char, INET6_ADDRSTRLEN> text{};
  for (int family : {AF_INET, AF_INET6}) {
    if (inet_pton(family, name.c_str(), address.data()) != 1) continue;
    return inet_ntop(family, address.data(), text.data(), static_cast<socklen_t>(text.size()));
  }
  return lower(name);
}

tls::CertPtr certificateFromDer(const std::string& der) {
  const unsigned char* at = bytesOf(der);
  tls::CertPtr certificate(d2i_X509(nullptr, &at, static_cast<long>(der.size())));
  if (!certificate) tls::drainErrors();
  return certificate;
}

tls::CertPtr certificateFromPem(const std::string& pem) {
  tls::BioPtr in(BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size())));
  tls::CertPtr certificate(PEM_read_bio_X509(in.get(), nullptr, nullptr, nullptr));
  if (!certificate) tls::drainErrors();
  return certificate;
}

std::string serialOf(X509* certificate) {
  const ASN1_INTEGER* serial = X509_get0_serialNumber(certificate);
  return hex({reinterpret_cast<const char*>(ASN1_STRING_get0_data(serial)),
              static_cast<std::size_t>(ASN1_STRING_length(serial))});
}

std::string sha256(const std::string& bytes) {
  std::array<unsigned char, 32> digest{};
  EVP_Digest(bytes.data(), bytes.size(), digest.data(), nullptr, EVP_sha256(), nullptr);
  return {digest.begin(), digest.end()};
}

std::optional<Request> readRequest(const std::string& der) {
  const unsigned char* at = bytesOf(der);
  tls::RequestPtr csr(d2i_X509_REQ(nullptr, &at, static_cast<long>(der.size())));
  if (!csr) {
    tls::drainErrors();
    return std::nullopt;
  }
  Request request{tls::KeyPtr(X509_REQ_get_pubkey(csr.get())), {}};
  if (!request.key || X509_REQ_verify(csr.get(), request.key.get()) != 1) {
    tls::drainErrors();
    return std::nullopt;
  }
  tls::Owned<STACK_OF(X509_EXTENSION), freeExtensions> extensions(X509_REQ_get_extensions(csr.get()));
  if (!extensions) return request;
  tls::Owned<GENERAL_NAMES, freeNames> names(
      static_cast<GENERAL_NAMES*>(X509V3_get_d2i(extensions.get(), NID_subject_alt_name, nullptr, nullptr)));
  for (int i = 0; names && i < sk_GENERAL_NAME_num(names.get()); ++i) {
    request.names.push_back(nameFrom(sk_GENERAL_NAME_value(names.get(), i)));
  }
  return request;
}

std::optional<std::string> acmeIdentifier(X509* certificate) {
  using ObjectPtr = tls::Owned<ASN1_OBJECT, ASN1_OBJECT_free>;
  ObjectPtr id(OBJ_txt2obj("1.3.6.1.5.5.7.1.31", 1));
  int at = X509_get_ext_by_OBJ(certificate, id.get(), -1);
  if (at < 0) return std::nullopt;
  X509_EXTENSION* extension = X509_get_ext(certificate, at);
  if (X509_EXTENSION_get_critical(extension) != 1) return std::nullopt;
  const ASN1_OCTET_STRING* value = X509_EXTENSION_get_data(extension);
  const unsigned char* data = ASN1_STRING_get0_data(value);
  // The value is itself a DER OCTET STRING of 32 bytes.
  if (ASN1_STRING_length(value) != 34 || data[0] != 0x04 || data[1] != 32) return std::nullopt;
  return std::string(data + 2, data + 34);
}

}  // namespace postern::test
