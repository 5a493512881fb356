// What a reload makes anew of what listeners serve, and what it leaves as it is.
#include "server/serving.h"

#include <gtest/gtest.h>

#include "tests/server/loading.h"
#include "tests/support/fake_clock.h"
#include "tests/support/test_certificates.h"

namespace postern::server {
namespace {

using testing::base;

class ServingTest : public ::testing::Test {
 protected:
  std::shared_ptr<tls::ServerContext> build(const std::string& text,
                                            const std::shared_ptr<tls::ServerContext>& before = nullptr) {
    const auto settings = testing::settings(text);
    return serving_.build(settings.listeners.front(), settings, before);
  }

  postern::testing::TestCa ca_;
  postern::testing::FakeClock clock_{postern::testing::machineTime()};
  Log log_;
  Serving serving_{clock_, log_, [](const std::string&) {}};
  tls::CertificateId own_ = tls::acmeCertificate("le", {"mail.example.org"});
};

TEST_F(ServingTest, AReloadThatChangesNothingOfAListenerLeavesItsContextSoThatSessionsOfBeforeHoldNoneOfTheirOwn) {
  serving_.store().publish(own_, ca_.issue({"mail.example.org"}));
  const auto before = build(base);
  clock_.advance(std::chrono::hours(1));
  EXPECT_EQ(build(base, before), before);
  EXPECT_EQ(build(base + "[server.listener.other]\nbind = \"127.0.0.1:143\"\nprotocol = \"imap\"\n", before), before);
}

TEST_F(ServingTest, AReloadThatChangesWhatAListenerServesMakesItAnew) {
  serving_.store().publish(own_, ca_.issue({"mail.example.org"}));
  const auto before = build(base);
  const auto with = [](const std::string& place, const std::string& more) {
    std::string text = base;
    return text.insert(text.find(place), more);
  };
  const std::string server = "[server.listener", provider = "[acme.le]";
  for (const std::string& text :
       {with(server, "server.tls.policy = \"modern\"\n"), with(server, "server.tls.strict-sni = true\n"),
        with(server, "server.tls.session-tickets = false\n"),
        with(provider, "hostname = [\"mail.example.org\", \"imap.example.org\"]\n"),
        base + "domains = [\"www.example.org\"]\n"}) {
    EXPECT_NE(build(text, before), before) << text;
  }
  EXPECT_EQ(build(base, before), before);
}

TEST_F(ServingTest, AReloadLooksAgainForABetterOneWhileTheOwnCertificateIsNotThere) {
  const auto before = build(base);
  EXPECT_EQ(before->served().source, "self-signed");
  const auto after = build(base, before);
  EXPECT_NE(after, before);
  EXPECT_EQ(after->served(), before->served()) << "what is self-signed stays";
}

}  // namespace
}  // namespace postern::server
