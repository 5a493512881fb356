// What is taken for the certificate of an order, and what is not.
#include "acme/issuance.h"
#include "tests/acme/ca_fixture.h"

namespace postern::acme {
namespace {

using namespace std::chrono_literals;

using IssuedChain = WithCa;

TEST_F(IssuedChain, TakesACertificateWhoseCaIsAFewMinutesAhead) {
  tls::KeyPtr own = tls::generateKey(tls::KeyType::EcdsaP256);
  test::TestIssuer issuer;
  test::Leaf leaf{{"mail.example.org"}, clock.now() + 4min, clock.now() + 24h, true};
  std::string pem = test::pemOf(issuer.issue(own.get(), leaf).get()) + issuer.intermediatePem();
  EXPECT_TRUE(verified(pem, own.get(), {"mail.example.org"}, clock.now()));
  EXPECT_THROW(verified(pem, own.get(), {"mail.example.org"}, clock.now() - 2min), Error);
}

TEST_F(IssuedChain, TakesAChainWithCommentsAndWithItsRoot) {
  tls::KeyPtr own = tls::generateKey(tls::KeyType::EcdsaP256);
  test::TestIssuer issuer;
  test::Leaf leaf{{"Mail.Example.org", "2001:db8:0:0::1"}, clock.now(), clock.now() + 24h, true};
  std::string pem = "subject=mail\r\n" + test::pemOf(issuer.issue(own.get(), leaf).get()) + "\n# issuer\n" +
                    issuer.intermediatePem() + issuer.rootPem();
  EXPECT_EQ(verified(pem, own.get(), {"mail.example.org", "2001:db8::1"}, clock.now())->chain().size(), 2U);
}

}  // namespace
}  // namespace postern::acme
