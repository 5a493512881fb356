// The probe sees what a listener really serves, of each key type.
#include "server/probe.h"

#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <thread>

#include "tests/support/test_certificates.h"
#include "tls/server_context.h"

namespace postern::server {
namespace {

using tls::CertifiedKeyRef;
using tls::KeyType;

// A listener with implicit TLS that greets one client after another until it goes.
class TlsListener {
 public:
  explicit TlsListener(const std::vector<CertifiedKeyRef>& served,
                       const tls::Policy& policy = tls::intermediatePolicy()) {
    tls::ServingPlan plan;
    plan.listener = "imaps";
    plan.policy = policy;
    plan.hostnames = {"mail.example.org"};
    plan.meanwhile = {served.front(), "acme:le", {served.begin() + 1, served.end()}};
    context_ = std::make_unique<tls::ServerContext>(plan, store_, tickets_, challenges_, log_);
    socket_ = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in any{};
    any.sin_family = AF_INET;
    any.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t length = sizeof any;
    if (::bind(socket_, reinterpret_cast<sockaddr*>(&any), length) != 0 || ::listen(socket_, 16) != 0 ||
        ::getsockname(socket_, reinterpret_cast<sockaddr*>(&any), &length) != 0)
      throw std::runtime_error("no port");
    port_ = ntohs(any.sin_port);
    thread_ = std::thread([this] { serve(); });
  }
  ~TlsListener() {
    ::shutdown(socket_, SHUT_RDWR);  // accept() returns
    thread_.join();
    ::close(socket_);
  }
  TlsListener(const TlsListener&) = delete;
  TlsListener& operator=(const TlsListener&) = delete;

  listeners::Address address() const { return {"127.0.0.1", port_}; }
  int handshakes() const { return handshakes_; }

 private:
  void serve() {
    for (int client = 0; (client = ::accept4(socket_, nullptr, nullptr, SOCK_CLOEXEC)) >= 0;) {
      const tls::SslPtr ssl = context_->newConnection();
      if (SSL_set_fd(ssl.get(), client) == 1 && SSL_accept(ssl.get()) == 1) ++handshakes_;
      ::close(client);
    }
  }

  SystemClock clock_;
  Log log_;
  tls::CertificateStore store_;
  tls::TicketKeys tickets_{clock_};
  tls::AlpnChallenges challenges_;
  std::unique_ptr<tls::ServerContext> context_;
  int socket_ = -1;
  std::uint16_t port_ = 0;
  std::atomic<int> handshakes_{0};
  std::thread thread_;
};

class ProbeTest : public ::testing::Test {
 protected:
  CertifiedKeyRef issue(KeyType type) const {
    postern::testing::IssueOptions options;
    options.keyType = type;
    return ca_.issue({"mail.example.org"}, options);
  }
  static listeners::ListenerSettings settings() {
    listeners::ListenerSettings settings;
    settings.id = "imaps";
    settings.protocol = listeners::Protocol::Imap;
    settings.tls = listeners::TlsMode::Implicit;
    settings.hostnames = {"mail.example.org"};
    return settings;
  }
  postern::testing::TestCa ca_;
  const CertifiedKeyRef ecdsa_ = issue(KeyType::EcdsaP256), rsa_ = issue(KeyType::Rsa2048);
};

TEST_F(ProbeTest, SeesEachKeyTypeThatIsServed) {
  const TlsListener listener({ecdsa_, rsa_});
  const auto targets = probeTargets(settings(), listener.address(), {ecdsa_, rsa_});
  ASSERT_EQ(targets.size(), 2U);
  for (const auto& target : targets) {
    const ProbeResult result = probeOnce(target);
    EXPECT_TRUE(result.served) << result.words;
  }
}

TEST_F(ProbeTest, SeesThatOneOfTwoTypesIsNotTheOneThatShouldBeServed) {
  const TlsListener listener({ecdsa_, rsa_});
  const auto renewed = issue(KeyType::Rsa2048);
  const auto targets = probeTargets(settings(), listener.address(), {ecdsa_, renewed});
  EXPECT_TRUE(probeOnce(targets[0]).served);
  const ProbeResult second = probeOnce(targets[1]);
  EXPECT_FALSE(second.served);
  EXPECT_NE(second.words.find("not " + renewed->serial()), std::string::npos) << second.words;
}

TEST_F(ProbeTest, SeesThatATypeIsNotServedAtAll) {
  const TlsListener listener({ecdsa_});
  const auto targets = probeTargets(settings(), listener.address(), {ecdsa_, rsa_});
  EXPECT_TRUE(probeOnce(targets[0]).served);
  EXPECT_FALSE(probeOnce(targets[1]).served);
}

TEST_F(ProbeTest, NamesAnotherCertificateOfAnotherType) {
  const TlsListener listener({ecdsa_});
  const auto targets = probeTargets(settings(), listener.address(), {rsa_});
  ASSERT_EQ(targets.size(), 1U);
  const ProbeResult result = probeOnce(targets[0]);
  EXPECT_FALSE(result.served);
  EXPECT_NE(result.words.find("serves serial"), std::string::npos) << result.words;
}

TEST_F(ProbeTest, SeesWhatIsServedThoughItHasNoCertificateOfItsOwnToShow) {
  for (const char* version : {"TLSv1.2", "TLSv1.3"}) {
    tls::Policy policy = tls::intermediatePolicy();
    policy.protocols = {version};
    policy.clientAuth = tls::ClientAuth::Require;
    policy.clientCa = ca_.rootPem();
    const TlsListener listener({ecdsa_}, policy);
    const ProbeResult result = probeOnce(probeTargets(settings(), listener.address(), {ecdsa_}).front());
    EXPECT_TRUE(result.served) << version << ": " << result.words;
    EXPECT_FALSE(probeOnce(probeTargets(settings(), listener.address(), {rsa_}).front()).served) << version;
  }
}

TEST_F(ProbeTest, ReachesAnAnyAddressOverLoopback) {
  EXPECT_EQ(probeTargets(settings(), {"0.0.0.0", 993}, {ecdsa_}).front().address,
            (listeners::Address{"127.0.0.1", 993}));
  EXPECT_EQ(probeTargets(settings(), {"::", 993}, {ecdsa_}).front().address, (listeners::Address{"::1", 993}));
  EXPECT_TRUE(probeTargets(settings(), {"::", 993}, {}).empty());
}

TEST_F(ProbeTest, AsksForFurtherNamesToo) {
  const auto www = ca_.issue({"www.example.org"});
  const TlsListener listener({ecdsa_});
  const auto targets = probeTargets(settings(), listener.address(), {ecdsa_}, {{"www.example.org", {www}}});
  ASSERT_EQ(targets.size(), 2U);
  EXPECT_TRUE(probeOnce(targets[0]).served);
  EXPECT_EQ(targets[1].serverName, "www.example.org");
  EXPECT_FALSE(probeOnce(targets[1]).served);
}

TEST_F(ProbeTest, LooksAgainAtWhatItHasNotSeenAloneAndAtWhatItShouldBeThen) {
  // While the prober looks, the first certificate is renewed: at its second look it knows which one should come.
  const TlsListener listener({ecdsa_, rsa_});
  const auto old = issue(KeyType::EcdsaP256);
  Log log;
  std::atomic<int> asked{0};
  std::atomic<std::uint64_t> choice{0};
  std::atomic<bool> sameChoice{true};
  Prober prober(log, [&](const std::string&, std::uint64_t chosen) {
    if (asked++ > 0 && choice != chosen) sameChoice = false;
    choice = chosen;
    return probeTargets(settings(), listener.address(), {asked == 1 ? old : ecdsa_, rsa_});
  });
  prober.request("imaps");
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::minutes(1);
  while (listener.handshakes() < 3 && std::chrono::steady_clock::now() < deadline) std::this_thread::yield();
  EXPECT_EQ(listener.handshakes(), 3);
  EXPECT_EQ(asked, 2);
  EXPECT_TRUE(sameChoice);
  EXPECT_EQ(prober.failures(), 0U);
}

TEST_F(ProbeTest, TheProberLooksAtEveryTypeAfterOneRequest) {
  const TlsListener listener({ecdsa_, rsa_});
  Log log;
  std::atomic<int> asked{0};
  Prober prober(log, [&](const std::string&, std::uint64_t) {
    ++asked;
    return probeTargets(settings(), listener.address(), {ecdsa_, rsa_});
  });
  prober.request("imaps");
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::minutes(1);
  while (listener.handshakes() < 2 && std::chrono::steady_clock::now() < deadline) std::this_thread::yield();
  EXPECT_EQ(listener.handshakes(), 2);
  EXPECT_EQ(asked, 1);
  EXPECT_EQ(prober.failures(), 0U);
}

}  // namespace
}  // namespace postern::server
