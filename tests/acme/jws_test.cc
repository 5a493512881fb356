#include "acme/jws.h"

#include <gtest/gtest.h>

#include "acme/error.h"
#include "base/encoding.h"
#include "base/json.h"
#include "tests/support/fake_ca_crypto.h"
#include "tls/certified_key.h"

namespace postern::acme {
namespace {

// The key of RFC 7515 appendix A.3.
constexpr const char* rfcKey = R"(-----BEGIN PRIVATE KEY-----
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgjpsQnnGQmL+YBIff
H1136cspYG6+0iY7X1fCE9+E9LKhRANCAAR/zc4ncPbEXUGDy+5v20t7WAczNXvp
7xO6z248e9FURcfxRM0bvZt+hyzf7bnuufSzaV1uqQskrYpGIyiFiOWt
-----END PRIVATE KEY-----
)";

tls::KeyPtr keyOfTheRfc() {
  return tls::keyFromPem(Secret(rfcKey));
}

Json read(const std::string& text) {
  return Json::parse(text).value_or(Json());
}

Json decoded(const Json& body, std::string_view member) {
  return Json::parse(fromBase64Url(body[member].string()).value_or("")).value_or(Json());
}

TEST(Jws, WritesTheKeyOfRfc7515AsItsJwk) {
  EXPECT_EQ(jwk(keyOfTheRfc().get()), R"({"crv":"P-256","kty":"EC","x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU",)"
                                      R"("y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"})");
}

TEST(Jws, HashesThatJwkToTheThumbprintOfRfc7638) {
  EXPECT_EQ(thumbprint(keyOfTheRfc().get()), "oKIywvGUpTVTyxMQ3bwIIeQUudfr_CkLMjCE19ECD-U");
}

TEST(Jws, JoinsTokenAndThumbprintWithADot) {
  EXPECT_EQ(keyAuthorization("token", "print"), "token.print");
}

TEST(Jws, NamesTheAccountByKidAndCarriesNoKeyWhereThereIsAnAccount) {
  SignedParts parts{"https://ca.test/newOrder", "n0nce", "https://ca.test/account/1", R"({"a":1})"};
  Json body = *Json::parse(signedRequest(keyOfTheRfc().get(), parts));
  Json header = decoded(body, "protected");
  EXPECT_EQ(header["alg"].string(), "ES256");
  EXPECT_EQ(header["nonce"].string(), "n0nce");
  EXPECT_EQ(header["url"].string(), "https://ca.test/newOrder");
  EXPECT_EQ(header["kid"].string(), "https://ca.test/account/1");
  EXPECT_TRUE(header["jwk"].isNull());
  EXPECT_EQ(decoded(body, "payload").dump(), R"({"a":1})");
}

TEST(Jws, CarriesTheKeyAndNoKidWhereThereIsNoAccountYet) {
  Json body = *Json::parse(signedRequest(keyOfTheRfc().get(), {"https://ca.test/newAccount", "n", "", "{}"}));
  Json header = decoded(body, "protected");
  EXPECT_EQ(header["jwk"].dump(), jwk(keyOfTheRfc().get()));
  EXPECT_TRUE(header["kid"].isNull());
}

TEST(Jws, HasAnEmptyPayloadForPostAsGet) {
  Json body = *Json::parse(signedRequest(keyOfTheRfc().get(), {"https://ca.test/order/1", "n", "kid", ""}));
  EXPECT_TRUE(body["payload"].isString());
  EXPECT_EQ(body["payload"].string("absent"), "");
}

// r or s begins with a zero byte in every hundredth signature: there DER is shorter and the raw form is not.
TEST(Jws, SignsInSixtyFourBytesHoweverSmallTheNumbersAre) {
  tls::KeyPtr key = keyOfTheRfc();
  for (int i = 0; i < 600; ++i) {
    Json body = *Json::parse(signedRequest(key.get(), {"https://ca.test/", std::to_string(i), "kid", "{}"}));
    auto signature = fromBase64Url(body["signature"].string());
    ASSERT_TRUE(signature);
    ASSERT_EQ(signature->size(), 64U);
    ASSERT_TRUE(
        test::signatureHolds(key.get(), body["protected"].string() + "." + body["payload"].string(), *signature));
  }
}

// The key of RFC 7638 section 3.1, and its thumbprint there.
TEST(Jws, HashesTheRsaKeyOfRfc7638ToItsThumbprint) {
  const Json rfc = read(
      R"({"kty":"RSA","n":"0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECP)"
      R"(ebWKRXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9)"
      R"(c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur)"
      R"(-kEgU8awapJzKnqDKgw","e":"AQAB"})");
  tls::KeyPtr key = test::keyFromJwk(rfc);
  ASSERT_TRUE(key);
  EXPECT_EQ(thumbprint(key.get()), "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs");
}

TEST(Jws, SignsWithTheAlgorithmOfTheKey) {
  const std::pair<tls::KeyType, const char*> cases[] = {
      {tls::KeyType::EcdsaP256, "ES256"}, {tls::KeyType::EcdsaP384, "ES384"}, {tls::KeyType::Rsa2048, "RS256"}};
  for (const auto& [type, algorithm] : cases) {
    tls::KeyPtr key = tls::generateKey(type);
    Json body = read(signedRequest(key.get(), {"https://ca.test/revoke", "n", "", "{}"}));
    EXPECT_EQ(decoded(body, "protected")["alg"].string(), algorithm);
    // Verified with the key that the JWS itself carries.
    tls::KeyPtr carried = test::keyFromJwk(decoded(body, "protected")["jwk"]);
    ASSERT_TRUE(carried) << algorithm;
    EXPECT_EQ(EVP_PKEY_eq(carried.get(), key.get()), 1) << algorithm;
    EXPECT_TRUE(test::signatureHolds(carried.get(), body["protected"].string() + "." + body["payload"].string(),
                                     fromBase64Url(body["signature"].string()).value_or(""), algorithm));
  }
}

TEST(Jws, RefusesAKeyThatNoAlgorithmOfItsIsFor) {
  tls::KeyPtr key(EVP_PKEY_Q_keygen(nullptr, nullptr, "ED25519"));
  ASSERT_TRUE(key);
  EXPECT_THROW(jwk(key.get()), Error);
  EXPECT_THROW(signedRequest(key.get(), {"https://ca.test/", "n", "kid", ""}), Error);
}

// RFC 7515 appendix A.1.1: its key, over our own input.
TEST(Jws, BindsToAnExternalAccountUnderItsHmacKey) {
  const std::string secret =
      fromBase64Url("AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow")
          .value_or("");
  tls::KeyPtr key = keyOfTheRfc();
  Json binding = externalAccountBinding({"kid-1", Secret(secret)}, key.get(), "https://ca.test/newAccount");
  Json header = decoded(binding, "protected");
  EXPECT_EQ(header["alg"].string(), "HS256");
  EXPECT_EQ(header["kid"].string(), "kid-1");
  EXPECT_EQ(header["url"].string(), "https://ca.test/newAccount");
  EXPECT_TRUE(header["nonce"].isNull());
  EXPECT_EQ(decoded(binding, "payload").dump(), jwk(key.get()));
  EXPECT_EQ(fromBase64Url(binding["signature"].string()),
            test::hmacSha256(secret, binding["protected"].string() + "." + binding["payload"].string()));
  EXPECT_THROW(externalAccountBinding({"kid-1", Secret()}, key.get(), "https://ca.test/"), Error);
}

TEST(Jws, SignsAChangeOfKeysWithTheNewKeyAndNamesTheOldOne) {
  tls::KeyPtr old = keyOfTheRfc(), fresh = tls::generateKey(tls::KeyType::EcdsaP256);
  Json inner = keyChangePayload(old.get(), fresh.get(), "https://ca.test/account/1", "https://ca.test/keyChange");
  Json header = decoded(inner, "protected"), payload = decoded(inner, "payload");
  EXPECT_EQ(header["jwk"].dump(), jwk(fresh.get()));
  EXPECT_EQ(header["url"].string(), "https://ca.test/keyChange");
  EXPECT_TRUE(header["nonce"].isNull());
  EXPECT_TRUE(header["kid"].isNull());
  EXPECT_EQ(payload["account"].string(), "https://ca.test/account/1");
  EXPECT_EQ(payload["oldKey"].dump(), jwk(old.get()));
  EXPECT_TRUE(test::signatureHolds(fresh.get(), inner["protected"].string() + "." + inner["payload"].string(),
                                   fromBase64Url(inner["signature"].string()).value_or("")));
}

}  // namespace
}  // namespace postern::acme
