// How many handshakes there may be, and how often: who is refused is refused before anything of TLS is made.
#include <gtest/gtest.h>
#include <openssl/crypto.h>

#include <atomic>
#include <memory>
#include <optional>
#include <vector>

#include "tests/listeners/client.h"
#include "tests/listeners/script_session.h"
#include "tests/listeners/stage.h"

namespace postern::listeners::testing {
namespace {

using namespace std::chrono_literals;

// Clients, each of an address of its own, that have begun a handshake and do not go on with it.
std::vector<std::unique_ptr<Client>> halfWay(Stage& stage, std::uint32_t count) {
  std::vector<std::unique_ptr<Client>> clients;
  for (std::uint32_t i = 0; i < count; ++i) {
    clients.push_back(std::make_unique<Client>(stage.port(), "127.0.1." + std::to_string(i + 1)));
    clients.back()->send(someClientHello().substr(0, 20));
  }
  return clients;
}

TEST(HandshakeLimits, CloseAnImplicitTlsPeerInGoodOrderBeyondTheNumber) {
  Tls tls;
  auto settings = implicitSettings();
  settings.maxHandshakes = 2;
  Stage stage(settings, tls.context());
  auto others = halfWay(stage, 2);
  ASSERT_TRUE(eventually([&] { return stage.limits().handshakes() == 2; }));

  Client refused(stage.port());
  refused.send(someClientHello());
  EXPECT_EQ(refused.readAll(), "");
  EXPECT_TRUE(refused.endedWell());  // no reset
  EXPECT_TRUE(stage.logged("tls.handshake.refused listener=test peer="));
  EXPECT_TRUE(stage.logged("max-handshakes of the listener"));
  const auto counts = stage.listener().counts();
  EXPECT_EQ(counts.handshakesRefused, 1u);
  EXPECT_EQ(counts.refused, 1u);
  EXPECT_EQ(counts.handshakesFailed, 0u);

  others.clear();
  ASSERT_TRUE(eventually([&] { return stage.limits().handshakes() == 0; }));
  Client welcome(stage.port());
  EXPECT_TRUE(welcome.handshake());
}

TEST(HandshakeLimits, HoldOverAllListenersTogether) {
  Tls tls;
  Stage stage(implicitSettings(), tls.context());
  stage.limits().setHandshakes(1, {});
  const auto other = halfWay(stage, 1);
  ASSERT_TRUE(eventually([&] { return stage.limits().handshakes() == 1; }));
  Client refused(stage.port());
  EXPECT_FALSE(refused.handshake());
  EXPECT_TRUE(stage.logged("reason=max-handshakes"));
}

// How many SSL objects this process has made, from the first call on.
std::atomic<int>& connectionsMade() {
  static std::atomic<int> made = 0;
  static const int index = CRYPTO_get_ex_new_index(
      CRYPTO_EX_INDEX_SSL, 0, nullptr, [](void*, void*, CRYPTO_EX_DATA*, int, long, void*) { ++made; }, nullptr,
      nullptr);
  EXPECT_GE(index, 0);
  return made;
}

TEST(HandshakeLimits, RefuseBeforeAnythingOfTlsIsMade) {
  Tls tls;
  const std::string hello = someClientHello();
  auto& made = connectionsMade();
  for (const bool byRate : {false, true}) {
    auto implicit = implicitSettings(), startTls = startTlsSettings();
    std::unique_ptr<Stage> stages[] = {std::make_unique<Stage>(implicit, tls.context()),
                                       std::make_unique<Stage>(startTls, tls.context())};
    for (auto& stage : stages) {
      const auto address = *parseIp("127.0.0.1");
      if (byRate) {
        stage->limits().setHandshakes(0, {1, 1h});
        ASSERT_TRUE(stage->limits().takeHandshake(address));
      } else {
        stage->limits().setHandshakes(1, {});
        ASSERT_EQ(stage->limits().enterHandshake(address), "");
      }
    }
    const int before = made;
    for (int i = 0; i < 20; ++i) {
      Client first(stages[0]->port()), second(stages[1]->port());
      first.send(hello);
      EXPECT_EQ(first.readAll(), "");
      second.send("starttls\n");
      EXPECT_EQ(second.readTo("busy\n"), "hello\nbusy\n");
    }
    EXPECT_EQ(made, before);
    EXPECT_EQ(stages[0]->listener().counts().handshakesRefused, 20u);
    EXPECT_EQ(stages[1]->listener().counts().handshakesRefused, 20u);
  }
  const int before = made;
  Stage free(implicitSettings(), tls.context());
  Client welcome(free.port());
  ASSERT_TRUE(welcome.handshake());
  EXPECT_EQ(made, before + 2);  // what is counted are connections: the client's and the server's
}

TEST(HandshakeLimits, LeaveRoomForOthersWhenOneAddressHoldsAllThatItGets) {
  Tls tls;
  auto settings = implicitSettings();
  settings.maxHandshakes = 4;
  Stage stage(settings, tls.context());
  std::vector<std::unique_ptr<Client>> greedy;
  for (int i = 0; i < 8; ++i) {
    greedy.push_back(std::make_unique<Client>(stage.port(), "127.0.0.9"));
    greedy.back()->send(someClientHello().substr(0, 20));
  }
  ASSERT_TRUE(eventually([&] { return stage.listener().counts().handshakesRefused == 6; }));
  EXPECT_EQ(stage.limits().handshakes(), 2u);
  EXPECT_TRUE(stage.logged("half of max-handshakes, for one address of the listener"));
  Client other(stage.port());
  EXPECT_TRUE(other.handshake());
}

TEST(HandshakeLimits, CountTheTrueClientsAddressBehindAProxy) {
  Tls tls;
  auto settings = implicitSettings();
  settings.trustedNetworks = {*parseNetwork("127.0.0.1")};
  settings.handshakeRate = Rate{1, 1h};
  Stage stage(settings, tls.context());
  const auto shakesHands = [&](const std::string& address) {
    Client client(stage.port());
    client.send("PROXY TCP4 " + address + " 198.51.100.1 1 993\r\n");
    return client.handshake();
  };
  EXPECT_TRUE(shakesHands("192.0.2.7"));
  EXPECT_FALSE(shakesHands("192.0.2.7"));
  EXPECT_TRUE(shakesHands("192.0.2.8"));
}

TEST(HandshakeLimits, LetOurOwnVisitsIn) {
  Tls tls;
  auto settings = implicitSettings();
  settings.maxConnections = settings.maxConnectionsPerIp = settings.maxHandshakes = 1;
  settings.handshakeRate = Rate{1, 1h};
  Stage stage(settings, tls.context());
  const auto others = halfWay(stage, 1);
  ASSERT_TRUE(eventually([&] { return stage.limits().handshakes() == 1; }));
  for (int i = 0; i < 3; ++i) {
    std::optional<OwnVisits::Visit> visit;
    Client ours(stage.port(), "127.0.1.1",
                [&](int socket) { visit.emplace(stage.ownVisits(), localEndpoint(socket)); });
    EXPECT_TRUE(ours.handshake());
    EXPECT_EQ(ours.readTo(), "hello\n");
  }
  Client stranger(stage.port(), "127.0.1.2");
  EXPECT_FALSE(stranger.handshake());
  EXPECT_TRUE(eventually([&] { return stage.listener().counts().open == 1 && stage.limits().handshakes() == 1; }));
  EXPECT_EQ(stage.listener().counts().refused, 1u);
}

TEST(HandshakeLimits, CountOnlyThoseUnderWay) {
  Tls tls;
  auto settings = implicitSettings();
  settings.maxHandshakes = 1;
  Stage stage(settings, tls.context());
  const Client silent(stage.port());  // costs nothing yet, and holds no place
  std::vector<std::unique_ptr<Client>> sessions;
  for (int i = 0; i < 5; ++i) {
    sessions.push_back(std::make_unique<Client>(stage.port()));
    ASSERT_TRUE(sessions.back()->handshake());
    EXPECT_EQ(sessions.back()->readTo(), "hello\n");
  }
  EXPECT_EQ(stage.limits().handshakes(), 0u);
}

TEST(HandshakeLimits, AnswerStartTlsInTheClearAndGoOn) {
  Tls tls;
  auto settings = startTlsSettings();
  settings.maxHandshakes = 1;
  Stage stage(settings, tls.context());
  Client first(stage.port()), second(stage.port());
  first.send("starttls\n");
  EXPECT_EQ(first.readTo("go\n"), "hello\ngo\n");

  second.send("echo before\nstarttls\n");
  EXPECT_EQ(second.readTo("busy\n"), "hello\nbefore\nbusy\n");
  second.send("echo still here\n");
  EXPECT_EQ(second.readTo(), "still here\n");
  EXPECT_EQ(stage.listener().counts().handshakesRefused, 1u);

  ASSERT_TRUE(first.handshake());
  EXPECT_EQ(first.readTo(), "encrypted\n");
  second.send("starttls\n");
  EXPECT_EQ(second.readTo(), "go\n");
  EXPECT_TRUE(second.handshake());
}

TEST(HandshakeLimits, GiveBackThePlaceOfWhoeverFailsLeavesOrIsTooSlow) {
  Tls tls;
  auto settings = startTlsSettings();
  settings.tlsTimeout = 200ms;
  Stage stage(settings, tls.context());
  Client slow(stage.port()), leaving(stage.port()), wrong(stage.port());
  for (Client* client : {&slow, &leaving, &wrong}) {
    client->send("starttls\n");
    EXPECT_EQ(client->readTo("go\n"), "hello\ngo\n");
  }
  leaving.reset();
  wrong.send("this is no ClientHello at all\n");
  EXPECT_TRUE(eventually([&] { return stage.limits().handshakes() == 0; }));
  EXPECT_TRUE(stage.empties());
}

TEST(HandshakeLimits, BoundTheRateOfEachAddress) {
  Tls tls;
  auto settings = implicitSettings();
  settings.handshakeRate = Rate{2, 1h};
  Stage stage(settings, tls.context());
  for (int i = 0; i < 2; ++i) {
    Client client(stage.port());
    EXPECT_TRUE(client.handshake());
  }
  Client refused(stage.port());
  EXPECT_FALSE(refused.handshake());
  EXPECT_TRUE(stage.logged("handshake-rate-per-ip"));
  Client other(stage.port(), "127.0.0.2");
  EXPECT_TRUE(other.handshake());
  EXPECT_TRUE(eventually([&] { return stage.limits().handshakes() == 0; }));  // the server ends it a little later
}

TEST(HandshakeLimits, BoundTheRateOverAllListenersThatHaveNoneOfTheirOwn) {
  Tls tls;
  Stage stage(startTlsSettings(), tls.context());
  stage.limits().setHandshakes(0, {1, 1h});
  Client first(stage.port());
  first.send("starttls\n");
  EXPECT_EQ(first.readTo("go\n"), "hello\ngo\n");
  Client second(stage.port());
  second.send("starttls\n");
  EXPECT_EQ(second.readTo("busy\n"), "hello\nbusy\n");
  auto own = startTlsSettings();
  own.handshakeRate = Rate{};  // none
  stage.listener().configure(own, tls.context(),
                             [](const Peer& peer) { return std::make_shared<ScriptSession>(peer); });
  Client third(stage.port());
  third.send("starttls\n");
  EXPECT_EQ(third.readTo("go\n"), "hello\ngo\n");
}

TEST(HandshakeLimits, WriteAHandfulOfLinesForAFloodOfRefusals) {
  Tls tls;
  auto settings = implicitSettings();
  settings.handshakeRate = Rate{1, 1h};
  Stage stage(settings, tls.context());
  for (int i = 0; i < 60; ++i) {
    Client client(stage.port());
    client.handshake();
  }
  EXPECT_TRUE(eventually([&] { return stage.listener().counts().handshakesRefused == 59; }));
  // The next line that is written tells how many were not.
  EXPECT_TRUE(eventually([&] {
    Client client(stage.port());
    client.handshake();
    const std::string log = stage.logText();
    const auto at = log.find(" left_out=");
    return at != std::string::npos && log.find("tls.handshake.refused") < at;
  }));
}

}  // namespace
}  // namespace postern::listeners::testing
