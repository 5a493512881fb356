// The probe expects of a listener's own name what its clients are shown.
#include <gtest/gtest.h>

#include "server/probe.h"
#include "tests/support/test_certificates.h"

namespace postern::server {
namespace {

TEST(ProbeNames, ExpectForTheHostnameWhatCoversItUntilTheOwnCertificateHasCome) {
  SystemClock clock;
  Log log{LogSettings{LogLevel::Error, LogFormat::Text, ""}};
  tls::CertificateStore store;
  tls::TicketKeys tickets(clock);
  tls::AlpnChallenges challenges;
  const postern::testing::TestCa ca;
  const auto own = ca.issue({"mail.example.org"}), wildcard = ca.issue({"*.example.org"});

  tls::ServingPlan plan;
  plan.listener = "imaps";
  plan.policy = tls::intermediatePolicy();
  plan.hostnames = {"mail.example.org"};
  plan.own = {tls::acmeCertificate("le", {"mail.example.org"})};
  plan.domains = {{tls::acmeCertificate("le", {"*.example.org"})}};
  const tls::KeyPtr key = tls::generateKey(tls::KeyType::EcdsaP256);
  plan.meanwhile = {tls::makeSelfSigned(key.get(), plan.hostnames, clock.now()), "self-signed", {}};
  const auto meanwhile = plan.meanwhile.certificate;
  tls::ServerContext context(plan, store, tickets, challenges, log);

  listeners::ListenerSettings settings;
  settings.id = "imaps";
  settings.protocol = listeners::Protocol::Imap;
  settings.tls = listeners::TlsMode::Implicit;
  settings.hostnames = plan.hostnames;
  const auto expected = [&] {
    const auto first = probeTargets(settings, {"127.0.0.1", 993}, context, 10, 0).front();
    EXPECT_EQ(first.serverName, "mail.example.org");
    return first.expected;
  };
  EXPECT_EQ(expected(), meanwhile);
  store.publish(plan.domains.front().front(), wildcard);
  ASSERT_TRUE(context.refresh());
  EXPECT_EQ(expected(), wildcard);
  store.publish(plan.own.front(), own);
  ASSERT_TRUE(context.refresh());
  EXPECT_EQ(expected(), own);
}

}  // namespace
}  // namespace postern::server
