// Certificates that are swapped a thousand times, and listeners that are configured anew, while clients shake hands and
// others sit idle: nobody notices.
#include <gtest/gtest.h>
#include <openssl/x509v3.h>
#include <sys/resource.h>

#include <algorithm>
#include <atomic>
#include <future>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "tests/listeners/client.h"
#include "tests/listeners/script_session.h"
#include "tests/listeners/stage.h"

#if defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer) || __has_feature(memory_sanitizer)
#define POSTERN_SANITIZED
#endif
#endif
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define POSTERN_SANITIZED
#endif

namespace postern::listeners::testing {
namespace {

using postern::testing::TestCa;
using SessionPtr = tls::Owned<SSL_SESSION, SSL_SESSION_free>;

#ifdef POSTERN_SANITIZED
constexpr int clients = 8, swaps = 100;
constexpr std::size_t mostIdle = 50;
#else
constexpr int clients = 64, swaps = 1000;
constexpr std::size_t mostIdle = 1000;
#endif

// Both ends of every idle session are this process's.
std::size_t idleSessions() {
  rlimit limit{};
  getrlimit(RLIMIT_NOFILE, &limit);
  limit.rlim_cur = limit.rlim_max;
  setrlimit(RLIMIT_NOFILE, &limit);
  return std::min<std::size_t>(mostIdle, (limit.rlim_cur - 300) / 2);
}

class SwapTest : public ::testing::Test {
 protected:
  SwapTest() {
    for (int i = 0; i < 4; ++i) {
      postern::testing::IssueOptions options;
      options.keyType = i / 2 == 0 ? tls::KeyType::EcdsaP256 : tls::KeyType::Rsa2048;
      generations_.push_back((i % 2 == 0 ? one_ : two_).issue({"mail.example.org"}, options));
    }
    plan_.listener = "test";
    plan_.policy = tls::intermediatePolicy();
    plan_.hostnames = {"mail.example.org"};
    plan_.own = {id_};
    plan_.meanwhile = {generations_[0], "certificate:test", {}};
    store_.publish(id_, generations_[0]);
    context_ = std::make_shared<tls::ServerContext>(plan_, store_, tickets_, challenges_, log_);
    implicit_ = std::make_unique<Stage>(implicitSettings(), context_);
    startTls_ = std::make_unique<Stage>(startTlsSettings(), context_);
  }

  static SessionFactory sessions() {
    return [](const Peer& peer) { return std::make_shared<ScriptSession>(peer); };
  }
  // Past the greeting, through STARTTLS or not. False when the handshake failed.
  static bool begin(Client& client, bool startTls, SSL_SESSION* session = nullptr) {
    if (!startTls) return client.handshake("mail.example.org", session) && client.readTo() == "hello\n";
    client.send("starttls\n");
    return client.readTo("go\n") == "hello\ngo\n" && client.handshake("mail.example.org", session) &&
           client.readTo() == "encrypted\n";
  }
  // That the handshake stands shows that the key is the leaf's; this, that the chain is the leaf's too.
  bool isOneGeneration(Client& client) const {
    X509* const leaf = SSL_get0_peer_certificate(client.ssl());
    const STACK_OF(X509)* const chain = SSL_get_peer_cert_chain(client.ssl());
    if (leaf == nullptr || sk_X509_num(chain) != 2 || X509_check_issued(sk_X509_value(chain, 1), leaf) != X509_V_OK)
      return false;
    return std::any_of(generations_.begin(), generations_.end(),
                       [&](const auto& one) { return X509_cmp(one->leaf(), leaf) == 0; });
  }
  Stage& stageOf(bool startTls) { return startTls ? *startTls_ : *implicit_; }

  LogSettings quiet() {
    LogSettings settings;
    settings.level = LogLevel::Error;
    return settings;
  }
  SystemClock clock_;
  Log log_{quiet()};
  TestCa one_{"One"}, two_{"Two"};
  std::vector<tls::CertifiedKeyRef> generations_;
  tls::CertificateId id_ = tls::staticCertificate("test");
  tls::CertificateStore store_;
  tls::TicketKeys tickets_{clock_};
  tls::AlpnChallenges challenges_;
  tls::ServingPlan plan_;
  std::shared_ptr<tls::ServerContext> context_;
  std::unique_ptr<Stage> implicit_, startTls_;
};

TEST_F(SwapTest, UnderLoadFailsNoHandshakeDropsNoSessionAndKeepsEveryTicket) {
  std::vector<std::unique_ptr<Client>> idle;
  for (std::size_t i = 0, count = idleSessions(); i < count; ++i) {
    const bool startTls = i % 2 == 0;
    idle.push_back(std::make_unique<Client>(stageOf(startTls).port()));
    ASSERT_TRUE(begin(*idle.back(), startTls)) << i;
  }

  std::atomic<bool> stop = false;
  std::atomic<int> handshakes = 0, failed = 0, mixed = 0, notResumed = 0;
  std::vector<std::thread> threads;
  for (int i = 0; i < clients; ++i) {
    threads.emplace_back([&, i] {
      SessionPtr session;
      for (int turn = 0; !stop; ++turn) {
        const bool startTls = (i + turn) % 2 == 0;
        Client client(stageOf(startTls).port());
        SSL_SESSION* const offered = turn % 3 == 0 ? nullptr : session.get();
        if (!begin(client, startTls, offered)) {
          ++failed;
          continue;
        }
        if (offered == nullptr && !isOneGeneration(client)) ++mixed;
        if (offered != nullptr && !client.resumed()) ++notResumed;
        ++handshakes;
        session.reset(SSL_get1_session(client.ssl()));
        client.sayCloseNotify();
      }
    });
  }

  const auto settings = [](bool startTls) { return startTls ? startTlsSettings() : implicitSettings(); };
  int late = 0;
  for (int swap = 1; swap <= swaps; ++swap) {
    const auto& next = generations_[static_cast<std::size_t>(swap) % generations_.size()];
    store_.publish(id_, next);
    ASSERT_TRUE(context_->refresh());
    if (swap % 10 != 0) continue;
    // What a reload does: the same plan anew, in a context of its own.
    context_ = std::make_shared<tls::ServerContext>(plan_, store_, tickets_, challenges_, log_);
    for (const bool startTls : {false, true})
      stageOf(startTls).listener().configure(settings(startTls), context_, sessions());
    Client after(implicit_->port());
    if (!begin(after, false) || X509_cmp(SSL_get0_peer_certificate(after.ssl()), next->leaf()) != 0) ++late;
    const int before = handshakes;
    EXPECT_TRUE(eventually([&] { return handshakes > before; }));
  }
  stop = true;
  for (auto& thread : threads) thread.join();

  EXPECT_EQ(failed, 0);
  EXPECT_EQ(mixed, 0);
  EXPECT_EQ(notResumed, 0);
  EXPECT_EQ(late, 0) << "a handshake after the swap got the certificate of before";
  for (auto& client : idle) {
    client->send("echo still here\n");
    ASSERT_EQ(client->readTo(), "still here\n");
  }
  EXPECT_EQ(implicit_->listener().counts().handshakesFailed + startTls_->listener().counts().handshakesFailed, 0u);
  for (auto& client : idle) client->sayCloseNotify();
}

TEST_F(SwapTest, BuildsTheNextServingWhileNoLoopRuns) {
  const auto subscription = store_.subscribe([&](const auto&) { context_->refresh(); });
  EventLoops& loops = implicit_->environment().loops;
  std::atomic<int> held = 0;
  std::promise<void> release;
  const std::shared_future<void> released = release.get_future().share();
  for (int i = 0; i < loops.count(); ++i) {
    loops.at(static_cast<std::size_t>(i)).post([&held, released] {
      ++held;
      released.wait();
    });
  }
  ASSERT_TRUE(eventually([&] { return held == loops.count(); }));
  // As the manager does it, or the watch of the files.
  std::thread publisher([&] { store_.publish(id_, generations_[1]); });
  EXPECT_TRUE(eventually([&] { return context_->served().certificate == generations_[1]; }));
  release.set_value();
  publisher.join();
  store_.unsubscribe(subscription);
  Client after(implicit_->port());
  ASSERT_TRUE(begin(after, false));
  EXPECT_EQ(X509_cmp(SSL_get0_peer_certificate(after.ssl()), generations_[1]->leaf()), 0);
}

}  // namespace
}  // namespace postern::listeners::testing
