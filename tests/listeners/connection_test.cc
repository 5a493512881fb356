// What a connection does with a session, in the clear and through TLS.
#include "listeners/connection.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/socket.h>

#include "tests/listeners/client.h"
#include "tests/listeners/script_session.h"
#include "tests/listeners/stage.h"

namespace postern::listeners {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;
using namespace testing;
using namespace std::chrono_literals;

SessionFactory gated(std::shared_ptr<Gate> gate) {
  return [gate](const Peer& peer) { return std::make_shared<ScriptSession>(peer, gate); };
}

TEST(Connection, GreetsAnswersAndCloses) {
  Stage stage(plainSettings());
  Client client(stage.port());
  EXPECT_EQ(client.readTo(), "hello\n");
  client.send("echo one\necho two\nquit\n");
  EXPECT_EQ(client.readAll(), "one\ntwo\nbye\n");
  EXPECT_TRUE(client.endedWell());
  EXPECT_TRUE(stage.empties());
}

// close() with unread input resets the connection, and the peer's system throws away what it has not read yet.
TEST(Connection, LosesNoLastWordsToInputThatNobodyReads) {
  Stage stage(plainSettings());
  Client client(stage.port());
  client.send("big 100000\nquit\n" + std::string(200000, 'x'));
  EXPECT_EQ(client.readAll().size(), 6 + 100001 + 4u);
  EXPECT_TRUE(client.endedWell());
}

TEST(Connection, TellsTheSessionWhoIsWhere) {
  Stage stage(plainSettings());
  Client client(stage.port(), "127.0.0.9");
  client.send("peer\n");
  client.readTo();
  EXPECT_EQ(client.readTo(),
            "127.0.0.9 " + std::to_string(client.ownPort()) + " 127.0.0.1 " + std::to_string(stage.port()) + "\n");
}

TEST(Connection, TakesInputThatComesByteByByte) {
  Stage stage(plainSettings());
  Client client(stage.port());
  client.readTo();
  for (const char c : std::string("echo slow words\n")) client.send({&c, 1});
  EXPECT_EQ(client.readTo(), "slow words\n");
}

TEST(Connection, AnswersWhatWasSaidBeforeThePeerClosedItsHalf) {
  Stage stage(plainSettings());
  Client client(stage.port());
  client.send("echo one\nwork two\necho three\n");
  EXPECT_EQ(client.closeAndReadAll(), "hello\none\nworking\ndid two\nthree\n");
  EXPECT_TRUE(stage.empties());
}

TEST(Connection, AnswersWhatWasSaidBeforeAClosingPeersCloseNotify) {
  Tls tls;
  Stage stage(implicitSettings(), tls.context());
  Client client(stage.port());
  ASSERT_TRUE(client.handshake());
  EXPECT_EQ(client.readTo(), "hello\n");
  client.send("echo one\nwork two\necho three\n");
  EXPECT_EQ(client.closeAndReadAll(), "one\nworking\ndid two\nthree\n");
  EXPECT_TRUE(client.endedWell());
}

TEST(Connection, KeepsInputWaitingWhileAWorkerHasTheSession) {
  auto gate = std::make_shared<Gate>();
  Stage stage(plainSettings(), nullptr, gated(gate));
  Client client(stage.port());
  client.send("gate\n");
  EXPECT_TRUE(eventually([&] { return gate->arrived() == 1; }));
  client.send("echo later\n");
  EXPECT_EQ(client.readTo(), "hello\n");
  EXPECT_EQ(client.readTo(), "working\n");  // sent before the work was done
  EXPECT_TRUE(client.staysSilent(50));
  gate->open();
  EXPECT_EQ(client.readTo(), "passed\n");
  EXPECT_EQ(client.readTo(), "later\n");
}

TEST(Connection, HoldsBackAFloodOfInputWhileAWorkerHasTheSession) {
  auto gate = std::make_shared<Gate>();
  auto settings = plainSettings();
  settings.socket.recvBufferSize = 8192;
  Stage stage(settings, nullptr, gated(gate));
  Client client(stage.port());
  client.send("gate\n");
  ASSERT_TRUE(eventually([&] { return gate->arrived() == 1; }));
  const timeval brief{0, 200000};
  ::setsockopt(client.descriptor(), SOL_SOCKET, SO_SNDTIMEO, &brief, sizeof brief);
  const std::string flood(1 << 20, 'x');
  std::size_t taken = 0;
  for (int i = 0; i < 64; ++i) {
    const auto sent = ::send(client.descriptor(), flood.data(), flood.size(), MSG_NOSIGNAL);
    if (sent <= 0) break;
    taken += static_cast<std::size_t>(sent);
  }
  EXPECT_LT(taken, 32u << 20);  // the kernel's buffers, and not our memory
  gate->open();
}

TEST(Connection, LivesThroughThePeersGoingWhileAWorkerHasTheSession) {
  auto gate = std::make_shared<Gate>();
  Stage stage(plainSettings(), nullptr, gated(gate));
  {
    Client client(stage.port());
    client.send("gate\n");
    EXPECT_TRUE(eventually([&] { return gate->arrived() == 1; }));
    client.reset();
  }
  EXPECT_TRUE(stage.logged("connection.ended"));
  EXPECT_EQ(stage.listener().counts().open, 1u);  // a place is held as long as a worker is
  gate->open();
  EXPECT_TRUE(stage.empties());
}

TEST(Connection, ClosesOnlyAfterTheWorkOfItsLastStep) {
  Stage stage(plainSettings());
  Client client(stage.port());
  client.send("last\necho never\n");
  EXPECT_EQ(client.readAll(), "hello\nworking\n");
}

TEST(Connection, WakesASessionUnlessInputComesFirst) {
  Stage stage(plainSettings());
  Client client(stage.port());
  client.send("wake 30\n");
  EXPECT_EQ(client.readTo("woken\n"), "hello\nsleeping\nwoken\n");
  client.send("wake 60000\n");
  EXPECT_EQ(client.readTo(), "sleeping\n");
  client.send("echo first\n");
  EXPECT_EQ(client.readTo(), "first\n");
}

TEST(Connection, SendsALongReplyWhole) {
  Tls tls;
  for (const bool encrypted : {false, true}) {
    Stage stage(encrypted ? implicitSettings() : plainSettings(), encrypted ? tls.context() : nullptr);
    Client client(stage.port());
    if (encrypted) {
      ASSERT_TRUE(client.handshake());
    }
    client.send("big 3000000\nquit\n");
    const auto all = client.readAll();
    EXPECT_EQ(all.size(), 6 + 3000001 + 4u) << encrypted;
    EXPECT_TRUE(client.endedWell()) << encrypted;
  }
}

TEST(Connection, TakesLongInputThroughTlsWhole) {
  Tls tls;
  Stage stage(implicitSettings(), tls.context());
  Client client(stage.port());
  ASSERT_TRUE(client.handshake());
  std::string commands;
  for (int i = 0; i < 2000; ++i) commands += (i % 100 == 0 ? "work " : "echo ") + std::to_string(i) + "\n";
  client.send(commands + "quit\n");  // in full records, which libevent reads in several pieces
  const auto all = client.readAll();
  EXPECT_THAT(all, HasSubstr("did 1900\n1901\n"));
  EXPECT_THAT(all, HasSubstr("1999\nbye\n"));
}

TEST(Connection, StopsTakingInputFromAPeerThatDoesNotRead) {
  Stage stage(plainSettings());
  Client client(stage.port());
  std::string commands;
  for (int i = 0; i < 40; ++i) commands += "big 200000\n";
  client.send(commands + "quit\n");
  const auto all = client.readAll();  // and goes on when it does
  EXPECT_EQ(all.size(), 6 + 40 * 200001 + 4u);
}

TEST(Connection, SaysGoodByeToAnIdlePeer) {
  auto settings = plainSettings();
  settings.idleTimeout = 60ms;
  Stage stage(settings);
  Client client(stage.port());
  EXPECT_EQ(client.readAll(), "hello\nidle\n");
  EXPECT_TRUE(client.endedWell());
  EXPECT_TRUE(stage.empties());
}

TEST(Connection, CountsIdlenessFromTheLastByte) {
  auto settings = plainSettings();
  settings.idleTimeout = 400ms;
  Stage stage(settings);
  const auto begin = std::chrono::steady_clock::now();
  Client client(stage.port());
  client.readTo();
  auto last = begin;  // when something was said that was answered
  std::string answer;
  while (last - begin < 800ms) {
    client.staysSilent(20);
    const auto now = std::chrono::steady_clock::now();
    client.send("echo on\n");
    answer = client.readTo();
    if (answer != "on\n") break;  // a machine that is busy may have kept us from it for too long
    last = now;
  }
  if (answer == "on\n") answer = client.readTo();
  EXPECT_EQ(answer, "idle\n");
  EXPECT_GE(std::chrono::steady_clock::now() - last, 400ms);
}

TEST(Connection, EndsALoginThatTakesTooLongHoweverBusy) {
  auto settings = plainSettings();
  settings.loginTimeout = 200ms;
  Stage stage(settings, nullptr, [](const Peer& peer) { return std::make_shared<ScriptSession>(peer, nullptr, true); });
  Client client(stage.port());
  client.readTo();
  std::string last;
  for (;;) {  // as a slow loris does
    client.send("echo on\n");
    last = client.readTo();
    if (last != "on\n") break;
  }
  EXPECT_EQ(last, "idle\n");
}

TEST(Connection, ForgetsTheLoginDeadlineAfterTheLogin) {
  for (auto timeout = 150ms;; timeout *= 2) {
    auto settings = plainSettings();
    settings.loginTimeout = timeout;
    settings.idleTimeout = 4 * timeout;
    Stage stage(settings, nullptr,
                [](const Peer& peer) { return std::make_shared<ScriptSession>(peer, nullptr, true); });
    const auto begin = std::chrono::steady_clock::now();
    Client client(stage.port());
    client.send("login\n");
    const std::string welcome = client.readTo("welcome\n");
    const auto login = std::chrono::steady_clock::now();
    if (welcome != "hello\nwelcome\n" && login - begin >= timeout) continue;  // too soon for a machine that is busy
    ASSERT_EQ(welcome, "hello\nwelcome\n");
    EXPECT_EQ(client.readAll(), "idle\n");
    EXPECT_GE(std::chrono::steady_clock::now() - begin, 4 * timeout);
    return;
  }
}

TEST(Connection, CostsOnlyItselfWhenASessionThrows) {
  Stage stage(plainSettings());
  for (const auto* command : {"throw\n", "throw-work\n"}) {
    Client client(stage.port());
    client.send(command);
    client.readAll();
    EXPECT_TRUE(stage.logged("session.failed"));
  }
  Client other(stage.port());
  EXPECT_EQ(other.readTo(), "hello\n");
}

TEST(Connection, NeverShowsTheSessionWhatCameBehindStartTls) {
  Tls tls;
  Stage stage(startTlsSettings(), tls.context());
  Client client(stage.port());
  client.send("echo clear\nstarttls\necho injected\nquit\n");
  EXPECT_EQ(client.readTo("go\n"), "hello\nclear\ngo\n");
  EXPECT_TRUE(client.staysSilent(20));
  ASSERT_TRUE(client.handshake());
  EXPECT_EQ(client.readTo(), "encrypted\n");
  client.send("echo safe\nquit\n");
  EXPECT_EQ(client.readAll(), "safe\nbye\n");
  EXPECT_TRUE(client.endedWell());
}

// The injected bytes come in a piece of their own, before and after the server has read STARTTLS.
TEST(Connection, NeverShowsTheSessionWhatWasInTheKernelAtStartTls) {
  Tls tls;
  Stage stage(startTlsSettings(), tls.context());
  Client client(stage.port());
  client.readTo();
  client.send(std::string(40000, ' ') + "\nstarttls\n" + "echo injected\n" + std::string(40000, ' '));
  const auto reply = client.readTo("go\n");
  EXPECT_THAT(reply, Not(HasSubstr("injected")));
  if (!client.handshake()) return;  // what came too late for being dropped has broken the handshake: safe as well
  client.send("quit\n");
  EXPECT_EQ(client.readAll(), "encrypted\nbye\n");
}

TEST(Connection, EndsWhereASessionWantsTlsInsideTls) {
  Tls tls;
  Stage stage(implicitSettings(), tls.context());
  Client client(stage.port());
  ASSERT_TRUE(client.handshake());
  client.send("starttls\n");
  client.readAll();
  EXPECT_TRUE(stage.logged("session.failed"));
}

TEST(Connection, TellsTheSessionAboutItsTls) {
  Tls tls;
  Stage stage(implicitSettings(), tls.context());
  Client client(stage.port());
  ASSERT_TRUE(client.handshake());
  client.send("facts\n");
  EXPECT_EQ(client.readTo("full\n"), "hello\nTLSv1.3 TLS_AES_128_GCM_SHA256 mail.example.org full\n");
  EXPECT_EQ(stage.listener().counts().handshakesCompleted, 1u);
  EXPECT_EQ(stage.listener().counts().handshakesResumed, 0u);
}

TEST(Connection, LetsAClientResumeAfterAnOrderlyEnd) {
  Tls tls;
  Stage stage(implicitSettings(), tls.context());
  tls::Owned<SSL_SESSION, SSL_SESSION_free> session;
  {
    Client client(stage.port());
    ASSERT_TRUE(client.handshake());
    client.send("quit\n");
    EXPECT_EQ(client.readAll(), "hello\nbye\n");
    EXPECT_TRUE(client.endedWell());
    session.reset(SSL_get1_session(client.ssl()));
    client.sayCloseNotify();  // OpenSSL forgets a session whose connection ended without one from its own side
  }
  ASSERT_TRUE(SSL_SESSION_is_resumable(session.get()));
  Client again(stage.port());
  ASSERT_TRUE(again.handshake("mail.example.org", session.get()));
  EXPECT_TRUE(again.resumed());
  again.send("facts\n");
  EXPECT_THAT(again.readTo("resumed\n"), HasSubstr("resumed"));
  EXPECT_EQ(stage.listener().counts().handshakesResumed, 1u);
}

TEST(Connection, CutsASilentImplicitTlsPeerWhenItsTimeIsUp) {
  Tls tls;
  auto settings = implicitSettings();
  settings.tlsTimeout = 80ms;
  Stage stage(settings, tls.context());
  Client client(stage.port());
  EXPECT_EQ(client.readAll(), "");
  EXPECT_TRUE(stage.empties());
}

TEST(Connection, CutsAHandshakeThatDripsInWhenItsTimeIsUp) {
  Tls tls;
  auto settings = implicitSettings();
  settings.tlsTimeout = 150ms;
  Stage stage(settings, tls.context());
  Client client(stage.port());
  const auto hello = someClientHello();
  std::size_t at = 0;
  while (at < hello.size() - 1 && client.staysSilent(50)) client.send({&hello[at++], 1});
  EXPECT_LT(at, hello.size() - 1);  // the last byte would have been many times later
  EXPECT_TRUE(stage.logged("tls.handshake.failed"));
  EXPECT_THAT(stage.logText(), HasSubstr("timed out"));
  EXPECT_EQ(stage.listener().counts().handshakesFailed, 1u);
}

TEST(Connection, CutsASilentPeerAfterStartTlsWhenItsTimeIsUp) {
  Tls tls;
  auto settings = startTlsSettings();
  settings.tlsTimeout = 80ms;
  Stage stage(settings, tls.context());
  Client client(stage.port());
  client.send("starttls\n");
  EXPECT_EQ(client.readAll(), "hello\ngo\n");
  EXPECT_TRUE(stage.empties());
}

TEST(Connection, SaysWhyAHandshakeFailedAndToWhom) {
  Tls tls;
  Stage stage(implicitSettings(), tls.context());
  Client client(stage.port());
  client.send("EHLO mail.example.org\r\n");
  client.readAll();
  ASSERT_TRUE(stage.logged("tls.handshake.failed"));
  EXPECT_THAT(stage.logText(), HasSubstr("127.0.0.1:" + std::to_string(client.ownPort())));
  EXPECT_THAT(stage.logText(), HasSubstr("version number"));
  EXPECT_EQ(stage.listener().counts().handshakesFailed, 1u);
}

TEST(Connection, DoesNotCallAPeerThatSaidNothingAFailedHandshake) {
  Tls tls;
  Stage stage(implicitSettings(), tls.context());
  { Client client(stage.port()); }
  EXPECT_TRUE(stage.logged("connection.ended"));
  EXPECT_TRUE(stage.empties());
  EXPECT_EQ(stage.listener().counts().handshakesFailed, 0u);
  EXPECT_EQ(stage.listener().counts().accepted, 1u);
}

TEST(Connection, EndsWhenThePeerIsResetAtAnyMoment) {
  Tls tls;
  Stage stage(implicitSettings(), tls.context());
  const auto hello = someClientHello();
  for (const std::size_t length : {std::size_t{1}, std::size_t{50}, hello.size()}) {
    Client client(stage.port());
    client.send(hello.substr(0, length));
    EXPECT_TRUE(client.staysSilent(5) || length == hello.size());
    client.reset();
  }
  Client client(stage.port());
  ASSERT_TRUE(client.handshake());
  client.readTo();
  client.reset();
  EXPECT_TRUE(stage.empties());
}

// A write that fails is an end of the stream to libevent, and was tried again as fast as the loop could turn.
TEST(Connection, EndsAtOnceWhenWhatItSaysReachesNobody) {
  Tls tls;
  Stage stage(implicitSettings(), tls.context());
  for (int i = 0; i < 5; ++i) {
    Client client(stage.port());
    ASSERT_TRUE(client.handshake());
    client.readTo();
    client.send("big 3000000\n");
    EXPECT_FALSE(client.staysSilent(60000));
    client.reset();
  }
  const auto begin = std::chrono::steady_clock::now();
  EXPECT_TRUE(stage.empties());
  EXPECT_LT(std::chrono::steady_clock::now() - begin, 30s);
}

TEST(Connection, AnswersAChallengeAndSaysNothing) {
  Tls tls;
  tls.present("mail.example.org");
  Stage stage(implicitSettings(), tls.context());
  Client client(stage.port());
  std::vector<unsigned char> alpn{10};
  for (const char c : tls::acmeTlsProtocol) alpn.push_back(static_cast<unsigned char>(c));
  ASSERT_TRUE(client.handshake("mail.example.org", nullptr, alpn));
  EXPECT_EQ(client.readAll(), "");
  EXPECT_TRUE(client.endedWell());
  EXPECT_TRUE(stage.logged("tls.challenge.answered"));
}

TEST(Connection, SpeaksToNobodyElseOnAChallengeOnlyListener) {
  Tls tls(true);
  tls.present("mail.example.org");
  auto settings = plainSettings(Protocol::ChallengeOnly);
  Stage stage(settings, tls.context());
  Client other(stage.port());
  EXPECT_FALSE(other.handshake());
  std::vector<unsigned char> alpn{10};
  for (const char c : tls::acmeTlsProtocol) alpn.push_back(static_cast<unsigned char>(c));
  Client client(stage.port());
  ASSERT_TRUE(client.handshake("mail.example.org", nullptr, alpn));
  EXPECT_EQ(client.readAll(), "");
  EXPECT_TRUE(stage.empties());
}

TEST(Connection, EndsAFloodOfKeyUpdates) {
  Tls tls;
  Stage stage(implicitSettings(), tls.context());
  Client client(stage.port());
  ASSERT_TRUE(client.handshake());
  client.readTo();
  for (int i = 0; i < 5000; ++i) {
    if (SSL_key_update(client.ssl(), SSL_KEY_UPDATE_NOT_REQUESTED) != 1 || SSL_do_handshake(client.ssl()) != 1) break;
  }
  EXPECT_TRUE(stage.empties());
}

TEST(Connection, LetsAClientRekeyNowAndThen) {
  Tls tls;
  Stage stage(implicitSettings(), tls.context());
  Client client(stage.port());
  ASSERT_TRUE(client.handshake());
  client.readTo();
  for (int i = 0; i < 3; ++i) {
    ASSERT_EQ(SSL_key_update(client.ssl(), SSL_KEY_UPDATE_REQUESTED), 1);
    client.send("echo on\n");
    EXPECT_EQ(client.readTo(), "on\n");
  }
}

}  // namespace
}  // namespace postern::listeners
