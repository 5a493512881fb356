// What a configuration says about who may shake hands, and how often; and what it is warned of.
#include <gmock/gmock.h>

#include "tests/config/loading.h"

namespace postern::config {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

const std::string tlsOf = "server.listener.smtp.tls.";

TEST(Handshakes, AreLimitedAsTheServerSaysUnlessAListenerDoes) {
  const auto plain = settingsOf(smtp);
  EXPECT_EQ(plain.shared.maxHandshakes, 512u);
  EXPECT_EQ(plain.shared.handshakeRate, listeners::Rate{});
  EXPECT_EQ(listenerOf(plain, "smtp").listener.maxHandshakes, 512u);
  EXPECT_FALSE(listenerOf(plain, "smtp").listener.handshakeRate);

  const std::string both = smtp + "server.tls.max-handshakes = 30\nserver.tls.handshake-rate-per-ip = \"10/1s\"\n";
  const auto shared = settingsOf(both);
  EXPECT_EQ(shared.shared.maxHandshakes, 30u);
  EXPECT_EQ(listenerOf(shared, "smtp").listener.maxHandshakes, 30u);
  EXPECT_EQ(shared.shared.handshakeRate, (listeners::Rate{10, std::chrono::seconds(1)}));
  EXPECT_FALSE(listenerOf(shared, "smtp").listener.handshakeRate);

  const auto own = settingsOf(both + tlsOf + "max-handshakes = 40\n" + tlsOf + "handshake-rate-per-ip = \"3/2m\"\n");
  EXPECT_EQ(own.shared.maxHandshakes, 40u);  // what one listener asks for is not cut off by what all share
  EXPECT_EQ(listenerOf(own, "smtp").listener.maxHandshakes, 40u);
  EXPECT_EQ(listenerOf(own, "smtp").listener.handshakeRate, (listeners::Rate{3, std::chrono::minutes(2)}));

  const auto off = settingsOf(both + tlsOf + "handshake-rate-per-ip = \"\"\n");
  EXPECT_EQ(listenerOf(off, "smtp").listener.handshakeRate, listeners::Rate{});
}

TEST(ClientAuth, IsReadWithItsAuthorities) {
  const std::string ca = "server.tls.client-ca = \"" POSTERN_TEST_DATA "/ca.pem\"\n";
  const auto settings = settingsOf(smtpAcme + "server.tls.client-auth = \"require\"\n" + ca +
                                   "server.listener.smtp.role = \"submission\"\n");
  const auto& policy = listenerOf(settings, "smtp").policy;
  EXPECT_EQ(policy.clientAuth, tls::ClientAuth::Require);
  EXPECT_THAT(policy.clientCa, HasSubstr("-----BEGIN CERTIFICATE-----"));
  EXPECT_THAT(settings.files, ::testing::Contains(POSTERN_TEST_DATA "/ca.pem"));
  EXPECT_EQ(listenerOf(settingsOf(smtpAcme + ca), "smtp").policy.clientCa, "");
  EXPECT_THAT(saidAbout(smtpAcme + "server.tls.client-auth = \"require\"\n"), HasSubstr("no client could come in"));
}

TEST(ClientAuth, SaysOfAPathWithASchemeWhatIsWrongWithIt) {
  const auto said = saidAbout(smtpAcme + "server.tls.client-auth = \"request\"\nserver.tls.client-ca = \"file://" +
                              POSTERN_TEST_DATA "/ca.pem\"\n");
  EXPECT_THAT(said, HasSubstr("/ca.pem\": expected a path; leave out the file://"));
  EXPECT_THAT(said, Not(HasSubstr("cannot be read")));
}

struct Warned {
  std::string name, settings, words;
};

void PrintTo(const Warned& one, std::ostream* out) {
  *out << one.name;
}

class TlsWarnings : public ::testing::TestWithParam<Warned> {};

INSTANTIATE_TEST_SUITE_P(
    Settings, TlsWarnings,
    ::testing::Values(
        Warned{"Modern", "server.tls.policy = \"modern\"\n", "server.tls.policy"},
        Warned{"Tls13Alone", tlsOf + "protocols = \"TLSv1.3\"\n", tlsOf + "protocols"},
        Warned{"NoCipherOfTls12", "server.tls.ciphers = \"TLS13_AES_128_GCM_SHA256\"\n", "server.tls.ciphers"},
        Warned{"Groups", tlsOf + "groups = [\"X448\", \"ffdhe2048\"]\n", tlsOf + "groups"},
        Warned{"Required", tlsOf + "required = true\n", tlsOf + "required"},
        Warned{"StrictSni", "server.tls.strict-sni = true\n", "server.tls.strict-sni"},
        Warned{"ClientAuth",
               "server.tls.client-auth = \"require\"\nserver.tls.client-ca = \"" POSTERN_TEST_DATA "/ca.pem\"\n",
               "server.tls.client-auth"}),
    [](const auto& one) { return one.param.name; });

TEST_P(TlsWarnings, NameWhatLosesMailOnAnMxAndNowhereElse) {
  const std::string said = saidAbout(smtpAcme + GetParam().settings);
  EXPECT_THAT(said, HasSubstr("warning: " + GetParam().words));
  EXPECT_THAT(said, HasSubstr("loses mail"));
  EXPECT_THAT(saidAbout(smtpAcme + GetParam().settings + "server.listener.smtp.role = \"submission\"\n"),
              Not(HasSubstr("loses mail")));
  EXPECT_THAT(saidAbout(smtpAcme + GetParam().settings + "server.listener.smtp.tls.enable = false\n"),
              Not(HasSubstr("loses mail: many")));
}

TEST(TlsSettings, ThatAreWeakAreNamed) {
  const std::string said =
      saidAbout(smtpAcme + tlsOf +
                "ciphers = [\"TLS13_AES_128_GCM_SHA256\", \"TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256\", "
                "\"TLS_RSA_WITH_AES_128_GCM_SHA256\", \"TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA\"]\n");
  EXPECT_THAT(said, HasSubstr("weak: TLS_RSA_WITH_AES_128_GCM_SHA256, TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA"));
  EXPECT_EQ(saidAbout(smtpAcme), "");
  EXPECT_EQ(saidAbout(smtpAcme + "server.tls.policy = \"intermediate\"\n"), "");
}

TEST(TlsSettings, OfVersionsBefore12AreRefused) {
  for (const char* old : {"TLSv1", "TLSv1.1", "SSLv3"})
    EXPECT_THAT(saidAbout(smtpAcme + "server.tls.protocols = [\"" + old + "\", \"TLSv1.2\"]\n"),
                HasSubstr("expected the name of a protocol"))
        << old;
}

}  // namespace
}  // namespace postern::config
