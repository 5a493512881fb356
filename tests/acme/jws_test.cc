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

TEST(Jws, RefusesAKeyThatIsNotOfP256) {
  for (tls::KeyType type : {tls::KeyType::EcdsaP384, tls::KeyType::Rsa2048}) {
    tls::KeyPtr key = tls::generateKey(type);
    EXPECT_THROW(jwk(key.get()), Error);
    EXPECT_THROW(signedRequest(key.get(), {"https://ca.test/", "n", "kid", ""}), Error);
  }
}

}  // namespace
}  // namespace postern::acme
