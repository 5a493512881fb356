#include "server/challenge_plans.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "acme/http_challenges.h"
#include "config/load.h"
#include "server/challenge_listeners.h"
#include "server/check.h"
#include "tests/server/loading.h"

namespace postern::server {
namespace {

using acme::ChallengeType;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using testing::loaded;
using testing::settings;

const std::string head = "server.hostname = \"mail.example.org\"\nserver.tls.acme = \"le\"\n";
const std::string provider = "[acme.\"le\"]\ncache = \"cache\"\nchallenge-bind = \"0.0.0.0\"\n";

std::string listener(const std::string& id, const std::string& protocol, const std::string& rest) {
  return "[server.listener.\"" + id + "\"]\nprotocol = \"" + protocol + "\"\n" + rest + "\n";
}
const std::string imaps = listener("imaps", "imap", "bind = \"127.0.0.1:993\"\ntls.implicit = true");

TEST(ChallengePlans, OpenHttpPortAloneForAProviderOfHttp01) {
  const auto value = settings(head + imaps + provider + "challenge = \"http-01\"\n");
  const auto addresses = challengeAddresses(value);
  ASSERT_EQ(addresses.size(), 1U);
  EXPECT_EQ(addresses[0].address, (listeners::Address{"0.0.0.0", 80}));
  EXPECT_EQ(addresses[0].type, ChallengeType::Http01);
  EXPECT_THAT(addresses[0].providers, ElementsAre("le"));
}

TEST(ChallengePlans, OpenNothingForHttp01WhereAPlainHttpListenerIsBoundToThePort) {
  const std::string web = listener("web", "http", "bind = \"127.0.0.1:8080\"");
  const auto value = settings(head + imaps + web + provider + "challenge = \"http-01\"\nhttp-port = 8080\n");
  EXPECT_THAT(challengeAddresses(value), IsEmpty());
  EXPECT_EQ(challengeTarget(value.providers.front(), value, ChallengeType::Http01), "127.0.0.1:8080");
}

TEST(ChallengePlans, OpenBothPortsForAProviderOfBothTypes) {
  const auto value = settings(head + imaps + provider + "challenge = [\"http-01\", \"tls-alpn-01\"]\n");
  const auto addresses = challengeAddresses(value);
  ASSERT_EQ(addresses.size(), 2U);
  EXPECT_EQ(addresses[0].address.port, 443);
  EXPECT_EQ(addresses[1].address.port, 80);
}

TEST(ChallengePlans, OpenNoPortForDns01) {
  const auto value =
      settings(head + imaps + provider + "challenge = \"dns-01\"\ndns.provider = \"hook\"\ndns.hook = \"/bin/true\"\n");
  EXPECT_THAT(challengeAddresses(value), IsEmpty());
}

TEST(ChallengePlans, ShareOneListenerBetweenProvidersAndThinkOfTheirFallbacks) {
  const auto value =
      settings(head + imaps + provider + "challenge = \"http-01\"\nfallback = [\"other\"]\n" +
               "[acme.\"other\"]\ncache = \"cache\"\nchallenge-bind = \"0.0.0.0\"\nchallenge = \"http-01\"\n"
               "directory = \"https://other.example.org/directory\"\n"
               "[acme.\"unused\"]\ncache = \"cache\"\ndirectory = \"https://unused.example.org/directory\"\n");
  const auto addresses = challengeAddresses(value);
  ASSERT_EQ(addresses.size(), 1U);
  EXPECT_THAT(addresses[0].providers, ElementsAre("le", "other"));
}

TEST(ChallengePlans, SayWhatACaWillLookAtForEachType) {
  const auto value = settings(head + imaps + provider +
                              "challenge = [\"tls-alpn-01\", \"http-01\", \"dns-01\"]\ndns.provider = \"hook\"\n"
                              "dns.hook = \"/bin/true\"\ndomains = [\"*.example.org\"]\n");
  const auto& le = value.providers.front();
  EXPECT_THAT(challengeArrivals("mail.example.org", le, value),
              ElementsAre("port 443 of mail.example.org; it must reach 0.0.0.0:443",
                          "port 80 of mail.example.org; it must reach 0.0.0.0:80",
                          "TXT record _acme-challenge.mail.example.org"));
  EXPECT_THAT(challengeArrivals("*.example.org", le, value), ElementsAre("TXT record _acme-challenge.example.org"));
  EXPECT_THAT(challengeArrivals("192.0.2.1", le, value), ElementsAre("port 443 of 192.0.2.1; it must reach 0.0.0.0:443",
                                                                     "port 80 of 192.0.2.1; it must reach 0.0.0.0:80"));
  const std::string text = checkText(value);
  EXPECT_THAT(text, HasSubstr("the CA will connect to port 80 of mail.example.org; it must reach 0.0.0.0:80\n"));
  EXPECT_THAT(text, HasSubstr("the CA will look up TXT record _acme-challenge.example.org\n"));
}

TEST(ChallengePlans, RefuseAListenerOnHttpPortThatCannotAnswer) {
  const auto tls = loaded(head + listener("web", "http", "bind = \"127.0.0.1:80\"\ntls.implicit = true") + provider +
                          "challenge = \"http-01\"\n");
  EXPECT_FALSE(tls.settings);
  EXPECT_THAT(tls.diagnostics.text(), HasSubstr("HTTP-01"));
}

TEST(ChallengeResponse, AnswersOnlyTheRouteWithATokenThatIsUnderWay) {
  acme::HttpChallenges challenges;
  challenges.present("token", "token.print");
  const auto at = [&](const std::string& path) {
    http::Request request;
    request.method = "GET";
    request.path = path;
    return challengeResponse(challenges, request);
  };
  const auto answer = at("/.well-known/acme-challenge/token");
  ASSERT_TRUE(answer);
  EXPECT_EQ(answer->status, 200);
  EXPECT_EQ(answer->body, "token.print");
  EXPECT_EQ(answer->contentType, "application/octet-stream");
  for (const char* other : {"/", "/.well-known/acme-challenge/", "/.well-known/acme-challenge/toke",
                            "/.well-known/acme-challenge/token/", "/x/.well-known/acme-challenge/token"}) {
    EXPECT_FALSE(at(other)) << other;
  }
}

}  // namespace
}  // namespace postern::server
