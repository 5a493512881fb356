#include "acme/jws.h"

#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/ecdsa.h>
#include <openssl/err.h>

#include <array>
#include <vector>

#include "acme/error.h"
#include "base/encoding.h"
#include "base/json.h"
#include "tls/openssl.h"

namespace postern::acme {
namespace {

using BignumPtr = tls::Owned<BIGNUM, BN_free>;
using DigestContextPtr = tls::Owned<EVP_MD_CTX, EVP_MD_CTX_free>;
using SignaturePtr = tls::Owned<ECDSA_SIG, ECDSA_SIG_free>;

constexpr int coordinateBytes = 32;  // of P-256

[[noreturn]] void refuse(const std::string& why) {
  ERR_clear_error();
  throw Error(makeProblem("postern:malformed", why));
}

std::string bytesOf(const BIGNUM* number) {
  std::array<unsigned char, coordinateBytes> bytes{};
  if (BN_bn2binpad(number, bytes.data(), coordinateBytes) != coordinateBytes) refuse("the account key is damaged");
  return {bytes.begin(), bytes.end()};
}

std::string coordinate(EVP_PKEY* key, const char* which) {
  BIGNUM* raw = nullptr;
  if (EVP_PKEY_get_bn_param(key, which, &raw) != 1) refuse("the account key is damaged");
  BignumPtr number(raw);
  return base64Url(bytesOf(number.get()));
}

void demandP256(EVP_PKEY* key) {
  std::array<char, 64> group{};
  std::size_t length = 0;
  if (EVP_PKEY_is_a(key, "EC") != 1 || EVP_PKEY_get_group_name(key, group.data(), group.size(), &length) != 1 ||
      std::string(group.data(), length) != "prime256v1") {
    refuse("the account key is not an EC P-256 key");
  }
}

// ES256 wants r and s side by side, 32 bytes each (RFC 7518 section 3.4); OpenSSL gives them in DER.
std::string es256(EVP_PKEY* key, const std::string& input) {
  DigestContextPtr context(EVP_MD_CTX_new());
  const auto* bytes = reinterpret_cast<const unsigned char*>(input.data());
  std::size_t length = 0;
  if (!context || EVP_DigestSignInit(context.get(), nullptr, EVP_sha256(), nullptr, key) != 1 ||
      EVP_DigestSign(context.get(), nullptr, &length, bytes, input.size()) != 1) {
    tls::fail("cannot sign with the account key");
  }
  std::vector<unsigned char> der(length);
  if (EVP_DigestSign(context.get(), der.data(), &length, bytes, input.size()) != 1) {
    tls::fail("cannot sign with the account key");
  }
  const unsigned char* at = der.data();
  SignaturePtr signature(d2i_ECDSA_SIG(nullptr, &at, static_cast<long>(length)));
  if (!signature) tls::fail("cannot read a signature just made");
  return bytesOf(ECDSA_SIG_get0_r(signature.get())) + bytesOf(ECDSA_SIG_get0_s(signature.get()));
}

}  // namespace

std::string jwk(EVP_PKEY* key) {
  demandP256(key);
  // Json writes members in sorted order and without blanks, which is what RFC 7638 hashes.
  Json::Object members{{"crv", "P-256"},
                       {"kty", "EC"},
                       {"x", coordinate(key, OSSL_PKEY_PARAM_EC_PUB_X)},
                       {"y", coordinate(key, OSSL_PKEY_PARAM_EC_PUB_Y)}};
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

std::string signedRequest(EVP_PKEY* accountKey, const SignedParts& parts) {
  demandP256(accountKey);
  Json header;
  header["alg"] = "ES256";
  header["nonce"] = parts.nonce;
  header["url"] = parts.url;
  if (parts.accountUrl.empty()) {
    header["jwk"] = *Json::parse(jwk(accountKey));
  } else {
    header["kid"] = parts.accountUrl;
  }
  std::string protectedHeader = base64Url(header.dump());
  std::string payload = base64Url(parts.payload);
  Json body;
  body["protected"] = protectedHeader;
  body["payload"] = payload;
  body["signature"] = base64Url(es256(accountKey, protectedHeader + "." + payload));
  return body.dump();
}

}  // namespace postern::acme
