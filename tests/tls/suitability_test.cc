// What check says of certificates that clients will not take.
#include "tls/suitability.h"

#include <gmock/gmock.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include "tests/support/test_certificates.h"

namespace postern::tls {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

using Extensions = std::vector<std::pair<int, std::string>>;

class SuitabilityTest : public ::testing::Test {
 protected:
  static KeyPtr onCurve(const char* curve) { return KeyPtr(EVP_PKEY_Q_keygen(nullptr, nullptr, "EC", curve)); }

  // What is wrong with a certificate of these extensions, issued by an intermediate that is not sent along.
  std::vector<std::string> problems(const Extensions& extensions, KeyPtr key = generateKey(KeyType::EcdsaP256)) {
    const CertPtr leaf(X509_new());
    X509_set_version(leaf.get(), 2);
    ASN1_INTEGER_set(X509_get_serialNumber(leaf.get()), 7);
    X509_gmtime_adj(X509_getm_notBefore(leaf.get()), -3600);
    X509_gmtime_adj(X509_getm_notAfter(leaf.get()), 3600);
    X509_set_issuer_name(leaf.get(), X509_get_subject_name(ca_.intermediate()));
    X509_set_pubkey(leaf.get(), key.get());
    for (const auto& [nid, value] : extensions) {
      const Owned<X509_EXTENSION, X509_EXTENSION_free> extension(
          X509V3_EXT_conf_nid(nullptr, nullptr, nid, value.c_str()));
      EXPECT_TRUE(extension) << value;
      X509_add_ext(leaf.get(), extension.get(), -1);
    }
    const KeyPtr issuer = generateKey(KeyType::EcdsaP256);
    EXPECT_GT(X509_sign(leaf.get(), issuer.get(), EVP_sha256()), 0);
    const auto pair = CertifiedKey::fromPem(postern::testing::certificatePem(leaf.get()), std::move(key));
    std::vector<std::string> all;
    for (const auto& objection : objectionsTo(*pair)) {
      EXPECT_FALSE(objection.remedy.empty());
      all.push_back(objection.problem);
    }
    return all;
  }

  const postern::testing::TestCa ca_;
};

TEST_F(SuitabilityTest, FindsNothingInWhatCasIssue) {
  EXPECT_THAT(objectionsTo(*ca_.issue({"mail.example.org"})), IsEmpty());
  postern::testing::IssueOptions rsa;
  rsa.keyType = KeyType::Rsa2048;
  EXPECT_THAT(objectionsTo(*ca_.issue({"mail.example.org"}, rsa)), IsEmpty());
  const auto key = generateKey(KeyType::EcdsaP256);
  EXPECT_THAT(objectionsTo(*makeSelfSigned(key.get(), {"mail.example.org"}, postern::testing::machineTime())),
              IsEmpty());
  EXPECT_THAT(problems({}), IsEmpty());
  for (const char* curve : {"P-384", "P-521"}) EXPECT_THAT(problems({}, onCurve(curve)), IsEmpty()) << curve;
  EXPECT_THAT(problems({}, KeyPtr(EVP_PKEY_Q_keygen(nullptr, nullptr, "ED25519"))), IsEmpty());
  EXPECT_THAT(problems({{NID_ext_key_usage, "serverAuth,clientAuth"}}), IsEmpty());
  EXPECT_THAT(problems({{NID_ext_key_usage, "anyExtendedKeyUsage"}}), IsEmpty());
  EXPECT_THAT(problems({{NID_info_access, "OCSP;URI:http://ocsp.example.org/"}}), IsEmpty());
}

TEST_F(SuitabilityTest, NamesACurveThatClientsDoNotTake) {
  EXPECT_THAT(problems({}, onCurve("secp256k1")), ElementsAre(HasSubstr("the curve secp256k1")));
  EXPECT_THAT(problems({}, onCurve("brainpoolP256r1")), ElementsAre(HasSubstr("the curve brainpoolP256r1")));
}

TEST_F(SuitabilityTest, NamesAUsageThatIsNotAServers) {
  EXPECT_THAT(problems({{NID_key_usage, "critical,keyAgreement"}}), ElementsAre(HasSubstr("lacks digitalSignature")));
  EXPECT_THAT(problems({{NID_ext_key_usage, "clientAuth"}}), ElementsAre(HasSubstr("lacks serverAuth")));
}

TEST_F(SuitabilityTest, NamesADemandForWhatIsNotSent) {
  EXPECT_THAT(problems({{NID_tlsfeature, "status_request"}}), ElementsAre(HasSubstr("must-staple")));
}

TEST_F(SuitabilityTest, NamesAChainOfWhichOnlyTheFirstIsThere) {
  const Extensions place{{NID_info_access, "caIssuers;URI:http://ca.example.org/intermediate.crt"}};
  EXPECT_THAT(problems(place), ElementsAre(HasSubstr("nothing stands behind it in its chain")));
}

}  // namespace
}  // namespace postern::tls
