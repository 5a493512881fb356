#include "listeners/listener.h"

#include <dirent.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <thread>

#include "tests/listeners/client.h"
#include "tests/listeners/script_session.h"
#include "tests/listeners/stage.h"

namespace postern::listeners {
namespace {

using ::testing::HasSubstr;
using namespace testing;
using namespace std::chrono_literals;
using namespace std::string_literals;

std::size_t openDescriptors() {
  std::size_t count = 0;
  DIR* const folder = ::opendir("/proc/self/fd");
  while (::readdir(folder)) ++count;
  ::closedir(folder);
  return count;
}

std::size_t occurrences(const std::string& text, const std::string& word) {
  std::size_t count = 0;
  for (auto at = text.find(word); at != std::string::npos; at = text.find(word, at + 1)) ++count;
  return count;
}

ListenerSettings proxied() {
  auto settings = plainSettings();
  settings.trustedNetworks = {*parseNetwork("127.0.0.0/8")};
  return settings;
}

TEST(Listener, RefusesBeyondItsOwnLimitInAWord) {
  auto settings = plainSettings();
  settings.maxConnections = 1;
  Stage stage(settings);
  Client first(stage.port());
  EXPECT_EQ(first.readTo(), "hello\n");
  Client second(stage.port());
  EXPECT_EQ(second.readAll(), "421 4.7.0 Too many connections\r\n");
  EXPECT_EQ(stage.listener().counts().refused, 1u);
  EXPECT_EQ(stage.listener().counts().accepted, 1u);
  first.send("quit\n");
  first.closeAndReadAll();
  ASSERT_TRUE(stage.empties());
  Client third(stage.port());
  EXPECT_EQ(third.readTo(), "hello\n");
}

TEST(Listener, RefusesBeyondTheLimitOfAllListeners) {
  Stage stage(plainSettings(Protocol::Imap));
  stage.limits().set(1, 0);
  Client first(stage.port());
  EXPECT_EQ(first.readTo(), "hello\n");
  Client second(stage.port());
  EXPECT_EQ(second.readAll(), "* BYE Too many connections\r\n");
  EXPECT_TRUE(stage.logged("connection.refused"));
}

TEST(Listener, RefusesWithoutAWordWhereTlsIsExpected) {
  Tls tls;
  auto settings = implicitSettings();
  settings.maxConnections = 1;
  Stage stage(settings, tls.context());
  Client first(stage.port());
  ASSERT_TRUE(first.handshake());
  Client second(stage.port());
  EXPECT_EQ(second.readAll(), "");
}

TEST(Listener, RefusesBeyondTheLimitOfOneAddress) {
  auto settings = plainSettings();
  settings.maxConnectionsPerIp = 1;
  Stage stage(settings);
  Client first(stage.port(), "127.0.0.2");
  EXPECT_EQ(first.readTo(), "hello\n");
  Client same(stage.port(), "127.0.0.2");
  EXPECT_EQ(same.readAll(), "421 4.7.0 Too many connections\r\n");
  Client other(stage.port(), "127.0.0.3");
  EXPECT_EQ(other.readTo(), "hello\n");
}

TEST(Listener, CountsAnAddressOverAllListeners) {
  Stage stage(plainSettings());
  stage.limits().set(0, 1);
  Client first(stage.port(), "127.0.0.2");
  EXPECT_EQ(first.readTo(), "hello\n");
  Client same(stage.port(), "127.0.0.2");
  EXPECT_EQ(same.readAll(), "421 4.7.0 Too many connections\r\n");
}

TEST(Listener, TakesTheClientsAddressFromAProxyHeader) {
  Stage stage(proxied());
  for (const auto& header :
       {"PROXY TCP4 192.0.2.7 198.51.100.1 56324 25\r\n"s,
        "\r\n\r\n\0\r\nQUIT\n\x21\x11\x00\x0f\xc0\x00\x02\x07\xc6\x33\x64\x01\xdc\x04\x00\x19\x04\x00\x00"s}) {
    Client client(stage.port());
    client.send(header + "peer\n");  // what follows the header is not lost
    EXPECT_EQ(client.readTo(), "hello\n");
    EXPECT_EQ(client.readTo(), "192.0.2.7 56324 198.51.100.1 25\n");
  }
}

TEST(Listener, TakesAProxyHeaderThatComesByteByByte) {
  Stage stage(proxied());
  Client client(stage.port());
  for (const char c : "PROXY TCP4 192.0.2.7 198.51.100.1 56324 25\r\npeer\n"s) client.send({&c, 1});
  EXPECT_EQ(client.readTo(), "hello\n");
  EXPECT_EQ(client.readTo(), "192.0.2.7 56324 198.51.100.1 25\n");
}

TEST(Listener, LetsAProxySpeakForItself) {
  Stage stage(proxied());
  for (const auto& header : {"PROXY UNKNOWN\r\n"s, "\r\n\r\n\0\r\nQUIT\n\x20\x00\x00\x00"s}) {
    Client client(stage.port(), "127.0.0.9");
    client.send(header + "peer\n");
    EXPECT_EQ(client.readTo(), "hello\n");
    EXPECT_EQ(client.readTo(),
              "127.0.0.9 " + std::to_string(client.ownPort()) + " 127.0.0.1 " + std::to_string(stage.port()) + "\n");
  }
}

TEST(Listener, SaysNothingToATrustedPeerBeforeItsProxyHeader) {
  Stage stage(proxied());
  Client client(stage.port());
  EXPECT_TRUE(client.staysSilent(50));
  client.send("EHLO mail.example.org\r\n");
  EXPECT_EQ(client.readAll(), "");
  EXPECT_TRUE(stage.logged("proxy.header.refused"));
  EXPECT_EQ(stage.listener().counts().refused, 1u);
}

TEST(Listener, DoesNotCountALoadBalancersProbeAsRefused) {
  Stage stage(proxied());
  { Client probe(stage.port()); }
  EXPECT_TRUE(stage.logged("connection.ended"));
  EXPECT_EQ(stage.listener().counts().refused, 0u);
  EXPECT_EQ(stage.listener().counts().accepted, 0u);
}

TEST(Listener, BoundsTheTimeOfAProxyHeader) {
  auto settings = proxied();
  settings.tlsTimeout = 80ms;
  Stage stage(settings);
  Client client(stage.port());
  client.send("PROXY ");
  EXPECT_EQ(client.readAll(), "");
  EXPECT_TRUE(stage.logged("timed out"));
  EXPECT_TRUE(stage.empties());
}

TEST(Listener, TakesAProxyHeaderFromTrustedNetworksOnly) {
  auto settings = plainSettings();
  settings.trustedNetworks = {*parseNetwork("127.0.0.2/32")};
  Stage stage(settings);
  Client client(stage.port(), "127.0.0.3");
  EXPECT_EQ(client.readTo(), "hello\n");
  client.send("PROXY TCP4 192.0.2.7 198.51.100.1 56324 25\r\npeer\n");
  EXPECT_THAT(client.readTo("\n127"), HasSubstr("working"));  // ScriptSession works on a command it does not know
  EXPECT_EQ(stage.listener().counts().refused, 0u);
}

TEST(Listener, CountsTheTrueClientsAddressBehindAProxy) {
  auto settings = proxied();
  settings.maxConnectionsPerIp = 1;
  Stage stage(settings);
  Client first(stage.port());
  first.send("PROXY TCP4 192.0.2.7 198.51.100.1 1 25\r\n");
  EXPECT_EQ(first.readTo(), "hello\n");
  Client other(stage.port());
  other.send("PROXY TCP4 192.0.2.8 198.51.100.1 1 25\r\n");
  EXPECT_EQ(other.readTo(), "hello\n");
  Client same(stage.port());
  same.send("PROXY TCP4 192.0.2.7 198.51.100.1 2 25\r\n");
  EXPECT_EQ(same.readAll(), "421 4.7.0 Too many connections\r\n");
}

TEST(Listener, ShakesHandsBehindAProxyHeader) {
  Tls tls;
  auto settings = implicitSettings();
  settings.trustedNetworks = {*parseNetwork("127.0.0.1")};
  Stage stage(settings, tls.context());
  Client client(stage.port());
  // In one segment with the ClientHello, so that taking too much would show.
  client.send("PROXY TCP4 192.0.2.7 198.51.100.1 56324 993\r\n");
  ASSERT_TRUE(client.handshake());
  client.send("peer\n");
  EXPECT_EQ(client.readTo(), "hello\n");
  EXPECT_EQ(client.readTo(), "192.0.2.7 56324 198.51.100.1 993\n");
}

TEST(Listener, TellsItsSessionsGoodByeAndWaitsForThem) {
  Tls tls;
  Stage plain(plainSettings()), encrypted(implicitSettings(), tls.context());
  Client client(plain.port()), secure(encrypted.port()), silent(encrypted.port());
  ASSERT_TRUE(secure.handshake());
  EXPECT_EQ(client.readTo(), "hello\n");
  EXPECT_EQ(secure.readTo(), "hello\n");
  for (auto* stage : {&plain, &encrypted}) {
    stage->listener().stopAccepting();
    stage->listener().shutDown();
  }
  EXPECT_EQ(client.readAll(), "shutting down\n");
  EXPECT_EQ(secure.readAll(), "shutting down\n");
  EXPECT_TRUE(secure.endedWell());
  EXPECT_EQ(silent.readAll(), "");  // its handshake was cut
  plain.close();
  encrypted.close();
}

TEST(Listener, LetsAStepInProgressEndBeforeItSaysGoodBye) {
  auto gate = std::make_shared<Gate>();
  Stage stage(plainSettings(), nullptr,
              [gate](const Peer& peer) { return std::make_shared<ScriptSession>(peer, gate); });
  Client client(stage.port());
  client.send("gate\n");
  EXPECT_EQ(client.readTo("working\n"), "hello\nworking\n");
  ASSERT_TRUE(eventually([&] { return gate->arrived() == 1; }));
  stage.listener().stopAccepting();
  stage.listener().shutDown();
  EXPECT_TRUE(client.staysSilent(50));
  gate->open();
  EXPECT_EQ(client.readAll(), "passed\nshutting down\n");
}

TEST(Listener, ClosesEveryConnectionWhenItAborts) {
  Stage stage(plainSettings());
  Client client(stage.port());
  EXPECT_EQ(client.readTo(), "hello\n");
  stage.listener().abort();
  EXPECT_EQ(client.readAll(), "");
  EXPECT_TRUE(stage.empties());
}

TEST(Listener, LetsSessionsEndByThemselvesAfterItStoppedAccepting) {
  Stage stage(plainSettings());
  Client client(stage.port());
  EXPECT_EQ(client.readTo(), "hello\n");
  stage.listener().stopAccepting();
  EXPECT_TRUE(stage.listener().sockets().empty());
  client.send("echo still here\nquit\n");
  EXPECT_EQ(client.readAll(), "still here\nbye\n");
}

TEST(Listener, HandsASocketOverWithoutLosingWhoWaits) {
  Stage first(plainSettings());
  const auto socket = first.socket();
  first.listener().stopAccepting();
  Client waiting(socket->bound().port);  // accepted by the kernel, by no listener yet
  waiting.send("echo patience\n");
  EXPECT_TRUE(waiting.staysSilent(20));
  Stage second(plainSettings());
  second.listener().listenOn({second.socket(), socket});
  EXPECT_EQ(waiting.readTo("patience\n"), "hello\npatience\n");
  EXPECT_EQ(first.listener().counts().accepted, 0u);
  EXPECT_EQ(second.listener().counts().accepted, 1u);
  Client other(second.port());
  EXPECT_EQ(other.readTo(), "hello\n");
}

TEST(Listener, AppliesAChangeToNewConnectionsOnly) {
  Tls tls;
  auto settings = plainSettings();
  Stage stage(settings);
  Client before(stage.port());
  EXPECT_EQ(before.readTo(), "hello\n");
  settings.tls = TlsMode::Implicit;
  settings.maxConnections = 2;
  stage.listener().configure(settings, tls.context(), [](const Peer& p) { return std::make_shared<ScriptSession>(p); });
  EXPECT_EQ(stage.listener().settings().tls, TlsMode::Implicit);
  before.send("echo as before\n");
  EXPECT_EQ(before.readTo(), "as before\n");
  Client after(stage.port());
  ASSERT_TRUE(after.handshake());
  Client third(stage.port());
  EXPECT_EQ(third.readAll(), "");
}

TEST(Listener, PausesInsteadOfSpinningWhenDescriptorsRunOut) {
  Stage stage(plainSettings());
  const auto socket = stage.socket();
  stage.listener().stopAccepting();
  Client client(stage.port());
  rlimit before{};
  ASSERT_EQ(::getrlimit(RLIMIT_NOFILE, &before), 0);
  const int next = ::dup(0);
  ::close(next);
  rlimit none = before;
  none.rlim_cur = static_cast<rlim_t>(next);
  rusage used{}, later{};
  ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &none), 0);
  stage.listener().listenOn({socket});
  ::getrusage(RUSAGE_SELF, &used);
  const bool silent = client.staysSilent(350);  // three pauses long
  ::getrusage(RUSAGE_SELF, &later);
  ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &before), 0);
  EXPECT_TRUE(silent);
  const auto micros = [](const rusage& r) {
    return (r.ru_utime.tv_sec + r.ru_stime.tv_sec) * 1000000 + r.ru_utime.tv_usec + r.ru_stime.tv_usec;
  };
  EXPECT_LT(micros(later) - micros(used), 150000);
  EXPECT_EQ(client.readTo(), "hello\n");  // nobody was lost
  EXPECT_EQ(occurrences(stage.logText(), "listener.accept.paused"), 1u);
}

TEST(Listener, LeavesNothingBehindAfterAThousandConnections) {
  Tls tls;
  Stage stage(implicitSettings(), tls.context());
  { Client warm(stage.port()); }
  ASSERT_TRUE(eventually([&] { return stage.listener().counts().accepted == 1; }) && stage.empties());
  const auto before = openDescriptors();
  std::vector<std::thread> peers;
  for (int t = 0; t < 4; ++t) {
    peers.emplace_back([&stage, t] {
      for (int i = 0; i < 250; ++i) {
        Client client(stage.port());
        switch (i % 5) {
          case 0: break;  // closes at once
          case 1: client.send("nonsense"); break;
          case 2: client.reset(); break;
          case 3:
            if (client.handshake()) client.send("echo " + std::to_string(t) + "\n");
            break;
          default:
            if (client.handshake()) client.send("quit\n");
            client.readAll();
        }
      }
    });
  }
  for (auto& peer : peers) peer.join();
  EXPECT_TRUE(eventually([&] {
    const auto counts = stage.listener().counts();
    return counts.accepted == 1001 && counts.open == 0;
  })) << stage.listener().counts().accepted
      << " " << stage.listener().counts().open;
  EXPECT_TRUE(eventually([&] { return openDescriptors() == before; })) << openDescriptors() << " " << before;
}

TEST(Listener, BoundsTheLinesThatStrangersCanMakeItWrite) {
  Tls tls;
  Stage stage(implicitSettings(), tls.context());
  const auto begin = std::chrono::steady_clock::now();
  for (int i = 0; i < 300; ++i) {
    Client client(stage.port());
    client.send("not TLS\r\n");
    client.readAll();
  }
  EXPECT_EQ(stage.listener().counts().handshakesFailed, 300u);
  // Ten in a second, and in those that the first and the last of them began or ended.
  const auto seconds = std::chrono::ceil<std::chrono::seconds>(std::chrono::steady_clock::now() - begin).count() + 1;
  EXPECT_LE(occurrences(stage.logText(), "tls.handshake.failed"), 10u * static_cast<std::size_t>(seconds));
}

TEST(Listener, ServesManyClientsOnAllLoopsAtOnce) {
  Stage stage(plainSettings());
  std::vector<std::thread> threads;
  std::atomic<int> right{0};
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&] {
      for (int i = 0; i < 50; ++i) {
        Client client(stage.port());
        client.send("work " + std::to_string(i) + "\nquit\n");
        if (client.readAll() == "hello\nworking\ndid " + std::to_string(i) + "\nbye\n") ++right;
      }
    });
  }
  // A reload in the middle of it.
  for (int i = 0; i < 20; ++i) {
    stage.listener().configure(plainSettings(), nullptr,
                               [](const Peer& p) { return std::make_shared<ScriptSession>(p); });
    stage.listener().listenOn({stage.socket()});
    std::this_thread::yield();
  }
  for (auto& thread : threads) thread.join();
  EXPECT_EQ(right, 200);
}

}  // namespace
}  // namespace postern::listeners
