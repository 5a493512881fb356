// Handshakes in several threads while certificates are published, contexts refreshed, plans changed and keys rotated.
#include <gtest/gtest.h>

#include <atomic>
#include <mutex>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "tests/tls/server_fixture.h"

namespace postern::tls {
namespace {

using testing::shakeHands;
using namespace std::chrono_literals;

class ConcurrentHandshakesTest : public ServerFixture {
 protected:
  static constexpr int generations = 6;
  static constexpr int clients = 3;
};

TEST_F(ConcurrentHandshakesTest, SeeTheCertificatesOfBeforeOrThoseOfAfterNeverAMixture) {
  const auto wwwId = acmeCertificate("le", {"www.example.org"});
  std::vector<std::map<CertificateId, CertifiedKeyRef>> sets;
  std::set<std::string> ownSerials, wwwSerials;
  for (int i = 0; i < generations; ++i) {
    testing::IssueOptions options;
    options.keyType = i % 2 == 0 ? KeyType::EcdsaP256 : KeyType::Rsa2048;
    sets.push_back(
        {{own_, ca_.issue({"imap.example.org"}, options)}, {wwwId, ca_.issue({"www.example.org"}, options)}});
    ownSerials.insert(sets.back().at(own_)->serial());
    wwwSerials.insert(sets.back().at(wwwId)->serial());
  }
  store_.publish(sets[0]);
  auto made = plan();
  made.domains = {{wwwId}};
  made.answersChallenges = true;
  const auto server = context(made);
  const auto subscription = store_.subscribe([&](const std::vector<CertificateId>&) { server->refresh(); });
  const auto answer = makeChallengeCertificate("new.example.org", std::string(32, 'd'), testing::machineTime());

  std::atomic<bool> stop = false;
  std::atomic<int> handshakes = 0, wrong = 0;
  std::vector<std::thread> threads;
  for (int i = 0; i < clients; ++i) {
    threads.emplace_back([&, i] {
      testing::Handshake last;
      for (int n = 0; !stop || n < 10; ++n) {
        const bool www = (n + i) % 2 == 0;
        auto options = to(www ? "www.example.org" : "imap.example.org");
        if (n % 3 == 0) options.session = last.session.get();
        auto done = shakeHands(*server, options);
        const bool fits = (www ? wwwSerials : ownSerials).contains(done.serial);
        // A resumed TLS 1.3 session shows the certificate that it began with.
        if (!done.completed || !fits) ++wrong;
        if (done.session) last = std::move(done);
        ++handshakes;
      }
    });
  }
  threads.emplace_back([&] {
    while (!stop) {
      const auto handle = challenges_.present("new.example.org", answer);
      auto options = to("new.example.org");
      options.alpn = {"acme-tls/1"};
      if (shakeHands(*server, options).serial != answer->serial()) ++wrong;
      challenges_.cleanUp(handle);
    }
  });
  int published = 0;
  while (handshakes < 200 || published < 10) {
    store_.publish(sets[static_cast<std::size_t>(++published % generations)]);
    if (published % 5 == 0) server->serve(made);
    if (published % 7 == 0) server->serveMeanwhile({bootstrap_, "self-signed", {}});
    if (published % 11 == 0) clock_.advance(12h);
    const int before = handshakes;
    while (handshakes == before) std::this_thread::yield();
  }
  stop = true;
  for (auto& thread : threads) thread.join();
  store_.unsubscribe(subscription);
  EXPECT_EQ(wrong, 0);
  EXPECT_EQ(server->served().certificate, store_.current()->find(own_));
}

TEST_F(ConcurrentHandshakesTest, GetTheTypeTheyCanUseWhileTheTypesAreSwappedOneByOne) {
  const auto rsaId = acmeCertificate("le", {"imap.example.org"}, "rsa-2048");
  std::vector<CertifiedKeyRef> ecdsa, rsa;
  std::set<std::string> ecdsaSerials, rsaSerials;
  for (int i = 0; i < generations; ++i) {
    testing::IssueOptions options;
    ecdsa.push_back(ca_.issue({"imap.example.org"}, options));
    options.keyType = KeyType::Rsa2048;
    rsa.push_back(ca_.issue({"imap.example.org"}, options));
    ecdsaSerials.insert(ecdsa.back()->serial());
    rsaSerials.insert(rsa.back()->serial());
  }
  store_.publish({{own_, ecdsa[0]}, {rsaId, rsa[0]}});
  auto made = plan();
  made.own = {own_, rsaId};
  const auto server = context(made);
  const auto subscription = store_.subscribe([&](const std::vector<CertificateId>&) { server->refresh(); });

  std::atomic<bool> stop = false;
  std::atomic<int> handshakes = 0, wrong = 0;
  std::vector<std::thread> threads;
  for (int i = 0; i < clients; ++i) {
    threads.emplace_back([&, i] {
      for (int n = 0; !stop || n < 10; ++n) {
        const bool rsaOnly = (n + i) % 2 == 0;
        auto options = to("imap.example.org");
        options.newest = n % 3 == 0 ? TLS1_2_VERSION : TLS1_3_VERSION;
        if (rsaOnly) options.signatureAlgorithms = "RSA-PSS+SHA256:RSA+SHA256";
        const auto done = shakeHands(*server, options);
        if (!done.completed || !(rsaOnly ? rsaSerials : ecdsaSerials).contains(done.serial)) ++wrong;
        ++handshakes;
      }
    });
  }
  int published = 0;
  while (handshakes < 150 || published < 10) {
    const auto next = static_cast<std::size_t>(++published % generations);
    if (published % 2 == 0) {
      store_.publish(own_, ecdsa[next]);
    } else {
      store_.publish(rsaId, rsa[next]);
    }
    const int before = handshakes;
    while (handshakes == before) std::this_thread::yield();
  }
  stop = true;
  for (auto& thread : threads) thread.join();
  store_.unsubscribe(subscription);
  EXPECT_EQ(wrong, 0);
}

}  // namespace
}  // namespace postern::tls
