#include "acme/tls_alpn_solver.h"

#include <gtest/gtest.h>
#include <openssl/x509v3.h>

#include "tests/support/fake_ca_crypto.h"
#include "tests/support/fake_clock.h"

namespace postern::acme {
namespace {

struct TlsAlpnSolverTest : ::testing::Test {
  testing::FakeClock clock;
  tls::AlpnChallenges challenges;
  TlsAlpnSolver solver{challenges, clock};
};

TEST_F(TlsAlpnSolverTest, ShowsACertificateForTheNameWithTheDigestOfTheKeyAuthorization) {
  auto presented = solver.present({"mail.example.org", "token", "token.print"}, {});
  tls::CertifiedKeyRef shown = challenges.find("mail.example.org");
  ASSERT_TRUE(shown);
  EXPECT_EQ(shown->names(), std::vector<std::string>{"mail.example.org"});
  EXPECT_EQ(test::acmeIdentifier(shown->leaf()), test::sha256("token.print"));
  EXPECT_TRUE(shown->validAt(clock.now()));
}

TEST_F(TlsAlpnSolverTest, TakesItDownWhenItsOwnerLetsGo) {
  auto presented = solver.present({"mail.example.org", "token", "token.print"}, {});
  presented.reset();
  EXPECT_FALSE(challenges.find("mail.example.org"));
}

TEST_F(TlsAlpnSolverTest, AnswersForAnAddressUnderItsReverseName) {
  auto presented = solver.present({"192.0.2.1", "token", "token.print"}, {});
  EXPECT_TRUE(challenges.find("1.2.0.192.in-addr.arpa"));
}

// RFC 8738 sections 4 and 6: the address in the certificate, its reverse name in the handshake.
TEST_F(TlsAlpnSolverTest, AnswersForAnAddressInAnySpelling) {
  const std::string reverse = "7.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa";
  for (const char* spelling : {"2001:db8::7", "2001:0DB8:0:0:0:0:0:0007", "2001:db8:0:0::7"}) {
    auto presented = solver.present({spelling, "token", "token.print"}, {});
    tls::CertifiedKeyRef shown = challenges.find(reverse);
    ASSERT_TRUE(shown) << spelling;
    EXPECT_EQ(shown->names(), std::vector<std::string>{"2001:db8::7"});
    using Names = tls::Owned<GENERAL_NAMES, GENERAL_NAMES_free>;
    Names names(static_cast<GENERAL_NAMES*>(X509_get_ext_d2i(shown->leaf(), NID_subject_alt_name, nullptr, nullptr)));
    ASSERT_EQ(sk_GENERAL_NAME_num(names.get()), 1);
    EXPECT_EQ(sk_GENERAL_NAME_value(names.get(), 0)->type, GEN_IPADD);
  }
  EXPECT_FALSE(challenges.find(reverse));
}

TEST_F(TlsAlpnSolverTest, LeavesTheAnswerOfAnotherOrderForTheSameNameUp) {
  auto first = solver.present({"mail.example.org", "token", "token1.print"}, {});
  auto second = solver.present({"mail.example.org", "token", "token2.print"}, {});
  second.reset();
  ASSERT_TRUE(challenges.find("mail.example.org"));
  EXPECT_EQ(test::acmeIdentifier(challenges.find("mail.example.org")->leaf()), test::sha256("token1.print"));
}

TEST_F(TlsAlpnSolverTest, IsTheSolverOfTlsAlpn01) {
  EXPECT_EQ(solver.type(), ChallengeType::TlsAlpn01);
}

}  // namespace
}  // namespace postern::acme
