#include "acme/jws.h"

#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/ecdsa.h>
#include <openssl/err.h>
#include <openssl/hmac.h>

#include <array>
#include <vector>

#include "acme/error.h"
#include "base/encoding.h"
#include "tls/openssl.h"

namespace postern::acme {
namespace {

using BignumPtr = tls::Owned<BIGNUM, BN_free>;
using DigestContextPtr = tls::Owned<EVP_MD_CTX, EVP_MD_CTX_free>;
using SignaturePtr = tls::Owned<ECDSA_SIG, ECDSA_SIG_free>;

// How a kind of key signs (RFC 7518 section 3.1).
struct Algorithm {
  const char* name;
  const char* curve;  // null: RSA
  int numberBytes;    // of a coordinate, and of r and s
  const EVP_MD* digest;
};

[[noreturn]] void refuse(const std::string& why) {
  ERR_clear_error();
  throw Error(makeProblem("postern:malformed", why));
}

Algorithm algorithmOf(EVP_PKEY* key) {
  if (EVP_PKEY_is_a(key, "RSA") == 1) return {"RS256", nullptr, 0, EVP_sha256()};
  std::array<char, 64> group{};
  std::size_t length = 0;
  if (EVP_PKEY_is_a(key, "EC") == 1 && EVP_PKEY_get_group_name(key, group.data(), group.size(), &length) == 1) {
    const std::string_view name(group.data(), length);
    if (name == "prime256v1") return {"ES256", "P-256", 32, EVP_sha256()};
    if (name == "secp384r1") return {"ES384", "P-384", 48, EVP_sha384()};
  }
  refuse("no JWS can be signed with this kind of key: it must be EC P-256, EC P-384 or RSA");
}

std::string bytesOf(const BIGNUM* number, int size) {
  std::vector<unsigned char> bytes(static_cast<std::size_t>(size));
  if (BN_bn2binpad(number, bytes.data(), size) != size) refuse("the key to sign with is damaged");
  return {bytes.begin(), bytes.end()};
}

// `size` 0: as many bytes as it has.
std::string parameter(EVP_PKEY* key, const char* which, int size) {
  BIGNUM* raw = nullptr;
  if (EVP_PKEY_get_bn_param(key, which, &raw) != 1) refuse("the key to sign with is damaged");
  BignumPtr number(raw);
  return base64Url(bytesOf(number.get(), size > 0 ? size : BN_num_bytes(number.get())));
}

std::string signature(EVP_PKEY* key, const Algorithm& algorithm, const std::string& input) {
  DigestContextPtr context(EVP_MD_CTX_new());
  const auto* bytes = reinterpret_cast<const unsigned char*>(input.data());
  std::size_t length = 0;
  if (!context || EVP_DigestSignInit(context.get(), nullptr, algorithm.digest, nullptr, key) != 1 ||
      EVP_DigestSign(context.get(), nullptr, &length, bytes, input.size()) != 1) {
    tls::fail("cannot sign a request");
  }
  std::vector<unsigned char> made(length);
  if (EVP_DigestSign(context.get(), made.data(), &length, bytes, input.size()) != 1) tls::fail("cannot sign a request");
  if (!algorithm.curve) return {made.begin(), made.begin() + static_cast<std::ptrdiff_t>(length)};
  // JWS wants r and s side by side (RFC 7518 section 3.4); OpenSSL gives them in DER.
  const unsigned char* at = made.data();
  SignaturePtr pair(d2i_ECDSA_SIG(nullptr, &at, static_cast<long>(length)));
  if (!pair) tls::fail("cannot read a signature just made");
  return bytesOf(ECDSA_SIG_get0_r(pair.get()), algorithm.numberBytes) +
         bytesOf(ECDSA_SIG_get0_s(pair.get()), algorithm.numberBytes);
}

// A flattened JWS (RFC 7515 section 7.2.2). `sign` makes the signature of its input.
template <class Sign>
Json flattened(const Json& header, const std::string& payload, Sign sign) {
  const std::string protectedHeader = base64Url(header.dump()), encoded = base64Url(payload);
  Json body;
  body["protected"] = protectedHeader;
  body["payload"] = encoded;
  body["signature"] = base64Url(sign(protectedHeader + "." + encoded));
  return body;
}

Json signedJws(EVP_PKEY* key, const SignedParts& parts) {
  const Algorithm algorithm = algorithmOf(key);
  Json header;
  header["alg"] = algorithm.name;
  header["url"] = parts.url;
  if (!parts.nonce.empty()) header["nonce"] = parts.nonce;
  if (parts.accountUrl.empty()) {
    header["jwk"] = *Json::parse(jwk(key));
  } else {
    header["kid"] = parts.accountUrl;
  }
  return flattened(header, parts.payload, [&](const std::string& input) { return signature(key, algorithm, input); });
}

}  // namespace

std::string jwk(EVP_PKEY* key) {
  const Algorithm algorithm = algorithmOf(key);
  // Json writes members in sorted order and without blanks, which is what RFC 7638 hashes.
  Json::Object members;
  if (algorithm.curve) {
    members = {{"crv", algorithm.curve},
               {"kty", "EC"},
               {"x", parameter(key, OSSL_PKEY_PARAM_EC_PUB_X, algorithm.numberBytes)},
               {"y", parameter(key, OSSL_PKEY_PARAM_EC_PUB_Y, algorithm.numberBytes)}};
  } else {
    members = {{"e", parameter(key, OSSL_PKEY_PARAM_RSA_E, 0)},
               {"kty", "RSA"},
               {"n", parameter(key, OSSL_PKEY_PARAM_RSA_N, 0)}};
  }
  return Json(std::move(members)).dump();
}

std::string thumbprint(EVP_PKEY* key) {
  std::string text = jwk(key);
  std::array<unsigned char, 32> digest{};
  if (EVP_Digest(text.data(), text.size(), digest.data(), nullptr, EVP_sha256(), nullptr) != 1) {
    tls::fail("cannot hash the account key");
  }
  return base64Url(std::string(digest.begin(), digest.end()));
}

std::string keyAuthorization(const std::string& token, const std::string& thumbprint) {
  return token + "." + thumbprint;
}

std::string signedRequest(EVP_PKEY* key, const SignedParts& parts) {
  return signedJws(key, parts).dump();
}

Json externalAccountBinding(const ExternalAccount& external, EVP_PKEY* accountKey, const std::string& url) {
  if (external.keyId.empty() || external.hmacKey.empty()) refuse("the external account has no key");
  Json header;
  header["alg"] = "HS256";
  header["kid"] = external.keyId;
  header["url"] = url;
  return flattened(header, jwk(accountKey), [&](const std::string& input) {
    const std::string_view secret = external.hmacKey.reveal();
    std::array<unsigned char, EVP_MAX_MD_SIZE> mac{};
    unsigned int length = 0;
    if (HMAC(EVP_sha256(), secret.data(), static_cast<int>(secret.size()),
             reinterpret_cast<const unsigned char*>(input.data()), input.size(), mac.data(), &length) == nullptr) {
      tls::fail("cannot sign with the key of the external account");
    }
    return std::string(mac.begin(), mac.begin() + length);
  });
}

Json keyChangePayload(EVP_PKEY* oldKey, EVP_PKEY* newKey, const std::string& accountUrl, const std::string& url) {
  Json payload;
  payload["account"] = accountUrl;
  payload["oldKey"] = *Json::parse(jwk(oldKey));
  return signedJws(newKey, {url, "", "", payload.dump()});
}

}  // namespace postern::acme
