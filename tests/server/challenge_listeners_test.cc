#include "server/challenge_listeners.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "listeners/socket.h"
#include "tests/support/fake_clock.h"
#include "tests/support/held_port.h"

namespace postern::server {
namespace {

using acme::ChallengeType;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

listeners::ListeningSocketRef listenAt(const support::HeldPort& port) {
  return std::make_shared<listeners::ListeningSocket>(listeners::Address{"127.0.0.1", port.number()},
                                                      listeners::SocketOptions{}, false);
}

struct ChallengeListenersTest : ::testing::Test {
  postern::testing::FakeClock clock;
  Log log{LogSettings{LogLevel::Error, LogFormat::Text, "/dev/null"}};
  ChallengeListeners listeners{clock, log};
};

TEST_F(ChallengeListenersTest, TryAnAddressThatIsTakenAgainEveryMinuteAndThenForgetTheError) {
  const support::HeldPort port;
  auto taken = listenAt(port);
  listeners.want({{taken->bound(), ChallengeType::Http01, {"le"}}});
  ASSERT_EQ(listeners.errors().count("le"), 1U);
  EXPECT_EQ(listeners.errors()["le"].type, "postern:challenge-port");
  EXPECT_THAT(listeners.errors()["le"].detail, HasSubstr("http-01"));

  taken.reset();
  clock.advance(std::chrono::seconds(59));
  listeners.retry();
  EXPECT_EQ(listeners.errors().count("le"), 1U);
  clock.advance(std::chrono::seconds(1));
  listeners.retry();
  EXPECT_THAT(listeners.errors(), IsEmpty());
}

TEST_F(ChallengeListenersTest, KeepTheErrorOfOneAddressWhenAnotherOfTheSameProviderOpens) {
  const support::HeldPort one, other;
  auto first = listenAt(one);
  const auto second = listenAt(other);
  const ChallengeAddress alpn{first->bound(), ChallengeType::TlsAlpn01, {"le"}};
  const ChallengeAddress http{second->bound(), ChallengeType::Http01, {"le"}};
  listeners.want({alpn, http});
  first.reset();
  clock.advance(std::chrono::minutes(1));
  listeners.retry();
  ASSERT_EQ(listeners.errors().count("le"), 1U);
  EXPECT_THAT(listeners.errors()["le"].detail, HasSubstr("http-01"));
  listeners.want({alpn});  // a reload that wants no HTTP-01 any more
  EXPECT_THAT(listeners.errors(), IsEmpty());
}

TEST_F(ChallengeListenersTest, GiveAPortUpThatIsNotWantedAnyMore) {
  const support::HeldPort port;
  const listeners::Address address{"127.0.0.1", port.number()};
  listeners.want({{address, ChallengeType::Http01, {"le"}}});
  EXPECT_THAT(listeners.errors(), IsEmpty());
  EXPECT_ANY_THROW(listeners::ListeningSocket(address, listeners::SocketOptions{}, false));
  listeners.want({});
  EXPECT_NO_THROW(listeners::ListeningSocket(address, listeners::SocketOptions{}, false));
}

}  // namespace
}  // namespace postern::server
