#include "tls/certified_key.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include <string>
#include <thread>
#include <vector>

#include "base/encoding.h"
#include "tests/support/test_certificates.h"
#include "tls/certificate_reading.h"

namespace postern::tls {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using testing::IssueOptions;
using testing::machineTime;
using ::testing::MatchesRegex;
using ::testing::StartsWith;
using testing::TestCa;
using namespace std::chrono_literals;

// The message of the Error that `call` throws; "" when it throws none.
template <class Call>
std::string errorOf(Call call) {
  try {
    call();
  } catch (const Error& error) {
    return error.what();
  }
  return "";
}

CertPtr bareCertificate(const std::string& subject, const std::string& issuer, EVP_PKEY* key, EVP_PKEY* signer,
                        const EVP_MD* digest) {
  CertPtr made(X509_new());
  const auto name = [](X509_NAME* of, const std::string& common) {
    X509_NAME_add_entry_by_txt(of, "CN", MBSTRING_UTF8, reinterpret_cast<const unsigned char*>(common.c_str()), -1, -1,
                               0);
  };
  name(X509_get_subject_name(made.get()), subject);
  name(X509_get_issuer_name(made.get()), issuer);
  ASN1_INTEGER_set(X509_get_serialNumber(made.get()), 7);
  X509_gmtime_adj(X509_getm_notBefore(made.get()), 0);
  X509_gmtime_adj(X509_getm_notAfter(made.get()), 3600);
  X509_set_pubkey(made.get(), key);
  X509_sign(made.get(), signer, digest);
  return made;
}

class CertifiedKeyTest : public ::testing::Test {
 protected:
  TestCa ca_;
};

TEST_F(CertifiedKeyTest, ReadsNamesDatesSerialAndIssuerOfTheLeaf) {
  IssueOptions options;
  options.notBefore = Time(1700000000s);
  options.notAfter = Time(1707776000s);
  const auto made = ca_.issue({"Mail.Example.ORG", "*.example.org", "192.0.2.7", "2001:db8::7"}, options);
  EXPECT_THAT(made->names(), ElementsAre("mail.example.org", "*.example.org", "192.0.2.7", "2001:db8::7"));
  EXPECT_EQ(made->notBefore(), options.notBefore);
  EXPECT_EQ(made->notAfter(), options.notAfter);
  EXPECT_FALSE(made->validAt(options.notBefore - 1s));
  EXPECT_TRUE(made->validAt(options.notBefore));
  EXPECT_FALSE(made->validAt(options.notAfter));
  EXPECT_EQ(made->issuer(), "Test CA Intermediate");
  EXPECT_THAT(made->serial(), MatchesRegex("[0-9a-f]{32}"));
  EXPECT_FALSE(made->selfSigned());
  EXPECT_EQ(made->chain().size(), 2u);
}

TEST_F(CertifiedKeyTest, CoversOneLabelByAWildcardAndNoMore) {
  const auto made = ca_.issue({"*.example.org", "192.0.2.7", "2001:db8::7"});
  EXPECT_TRUE(made->covers("a.example.org"));
  EXPECT_TRUE(made->covers("A.EXAMPLE.org."));
  EXPECT_TRUE(made->covers("*.example.org"));
  EXPECT_TRUE(made->covers("2001:0DB8:0::7"));
  EXPECT_FALSE(made->covers("example.org"));
  EXPECT_FALSE(made->covers("b.a.example.org"));
  EXPECT_FALSE(made->covers(".example.org"));
  EXPECT_FALSE(made->covers("192.0.2.8"));
}

TEST_F(CertifiedKeyTest, DropsTheRootAtTheEndOfTheChain) {
  IssueOptions options;
  options.withRoot = true;
  EXPECT_EQ(ca_.issue({"mail.example.org"}, options)->chain().size(), 2u);
}

TEST_F(CertifiedKeyTest, TakesASelfSignedLeafAsItIs) {
  const KeyPtr key = generateKey(KeyType::EcdsaP256);
  const auto made = makeSelfSigned(key.get(), {"mail.example.org"}, machineTime());
  EXPECT_TRUE(CertifiedKey::fromPem(made->chainPem(), share(key.get()))->selfSigned());
}

TEST_F(CertifiedKeyTest, TakesEveryKeyTypeThatItCanMake) {
  for (const auto type :
       {KeyType::EcdsaP256, KeyType::EcdsaP384, KeyType::Rsa2048, KeyType::Rsa3072, KeyType::Rsa4096}) {
    IssueOptions options;
    options.keyType = type;
    EXPECT_EQ(ca_.issue({"mail.example.org"}, options)->keyTypeName(), nameOf(type));
  }
}

TEST_F(CertifiedKeyTest, KeepsAnIntermediateInMemoryOnceForAllItsCertificates) {
  const auto one = ca_.issue({"one.example.org"});
  const auto other = ca_.issue({"other.example.org"});
  EXPECT_EQ(one->chain().at(1).get(), other->chain().at(1).get());
  EXPECT_NE(one->chain().at(1).get(), testing::TestCa().issue({"one.example.org"})->chain().at(1).get());
}

TEST_F(CertifiedKeyTest, TakesAnEd25519Key) {
  KeyPtr key(EVP_PKEY_Q_keygen(nullptr, nullptr, "ED25519"));
  EXPECT_EQ(makeSelfSigned(key.get(), {"mail.example.org"}, machineTime())->keyTypeName(), "ed25519");
}

TEST_F(CertifiedKeyTest, RefusesAKeyOfAnotherCertificate) {
  const auto pem = ca_.issuePem({"mail.example.org"});
  const auto other = ca_.issuePem({"mail.example.org"});
  EXPECT_THAT(errorOf([&] { CertifiedKey::fromPem(pem.chain, other.key); }),
              HasSubstr("does not belong to the certificate of mail.example.org"));
}

TEST_F(CertifiedKeyTest, SaysWhichCertificateTheKeyBelongsToWhenTheLeafIsNotFirst) {
  const auto made = ca_.issue({"mail.example.org"});
  const std::string turned = ca_.intermediatePem() + testing::certificatePem(made->leaf());
  EXPECT_THAT(errorOf([&] { CertifiedKey::fromPem(turned, share(made->key())); }),
              HasSubstr("belongs to certificate 2"));
}

TEST_F(CertifiedKeyTest, RefusesAChainWhoseIntermediateIsAnothers) {
  const auto made = ca_.issue({"mail.example.org"});
  // The same names, another key: only the signature tells.
  const std::string mixed = testing::certificatePem(made->leaf()) + TestCa().intermediatePem();
  EXPECT_THAT(errorOf([&] { CertifiedKey::fromPem(mixed, share(made->key())); }), HasSubstr("out of order"));
}

TEST_F(CertifiedKeyTest, RefusesALeafThatStandsTwice) {
  const auto pem = ca_.issuePem({"mail.example.org"});
  EXPECT_THAT(errorOf([&] { CertifiedKey::fromPem(pem.chain + pem.chain, pem.key); }), HasSubstr("out of order"));
}

TEST_F(CertifiedKeyTest, RefusesTextWithoutACertificate) {
  const auto pem = ca_.issuePem({"mail.example.org"});
  EXPECT_THAT(errorOf([&] { CertifiedKey::fromPem("", pem.key); }), HasSubstr("no certificate"));
  EXPECT_THAT(errorOf([&] { CertifiedKey::fromPem("<html>gone</html>", pem.key); }), HasSubstr("no certificate"));
  EXPECT_THAT(errorOf([&] { CertifiedKey::fromPem(pem.key.reveal(), pem.key); }), HasSubstr("no certificate"));
}

TEST_F(CertifiedKeyTest, RefusesBrokenPemAndSaysWhichCertificateItIs) {
  const auto pem = ca_.issuePem({"mail.example.org"});
  EXPECT_THAT(errorOf([&] { CertifiedKey::fromPem(pem.chain.substr(0, pem.chain.size() - 40), pem.key); }),
              StartsWith("certificate 2 of the chain"));
  EXPECT_THAT(errorOf([&] {
                CertifiedKey::fromPem("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", pem.key);
              }),
              StartsWith("certificate 1 of the chain"));
}

TEST_F(CertifiedKeyTest, ReadsKeyAndChainFromOneFile) {
  const auto pem = ca_.issuePem({"mail.example.org"});
  const std::string both = std::string(pem.key.reveal()) + pem.chain;
  EXPECT_EQ(CertifiedKey::fromPem(both, Secret(both))->chain().size(), 2u);
}

TEST_F(CertifiedKeyTest, ReadsTheOlderFormsOfPrivateKeys) {
  for (const auto type : {KeyType::EcdsaP256, KeyType::Rsa2048}) {
    const KeyPtr key = generateKey(type);
    const BioPtr output(BIO_new(BIO_s_mem()));
    ASSERT_EQ(PEM_write_bio_PrivateKey_traditional(output.get(), key.get(), nullptr, nullptr, 0, nullptr, nullptr), 1);
    char* data = nullptr;
    const long size = BIO_get_mem_data(output.get(), &data);
    EXPECT_EQ(EVP_PKEY_eq(keyFromPem(Secret(std::string(data, static_cast<std::size_t>(size)))).get(), key.get()), 1);
  }
}

TEST_F(CertifiedKeyTest, RefusesAnEncryptedKeyAndSaysHowToDecryptIt) {
  const KeyPtr key = generateKey(KeyType::EcdsaP256);
  char password[] = "secret";
  const auto encrypted = [&](bool traditional) {
    const BioPtr output(BIO_new(BIO_s_mem()));
    if (traditional)
      PEM_write_bio_PrivateKey_traditional(output.get(), key.get(), EVP_aes_256_cbc(), nullptr, 0, nullptr, password);
    else
      PEM_write_bio_PKCS8PrivateKey(output.get(), key.get(), EVP_aes_256_cbc(), nullptr, 0, nullptr, password);
    char* data = nullptr;
    const long size = BIO_get_mem_data(output.get(), &data);
    return Secret(std::string(data, static_cast<std::size_t>(size)));
  };
  EXPECT_THAT(errorOf([&] { keyFromPem(encrypted(false)); }), HasSubstr("openssl pkey"));
  EXPECT_THAT(errorOf([&] { keyFromPem(encrypted(true)); }), HasSubstr("openssl pkey"));
}

TEST_F(CertifiedKeyTest, RefusesNoKeySeveralKeysAndBrokenKeys) {
  const std::string one(keyToPem(generateKey(KeyType::EcdsaP256).get()).reveal());
  EXPECT_THAT(errorOf([&] { keyFromPem(Secret("nothing")); }), HasSubstr("no private key"));
  EXPECT_THAT(errorOf([&] { keyFromPem(Secret(ca_.rootPem())); }), HasSubstr("no private key"));
  EXPECT_THAT(errorOf([&] { keyFromPem(Secret(one + one)); }), HasSubstr("several private keys"));
  EXPECT_THAT(errorOf([&] { keyFromPem(Secret(one.substr(0, one.size() - 40))); }), HasSubstr("broken PEM"));
  EXPECT_THAT(errorOf([&] { keyFromPem(Secret("-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n")); }),
              HasSubstr("cannot be read"));
}

TEST_F(CertifiedKeyTest, RefusesAKeyTooWeakForAnyClient) {
  const KeyPtr key(EVP_RSA_gen(1024));
  EXPECT_THAT(errorOf([&] { makeSelfSigned(key.get(), {"mail.example.org"}, machineTime()); }), HasSubstr("too small"));
}

TEST_F(CertifiedKeyTest, RefusesASignatureTooWeakForAnyClient) {
  const KeyPtr key = generateKey(KeyType::EcdsaP256), issuerKey = generateKey(KeyType::EcdsaP256);
  const auto issuer = bareCertificate("Issuer", "Issuer", issuerKey.get(), issuerKey.get(), EVP_sha1());
  const auto weak = bareCertificate("mail.example.org", "Issuer", key.get(), issuerKey.get(), EVP_sha1());
  const auto strong = bareCertificate("mail.example.org", "Issuer", key.get(), issuerKey.get(), EVP_sha256());
  const auto made = [&](const CertPtr& leaf) {
    return CertifiedKey::fromPem(testing::certificatePem(leaf.get()) + testing::certificatePem(issuer.get()),
                                 share(key.get()));
  };
  EXPECT_THAT(errorOf([&] { made(weak); }), HasSubstr("signature of certificate 1"));
  EXPECT_THAT(made(strong)->names(), ElementsAre("mail.example.org"));
  // What one has signed for itself is believed or not, whatever the signature.
  const auto own = bareCertificate("mail.example.org", "mail.example.org", key.get(), key.get(), EVP_sha1());
  EXPECT_TRUE(CertifiedKey::fromPem(testing::certificatePem(own.get()), share(key.get()))->selfSigned());
}

TEST_F(CertifiedKeyTest, RefusesALeafThatWasDamagedAfterItWasSigned) {
  const auto made = ca_.issue({"mail.example.org"});
  std::string der = made->leafDer();
  der[der.find("mail.example.org")] = 'n';
  const CertPtr damaged = certificateFromDer(der);
  ASSERT_TRUE(damaged);
  EXPECT_THAT(errorOf([&] {
                CertifiedKey::fromPem(testing::certificatePem(damaged.get()) + ca_.intermediatePem(),
                                      share(made->key()));
              }),
              HasSubstr("is not signed by certificate 2"));
}

TEST_F(CertifiedKeyTest, IsOneLeafForAllThatAskForItAtOnceAndTheOneThatWasRead) {
  const auto issued = ca_.issuePem({"mail.example.org"});
  const auto made = CertifiedKey::fromPem(issued.chain, issued.key);
  std::vector<X509*> seen(8);
  {
    std::vector<std::jthread> threads;
    for (auto& one : seen) threads.emplace_back([&one, &made] { one = made->leaf(); });
  }
  ASSERT_NE(seen.front(), nullptr);
  for (X509* one : seen) EXPECT_EQ(one, seen.front());
  EXPECT_TRUE(issued.chain.starts_with(testing::certificatePem(made->leaf())));
  EXPECT_EQ(made->chainPem(), issued.chain);
  EXPECT_EQ(X509_check_private_key(made->leaf(), made->key()), 1);  // with its public key, of which loading had no need
}

TEST_F(CertifiedKeyTest, SelfSignedIsForTheGivenKeyAndNamesFromAnHourAgo) {
  const KeyPtr key = generateKey(KeyType::EcdsaP256);
  const Time now(1772366400s);
  const auto made = makeSelfSigned(key.get(), {"mail.example.org", "192.0.2.7"}, now);
  EXPECT_TRUE(made->selfSigned());
  EXPECT_EQ(EVP_PKEY_eq(made->key(), key.get()), 1);
  EXPECT_THAT(made->names(), ElementsAre("mail.example.org", "192.0.2.7"));
  EXPECT_EQ(made->notBefore(), now - 1h);
  EXPECT_EQ(made->notAfter(), now + 7 * 24h);
  const int at = X509_get_ext_by_NID(made->leaf(), NID_basic_constraints, -1);
  ASSERT_GE(at, 0);
  EXPECT_EQ(X509_EXTENSION_get_critical(X509_get_ext(made->leaf(), at)), 1);
}

TEST_F(CertifiedKeyTest, SelfSignedTakesANameLongerThanACommonName) {
  const std::string name = std::string(60, 'a') + ".example.org";
  const KeyPtr key = generateKey(KeyType::EcdsaP256);
  EXPECT_THAT(makeSelfSigned(key.get(), {name}, machineTime())->names(), ElementsAre(name));
}

TEST_F(CertifiedKeyTest, ChallengeCertificateHasTheNameAloneAndACriticalAcmeIdentifier) {
  std::string digest;
  for (int i = 0; i < 32; ++i) digest += static_cast<char>(i * 7);
  const auto made = makeChallengeCertificate("mail.example.org", digest, machineTime());
  EXPECT_THAT(made->names(), ElementsAre("mail.example.org"));
  EXPECT_TRUE(made->selfSigned());
  const Owned<ASN1_OBJECT, ASN1_OBJECT_free> id(OBJ_txt2obj("1.3.6.1.5.5.7.1.31", 1));
  const int at = X509_get_ext_by_OBJ(made->leaf(), id.get(), -1);
  ASSERT_GE(at, 0);
  X509_EXTENSION* extension = X509_get_ext(made->leaf(), at);
  EXPECT_EQ(X509_EXTENSION_get_critical(extension), 1);
  const ASN1_OCTET_STRING* value = X509_EXTENSION_get_data(extension);
  const std::string der(reinterpret_cast<const char*>(ASN1_STRING_get0_data(value)),
                        static_cast<std::size_t>(ASN1_STRING_length(value)));
  EXPECT_EQ(hex(der), "0420" + hex(digest));
}

TEST_F(CertifiedKeyTest, ChallengeCertificateForAnAddressHasItAsAnAddress) {
  const auto made = makeChallengeCertificate("192.0.2.7", std::string(32, 'd'), machineTime());
  EXPECT_EQ(X509_check_ip_asc(made->leaf(), "192.0.2.7", 0), 1);
}

TEST_F(CertifiedKeyTest, ChallengeCertificateRefusesADigestOfAnotherLength) {
  EXPECT_THAT(errorOf([] { makeChallengeCertificate("a.example.org", "short", machineTime()); }),
              HasSubstr("32 bytes"));
}

TEST_F(CertifiedKeyTest, RequestHasTheNamesInSubjectAltNameAndAnEmptySubject) {
  const KeyPtr key = generateKey(KeyType::EcdsaP256);
  // A comma would begin another name if it were handed to OpenSSL's configuration syntax.
  const std::vector<std::string> names{"mail.example.org", "192.0.2.7", "2001:db8::7", "a,DNS:evil.example.org"};
  const std::string der = certificateRequest(key.get(), names);
  EXPECT_EQ(TestCa::namesOfRequest(der), names);
  const auto* at = reinterpret_cast<const unsigned char*>(der.data());
  const RequestPtr request(d2i_X509_REQ(nullptr, &at, static_cast<long>(der.size())));
  ASSERT_TRUE(request);
  EXPECT_EQ(X509_REQ_verify(request.get(), key.get()), 1);
  EXPECT_EQ(X509_NAME_entry_count(X509_REQ_get_subject_name(request.get())), 0);
}

TEST_F(CertifiedKeyTest, RequestLeadsToAChainThatFitsItsKey) {
  const KeyPtr key = generateKey(KeyType::Rsa2048);
  const std::string chain =
      ca_.chainForRequest(certificateRequest(key.get(), {"mail.example.org"}), {"mail.example.org"});
  EXPECT_THAT(CertifiedKey::fromPem(chain, share(key.get()))->names(), ElementsAre("mail.example.org"));
}

}  // namespace
}  // namespace postern::tls
