// Session tickets: what resumes, what must not, and what a new ticket costs.
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "tests/tls/server_fixture.h"

namespace postern::tls {
namespace {

using testing::ClientOptions;
using testing::shakeHands;
using namespace std::chrono_literals;

class ResumptionTest : public ServerFixture, public ::testing::WithParamInterface<int> {
 protected:
  static ClientOptions client(const std::string& name = "imap.example.org") {
    auto options = to(name);
    options.oldest = options.newest = GetParam();
    return options;
  }
  // Whether a session of `before` is resumed at `after`.
  static bool resumes(const ServerContext& before, const ServerContext& after,
                      const std::string& name = "imap.example.org", const std::string& nameAfter = "imap.example.org") {
    const auto first = shakeHands(before, client(name));
    EXPECT_TRUE(first.session);
    const auto second = shakeHands(after, resuming(first, client(nameAfter)));
    EXPECT_TRUE(second.completed) << second.error;
    return second.resumed;
  }
};

INSTANTIATE_TEST_SUITE_P(Versions, ResumptionTest, ::testing::Values(TLS1_2_VERSION, TLS1_3_VERSION),
                         [](const auto& version) { return version.param == TLS1_2_VERSION ? "Tls12" : "Tls13"; });

TEST_P(ResumptionTest, ResumesASessionAgainAndAgain) {
  const auto server = context();
  auto last = shakeHands(*server, client());
  for (int i = 0; i < 5; ++i) {
    auto next = shakeHands(*server, resuming(last, client()));
    EXPECT_TRUE(next.resumed) << i;
    // TLS 1.3 clients use a ticket once and need a new one each time.
    if (GetParam() == TLS1_3_VERSION) {
      EXPECT_EQ(next.tickets, 1u) << i;
    }
    ASSERT_TRUE(next.session) << i;
    last = std::move(next);
  }
}

TEST_P(ResumptionTest, ResumesOverARenewalAndTheSwapOfTheContext) {
  store_.publish(own_, ca_.issue({"imap.example.org"}));
  const auto server = context();
  const auto first = shakeHands(*server, client());
  store_.publish(own_, ca_.issue({"imap.example.org"}));
  ASSERT_TRUE(server->refresh());
  EXPECT_TRUE(shakeHands(*server, resuming(first, client())).resumed);
}

TEST_P(ResumptionTest, ResumesFromTheBootstrapCertificateToTheRealOne) {
  const auto server = context();
  const auto first = shakeHands(*server, client());
  testing::IssueOptions rsa;
  rsa.keyType = KeyType::Rsa2048;
  store_.publish(own_, ca_.issue({"imap.example.org"}, rsa));
  ASSERT_TRUE(server->refresh());
  // TLS 1.2 binds the key type into the cipher: an ECDSA session is one of a cipher that an RSA listener still allows.
  EXPECT_TRUE(shakeHands(*server, resuming(first, client())).resumed);
}

TEST_P(ResumptionTest, ResumesInANewContextOfTheSameListenerAndPolicy) {
  EXPECT_TRUE(resumes(*context(), *context()));
}

TEST_P(ResumptionTest, ResumesForANameOfItsOwn) {
  const auto domain = ca_.issue({"www.example.org"});
  const auto id = acmeCertificate("le", domain->names());
  store_.publish(id, domain);
  auto made = plan();
  made.domains = {{id}};
  const auto server = context(made);
  EXPECT_TRUE(resumes(*server, *server, "www.example.org", "WWW.example.org"));
}

TEST_P(ResumptionTest, MakesAFullHandshakeForATicketOfAnotherName) {
  const auto server = context();
  EXPECT_FALSE(resumes(*server, *server, "imap.example.org", "other.example.org"));
  EXPECT_FALSE(resumes(*server, *server, "imap.example.org", ""));
  EXPECT_FALSE(resumes(*server, *server, "", "imap.example.org"));
}

TEST_P(ResumptionTest, MakesAFullHandshakeForATicketOfAnotherListener) {
  EXPECT_FALSE(resumes(*context(plan("imaps")), *context(plan("pop3s"))));
}

TEST_P(ResumptionTest, EndsTheTicketsOfAListenerWhosePolicyChanges) {
  const auto server = context();
  const auto first = shakeHands(*server, client());
  auto changed = plan();
  changed.policy.ciphers.pop_back();
  server->serve(changed);
  EXPECT_FALSE(shakeHands(*server, resuming(first, client())).resumed);
  changed = plan();
  changed.alpn = {"imap", "other"};
  server->serve(changed);
  EXPECT_FALSE(shakeHands(*server, resuming(first, client())).resumed);
}

TEST_P(ResumptionTest, KeepsTicketsThroughAReloadThatChangesNothingOfThePolicy) {
  const auto server = context();
  const auto first = shakeHands(*server, client());
  auto changed = plan();
  changed.hostnames.push_back("more.example.org");
  changed.answersChallenges = true;
  changed.sni = {{"x.example.org", staticCertificate("x")}};
  server->serve(changed);
  EXPECT_TRUE(shakeHands(*server, resuming(first, client())).resumed);
}

TEST_P(ResumptionTest, ResumesOverOneRotationOfTheKeysAndRenewsTheTicket) {
  const auto server = context();
  const auto first = shakeHands(*server, client());
  clock_.advance(12h);
  const auto second = shakeHands(*server, resuming(first, client()));
  EXPECT_TRUE(second.resumed);
  ASSERT_TRUE(second.session);
  EXPECT_GT(second.ticketSize, 0u);
  clock_.advance(12h);
  EXPECT_FALSE(shakeHands(*server, resuming(first, client())).resumed);
  EXPECT_TRUE(shakeHands(*server, resuming(second, client())).resumed);
}

TEST_P(ResumptionTest, SendsAtMostOneSmallTicket) {
  const auto done = shakeHands(*context(), client());
  EXPECT_EQ(done.tickets, 1u);
  EXPECT_GT(done.ticketSize, 0u);
  EXPECT_LE(done.ticketSize, 300u);
}

TEST_P(ResumptionTest, SendsNoTicketWhereTheyAreSwitchedOff) {
  auto made = plan();
  made.policy.sessionTickets = false;
  const auto server = context(made);
  const auto done = shakeHands(*server, client());
  ASSERT_TRUE(done.completed);
  EXPECT_EQ(done.ticketSize, 0u);
  // Nor is one taken that was issued before.
  EXPECT_FALSE(resumes(*context(), *server));
}

TEST_P(ResumptionTest, AgreesOnTheProtocolAnewWhenResuming) {
  const auto server = context();
  const auto first = shakeHands(*server, client());
  auto options = client();
  options.alpn = {"imap"};
  EXPECT_EQ(shakeHands(*server, resuming(first, options)).protocol, "imap");
  options.alpn = {"h2"};
  EXPECT_EQ(shakeHands(*server, resuming(first, options)).alertNumber, 120);
}

TEST(TicketTest, ComesAfterTheClientsFinished) {
  // Exchange Online gives up when a ticket comes in the server's first flight.
  testing::FakeClock clock;
  LogSettings quiet;
  quiet.level = LogLevel::Error;
  Log log(quiet);
  CertificateStore store;
  TicketKeys tickets(clock);
  AlpnChallenges challenges;
  const KeyPtr key = generateKey(KeyType::EcdsaP256);
  ServingPlan plan;
  plan.listener = "smtp";
  plan.policy = intermediatePolicy();
  plan.meanwhile = {makeSelfSigned(key.get(), {"mx.example.org"}, testing::machineTime()), "self-signed", {}};
  ServerContext context(plan, store, tickets, challenges, log);

  std::vector<int> order;  // handshake messages at the server: sent ones as they are, received ones negative
  auto server = context.newConnection();
  SSL_set_msg_callback(server.get(),
                       [](int writing, int, int type, const void* bytes, std::size_t size, SSL*, void* seen) {
                         if (type != SSL3_RT_HANDSHAKE || size == 0) return;
                         const int message = *static_cast<const unsigned char*>(bytes);
                         static_cast<std::vector<int>*>(seen)->push_back(writing != 0 ? message : -message);
                       });
  SSL_set_msg_callback_arg(server.get(), &order);
  ASSERT_TRUE(testing::shakeHands(std::move(server)).completed);
  const std::vector<int> expected{-SSL3_MT_CLIENT_HELLO, SSL3_MT_SERVER_HELLO,       SSL3_MT_ENCRYPTED_EXTENSIONS,
                                  SSL3_MT_CERTIFICATE,   SSL3_MT_CERTIFICATE_VERIFY, SSL3_MT_FINISHED,
                                  -SSL3_MT_FINISHED,     SSL3_MT_NEWSESSION_TICKET};
  EXPECT_EQ(order, expected);
}

}  // namespace
}  // namespace postern::tls
