// How a channel meets the wire: records cut and joined at will, peers that read late, leave half-way, or never stop.
#include "listeners/channel.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <openssl/err.h>
#include <sys/socket.h>

#include <atomic>
#include <thread>

#include "tests/listeners/client.h"
#include "tests/listeners/script_session.h"
#include "tests/listeners/stage.h"

namespace postern::listeners {
namespace {

using ::testing::HasSubstr;
using namespace testing;

// A client of TLS whose bytes on the wire are in the test's hands.
class WireClient {
 public:
  explicit WireClient(std::uint16_t port) : socket_(port), ssl_(SSL_new(context_.get())) {
    SSL_set_bio(ssl_.get(), fromServer_, toServer_);
    SSL_set_connect_state(ssl_.get());
  }

  // Up to the client's Finished, which has not been sent yet.
  bool shakeHands() {
    while (SSL_do_handshake(ssl_.get()) != 1) {
      ERR_clear_error();
      socket_.send(wire());
      if (!receive()) return false;
    }
    return true;
  }
  // Finishes the handshake, and has read the greeting.
  bool open() {
    if (!shakeHands()) return false;
    socket_.send(wire());
    return readTo("hello\n") == "hello\n";
  }

  // What is to go to the server: of the handshake, and of what was said.
  std::string wire() {
    std::string bytes(static_cast<std::size_t>(BIO_ctrl_pending(toServer_)), '\0');
    if (!bytes.empty()) BIO_read(toServer_, bytes.data(), static_cast<int>(bytes.size()));
    return bytes;
  }
  // The record, or records, that say so.
  std::string sealed(std::string_view words) {
    EXPECT_EQ(SSL_write(ssl_.get(), words.data(), static_cast<int>(words.size())), static_cast<int>(words.size()));
    return wire();
  }

  // Takes what one call gets from the kernel.
  bool receive() {
    char bytes[65536];
    const auto got = socket_.receiveRaw(bytes, sizeof bytes);
    return got > 0 && BIO_write(fromServer_, bytes, static_cast<int>(got)) == got;
  }
  // What of that is words.
  std::string opened() {
    std::string all;
    char words[16384];
    ERR_clear_error();
    for (int got; (got = SSL_read(ssl_.get(), words, sizeof words)) > 0;)
      all.append(words, static_cast<std::size_t>(got));
    return all;
  }
  std::string readTo(std::string_view end) {
    std::string all = opened();
    while (!all.ends_with(end) && receive()) all += opened();
    return all;
  }

  bool metCloseNotify() const { return (SSL_get_shutdown(ssl_.get()) & SSL_RECEIVED_SHUTDOWN) != 0; }
  Client& socket() { return socket_; }
  SSL* ssl() { return ssl_.get(); }

 private:
  Client socket_;
  tls::SslCtxPtr context_{SSL_CTX_new(TLS_client_method())};
  tls::SslPtr ssl_;
  BIO* const fromServer_ = BIO_new(BIO_s_mem());
  BIO* const toServer_ = BIO_new(BIO_s_mem());
};

// Says "!" to each piece that ends in "?", and nothing to all others.
class Swallower final : public Session {
 public:
  Step greet() override { return {"hello\n", Action::Continue, nullptr, std::nullopt}; }
  Step received(std::string_view bytes) override {
    return {bytes.ends_with('?') ? "!\n" : "", Action::Continue, nullptr, std::nullopt};
  }
  Step encrypted(const TlsFacts&) override { return {}; }
  Step resumed() override { return {}; }
  std::string farewell(Farewell) override { return ""; }
  bool loginPending() const override { return false; }
};

class ChannelTest : public ::testing::Test {
 protected:
  Tls tls_;
};

TEST_F(ChannelTest, TakesAHandshakeAndARecordThatComeByteByByte) {
  Stage stage(implicitSettings(), tls_.context());
  WireClient client(stage.port());
  SSL_do_handshake(client.ssl());
  for (const char c : client.wire()) client.socket().send({&c, 1});
  ASSERT_TRUE(client.receive());
  ASSERT_TRUE(client.open());
  for (const char c : client.sealed("echo slow words\n")) client.socket().send({&c, 1});
  EXPECT_EQ(client.readTo("words\n"), "slow words\n");
}

// OpenSSL has read both ahead, and the kernel tells of neither again.
TEST_F(ChannelTest, AnswersEveryRecordOfASegmentBeforeASilence) {
  Stage stage(implicitSettings(), tls_.context());
  WireClient client(stage.port());
  ASSERT_TRUE(client.open());
  std::string both = client.sealed("echo one\n");
  both += client.sealed("echo two\n");
  const std::string third = client.sealed("echo three\n");
  client.socket().send(both + third.substr(0, 10));
  EXPECT_EQ(client.readTo("two\n"), "one\ntwo\n");
  client.socket().send(third.substr(10));
  EXPECT_EQ(client.readTo("three\n"), "three\n");
}

TEST_F(ChannelTest, AnswersACommandThatComesWithTheFinished) {
  Stage stage(implicitSettings(), tls_.context());
  WireClient client(stage.port());
  ASSERT_TRUE(client.shakeHands());
  std::string flight = client.wire();
  flight += client.sealed("echo at once\n");
  client.socket().send(flight);
  EXPECT_EQ(client.readTo("at once\n"), "hello\nat once\n");
}

// More than a channel reads in one turn, and then no byte that would wake it.
TEST_F(ChannelTest, ReadsOnByItselfAfterATurnThatWasTooLong) {
  Stage stage(implicitSettings(), tls_.context());
  WireClient client(stage.port());
  ASSERT_TRUE(client.open());
  std::string records;
  for (int i = 0; i < 500; ++i) records += client.sealed("login\n");
  records += client.sealed("quit\n");
  client.socket().send(records);
  std::string wanted;
  for (int i = 0; i < 500; ++i) wanted += "welcome\n";
  EXPECT_EQ(client.readTo("bye\n"), wanted + "bye\n");
}

TEST_F(ChannelTest, GoesOnWithWhatWasReadAheadWhenAWorkerIsDone) {
  auto gate = std::make_shared<Gate>();
  Stage stage(implicitSettings(), tls_.context(),
              [gate](const Peer& peer) { return std::make_shared<ScriptSession>(peer, gate); });
  WireClient client(stage.port());
  ASSERT_TRUE(client.open());
  const std::string padding(16000, 'x');
  std::string records = client.sealed("gate\n");
  for (int i = 0; i < 12; ++i) records += client.sealed("echo " + padding + "\n");
  std::thread sender([&] { client.socket().send(records); });
  EXPECT_TRUE(eventually([&] { return gate->arrived() == 1; }));
  gate->open();
  std::string wanted = "working\npassed\n";
  for (int i = 0; i < 12; ++i) wanted += padding + "\n";
  std::string all;
  while (all.size() < wanted.size() && client.receive()) all += client.opened();
  sender.join();
  EXPECT_EQ(all, wanted);
}

TEST_F(ChannelTest, SendsTicketAndGreetingTogether) {
  Stage stage(implicitSettings(), tls_.context());
  WireClient client(stage.port());
  ASSERT_TRUE(client.shakeHands());
  client.socket().send(client.wire());
  ASSERT_TRUE(client.receive());
  EXPECT_EQ(client.opened(), "hello\n");
}

TEST_F(ChannelTest, SendsItsLastWordsAndCloseNotifyTogether) {
  Stage stage(implicitSettings(), tls_.context());
  WireClient client(stage.port());
  ASSERT_TRUE(client.open());
  client.socket().send(client.sealed("quit\n"));
  ASSERT_TRUE(client.receive());
  EXPECT_EQ(client.opened(), "bye\n");
  EXPECT_TRUE(client.metCloseNotify());
  EXPECT_FALSE(client.receive());
}

// A peer that cannot take the answer costs memory within bounds, and nobody else's time.
TEST_F(ChannelTest, WaitsForASlowReaderWithoutHoldingTheOthers) {
  for (const bool encrypted : {false, true}) {
    const auto settings = encrypted ? implicitSettings() : plainSettings();
    Stage stage(settings, encrypted ? tls_.context() : nullptr);
    Client slow(stage.port());
    if (encrypted) {
      ASSERT_TRUE(slow.handshake());
    }
    slow.send("big 4000000\necho then\nbig 4000000\nquit\n");
    for (int i = 0; i < 4; ++i) {  // on both loops
      Client other(stage.port());
      if (encrypted) {
        ASSERT_TRUE(other.handshake());
      }
      other.send("echo here\n");
      EXPECT_EQ(other.readTo("here\n"), "hello\nhere\n");
    }
    const std::string much(4000000, 'x');
    EXPECT_EQ(slow.readAll(), "hello\n" + much + "\nthen\n" + much + "\nbye\n");
    EXPECT_TRUE(slow.endedWell());
  }
}

// OpenSSL answers while a reply waits for the peer to read: both go out in their order.
TEST_F(ChannelTest, RekeysWhileALongReplyIsOnItsWay) {
  auto settings = implicitSettings();
  settings.socket.sendBufferSize = 8192;
  Stage stage(settings, tls_.context());
  Client client(stage.port());
  ASSERT_TRUE(client.handshake());
  client.send("big 200000\n");
  EXPECT_EQ(client.readTo("hello\n"), "hello\n");
  ASSERT_EQ(SSL_key_update(client.ssl(), SSL_KEY_UPDATE_REQUESTED), 1);
  client.send("big 200000\nquit\n");
  const std::string much(200000, 'x');
  EXPECT_EQ(client.readAll(), much + "\n" + much + "\nbye\n");
  EXPECT_TRUE(client.endedWell());
}

TEST_F(ChannelTest, AnswersAPeerThatEndsItsHalfWithoutACloseNotify) {
  Stage stage(implicitSettings(), tls_.context());
  WireClient client(stage.port());
  ASSERT_TRUE(client.open());
  client.socket().send(client.sealed("big 100000\necho last\n"));
  ::shutdown(client.socket().descriptor(), SHUT_WR);
  EXPECT_EQ(client.readTo("last\n"), std::string(100000, 'x') + "\nlast\n");
  while (!client.metCloseNotify() && client.receive()) client.opened();
  EXPECT_TRUE(client.metCloseNotify());
  EXPECT_TRUE(stage.empties());
}

TEST_F(ChannelTest, EndsWhenThePeerLeavesInTheMiddleOfARecord) {
  Stage stage(implicitSettings(), tls_.context());
  WireClient client(stage.port());
  ASSERT_TRUE(client.open());
  client.socket().send(client.sealed("echo never\n").substr(0, 12));
  ::shutdown(client.socket().descriptor(), SHUT_WR);
  EXPECT_EQ(client.readTo("never\n"), "");
  EXPECT_TRUE(stage.empties());
}

TEST_F(ChannelTest, EndsWhenThePeerIsResetWhileAReplyWaits) {
  for (const bool encrypted : {false, true}) {
    auto settings = encrypted ? implicitSettings() : plainSettings();
    settings.socket.sendBufferSize = 8192;
    Stage stage(settings, encrypted ? tls_.context() : nullptr);
    Client client(stage.port());
    if (encrypted) {
      ASSERT_TRUE(client.handshake());
    }
    client.send("big 3000000\n");
    client.readTo("hello\n");
    client.reset();
    EXPECT_TRUE(stage.empties()) << encrypted;
  }
}

TEST_F(ChannelTest, EndsWhenARecordWasTamperedWith) {
  Stage stage(implicitSettings(), tls_.context());
  WireClient client(stage.port());
  ASSERT_TRUE(client.open());
  std::string record = client.sealed("echo forged\n");
  record.back() = static_cast<char>(record.back() ^ 1);
  client.socket().send(record);
  EXPECT_EQ(client.readTo("forged\n"), "");
  EXPECT_TRUE(stage.empties());
}

TEST_F(ChannelTest, SendsTheAlertOfAHandshakeThatFails) {
  Stage stage(implicitSettings(), tls_.context());
  Client client(stage.port());
  std::string hello = someClientHello();
  hello[43] = '\x7f';  // the length of the session id, of which 32 octets are the most
  client.send(hello);
  const std::string answer = client.readAll();
  ASSERT_EQ(answer.size(), 7u);
  EXPECT_EQ(answer[0], 21);  // RFC 8446 section 5.1: alert
  EXPECT_TRUE(stage.logged("tls.handshake.failed"));
}

TEST_F(ChannelTest, GivesOthersTheirTurnWhileAPeerSendsWithoutEnd) {
  for (const bool encrypted : {false, true}) {
    Stage stage(encrypted ? implicitSettings() : plainSettings(), encrypted ? tls_.context() : nullptr,
                [](const Peer&) { return std::make_shared<Swallower>(); });
    std::atomic<bool> enough{false};
    const auto flood = [&] {
      Client client(stage.port());
      if (encrypted) {
        EXPECT_TRUE(client.handshake());
      }
      while (!enough) client.send(std::string(1 << 18, 'x'));
    };
    std::thread one(flood), two(flood);
    EXPECT_TRUE(eventually([&] { return stage.listener().counts().open == 2; }));
    for (int i = 0; i < 4; ++i) {
      Client other(stage.port());
      if (encrypted) {
        EXPECT_TRUE(other.handshake());
      }
      EXPECT_EQ(other.readTo("hello\n"), "hello\n");
      other.send("?");
      EXPECT_EQ(other.readTo("!\n"), "!\n");
    }
    enough = true;
    one.join();
    two.join();
    EXPECT_TRUE(stage.empties());
  }
}

}  // namespace
}  // namespace postern::listeners
