// Handshakes that fail: what the client hears of it, what the log says, and what the server still holds.
#include <gtest/gtest.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/x509_vfy.h>
#include <sys/socket.h>
#include <sys/time.h>

#include <atomic>
#include <string>
#include <string_view>

#include "tests/listeners/client.h"
#include "tests/listeners/stage.h"

namespace postern::listeners::testing {
namespace {

using namespace std::chrono_literals;

// A hello, and then more than the server reads at once of what nobody will ever look at.
std::string helloAndMore() {
  return someClientHello() + std::string(200000, 'x');
}

void beStrict(Tls& tls) {
  tls::ServingPlan strict = *tls.context()->plan();
  strict.policy.strictSni = true;
  strict.answersChallenges = false;
  tls.context()->serve(strict);
}

TEST(FailedHandshake, TellsTheClientWhyThoughItGoesOnSending) {
  Tls tls;
  beStrict(tls);  // and the hello has no name
  const std::string unrecognizedName("\x15\x03\x03\x00\x02\x02\x70", 7);
  Stage implicit(implicitSettings(), tls.context());
  Client client(implicit.port());
  client.send(helloAndMore());
  EXPECT_EQ(client.readAll(), unrecognizedName);
  EXPECT_TRUE(client.endedWell());  // no reset, at which many systems throw away what the client has not read yet

  Stage startTls(startTlsSettings(), tls.context());
  Client second(startTls.port());
  second.send("starttls\n");
  ASSERT_EQ(second.readTo("go\n"), "hello\ngo\n");
  second.send(helloAndMore());
  EXPECT_EQ(second.readAll(), unrecognizedName);
  EXPECT_TRUE(second.endedWell());
}

// How many SSL objects this process has freed, from the first call on.
std::atomic<int>& connectionsFreed() {
  static std::atomic<int> freed = 0;
  static const int index = CRYPTO_get_ex_new_index(CRYPTO_EX_INDEX_SSL, 0, nullptr, nullptr, nullptr,
                                                   [](void*, void*, CRYPTO_EX_DATA*, int, long, void*) { ++freed; });
  EXPECT_GE(index, 0);
  return freed;
}

TEST(FailedHandshake, HoldsNothingButTheSocketWhileTheClientStays) {
  Tls tls;
  auto settings = implicitSettings();
  settings.socket.linger = 1h;
  Stage stage(settings, tls.context());
  auto& freed = connectionsFreed();
  beStrict(tls);
  const std::string bytes = helloAndMore();
  const int before = freed;
  {
    Client client(stage.port());
    client.send(bytes);
    client.readAll();
    EXPECT_TRUE(eventually([&] { return freed > before; }));
    EXPECT_EQ(stage.limits().handshakes(), 0u);
    EXPECT_EQ(stage.listener().counts().handshakesFailed, 1u);
    EXPECT_EQ(stage.listener().counts().open, 1u);
  }
  EXPECT_TRUE(stage.empties());
  EXPECT_TRUE(stage.logged("how=handshake-failed"));
}

TEST(FailedHandshake, IsExplainedWhereOpenSslKnowsOfNothingButACallback) {
  Tls tls;
  Stage stage(implicitSettings(), tls.context());
  const std::string acme =
      "\x0a"
      "acme-tls/1";
  EXPECT_FALSE(Client(stage.port()).handshake("new.example.org", nullptr, {acme.begin(), acme.end()}));
  EXPECT_TRUE(stage.logged("no challenge is pending for this name; server name: new.example.org"));

  beStrict(tls);
  EXPECT_FALSE(Client(stage.port()).handshake("www.example.org"));
  EXPECT_TRUE(stage.logged("strict-sni: no certificate is for this name; server name: www.example.org"));
  EXPECT_FALSE(Client(stage.port()).handshake(""));
  EXPECT_TRUE(stage.logged("strict-sni: no certificate is for this name; server name: none"));
  EXPECT_FALSE(Client(stage.port()).handshake("mail.example.org", nullptr, {acme.begin(), acme.end()}));
  EXPECT_TRUE(stage.logged("this listener does not answer challenges (acme-tls/1); server name: mail.example.org"));

  Tls challenges(true);
  auto settings = implicitSettings();
  settings.protocol = Protocol::ChallengeOnly;
  Stage port(settings, challenges.context());
  EXPECT_FALSE(Client(port.port()).handshake("www.example.org"));
  EXPECT_TRUE(port.logged("this port only answers challenges (acme-tls/1); server name: www.example.org"));
}

TEST(FailedHandshake, SaysWhatIsWrongWithAClientsCertificate) {
  Tls tls;
  const postern::testing::TestCa ca;
  tls::ServingPlan requiring = *tls.context()->plan();
  requiring.policy.clientAuth = tls::ClientAuth::Require;
  requiring.policy.clientCa = ca.intermediatePem();
  tls.context()->serve(requiring);
  Stage stage(implicitSettings(), tls.context());
  const auto server = ca.issue({"client.example.org"});  // which is good for servers alone
  const Client client(stage.port());
  const tls::SslCtxPtr context(SSL_CTX_new(TLS_client_method()));
  ASSERT_EQ(SSL_CTX_use_cert_and_key(context.get(), server->leaf(), server->key(), nullptr, 1), 1);
  const tls::SslPtr ssl(SSL_new(context.get()));
  SSL_set_fd(ssl.get(), client.descriptor());
  const timeval noLimit{};  // with one, a process that stood still would not read on
  ASSERT_EQ(::setsockopt(client.descriptor(), SOL_SOCKET, SO_RCVTIMEO, &noLimit, sizeof noLimit), 0);
  char byte;
  EXPECT_FALSE(SSL_connect(ssl.get()) == 1 && SSL_read(ssl.get(), &byte, 1) > 0);
  ERR_clear_error();
  EXPECT_TRUE(stage.logged(std::string("certificate verify failed: ") +
                           X509_verify_cert_error_string(X509_V_ERR_INVALID_PURPOSE)))
      << stage.logText();
}

}  // namespace
}  // namespace postern::listeners::testing
