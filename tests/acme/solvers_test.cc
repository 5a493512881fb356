#include "acme/solvers.h"

#include <gtest/gtest.h>

#include "tests/support/fake_clock.h"

namespace postern::acme {
namespace {

TEST(Solvers, AreMadeForEveryTypeOfChallenge) {
  testing::FakeClock clock;
  Log log;
  tls::AlpnChallenges alpn;
  HttpChallenges http;
  for (const ChallengeType type : {ChallengeType::TlsAlpn01, ChallengeType::Http01, ChallengeType::Dns01}) {
    const auto solver = makeSolver(type, Provider{}, {alpn, http, clock, log});
    ASSERT_TRUE(solver);
    EXPECT_EQ(solver->type(), type);
  }
}

TEST(Solvers, PutTheAnswersOfHttp01WhereTheListenersLook) {
  testing::FakeClock clock;
  Log log;
  tls::AlpnChallenges alpn;
  HttpChallenges http;
  const auto solver = makeSolver(ChallengeType::Http01, Provider{}, {alpn, http, clock, log});
  const auto presented = solver->present({"mail.example.org", "token", "token.print"}, {});
  EXPECT_EQ(http.find("token"), "token.print");
}

}  // namespace
}  // namespace postern::acme
