// Every kind of request failing in every way, once: afterwards the certificate is there, and nothing was bought twice
// beyond what the failure forces. What the manager makes of them is a test of its own.
#include <algorithm>
#include <set>

#include "tests/acme/ca_fixture.h"

namespace postern::acme {
namespace {

using namespace std::chrono_literals;
using test::Failure;

struct Pair {
  std::string stage;
  Failure failure;
};

void PrintTo(const Pair& pair, std::ostream* out) {
  *out << pair.stage << " " << test::nameOf(pair.failure);
}

std::vector<Pair> allPairs() {
  std::vector<Pair> pairs;
  for (const std::string& stage : test::stages()) {
    for (Failure failure : test::allFailures()) pairs.push_back({stage, failure});
  }
  return pairs;
}

bool isOneOf(Failure failure, const std::set<Failure>& some) {
  return some.contains(failure);
}

class IssuanceFailures : public WithCa, public ::testing::WithParamInterface<Pair> {
 protected:
  template <class Action>
  static bool tried(Action action) {
    try {
      action();
      return true;
    } catch (const Error& error) {
      EXPECT_FALSE(error.problem.type.empty());
      return false;
    }
  }
  // Where the answer was lost, the account's own request tells which of the two keys the CA holds.
  void changeKey() {
    const tls::KeyPtr fresh = tls::generateKey(tls::KeyType::EcdsaP256);
    if (tried([&] { client.changeKey(tls::share(fresh.get()), {}); })) return;
    if (tried([&] { client.account({}); })) return;
    client.useAccount(tls::share(fresh.get()), client.accountUrl());
    EXPECT_EQ(client.account({}).status, "valid");
  }
};

TEST_P(IssuanceFailures, EndsWithACertificateAndNoOrderTooMany) {
  const auto& [stage, failure] = GetParam();
  TlsAlpnSolver solver{challenges, clock};
  JournalInMemory journal;
  const tls::KeyPtr key = tls::generateKey(tls::KeyType::EcdsaP256);
  ca.orderPolls(1);  // so that each of the requests is made
  ca.offerRenewalInfo(true);
  clock.advance(25h);
  if (stage == "newNonce") {
    // The nonce at hand is spent on a request whose answer brings none.
    ca.failNext("account", Failure::NoNonce);
    client.account({});
  }
  ca.failNext(stage, failure);
  if (stage == "account") tried([&] { client.account({}); });
  if (stage == "keyChange") changeKey();
  if (stage == "newAccount") {
    // As an attempt that finds its URL lost begins, until it is there.
    const std::string url = client.accountUrl();
    const auto find = [&] { client.newAccount({}, false, {}, {}); };
    if (!tried(find)) find();
    EXPECT_EQ(client.accountUrl(), url);
  }
  tls::CertifiedKeyRef certificate;
  int attempts = 0;
  for (; !certificate && attempts < 4; ++attempts) {
    if (attempts > 0) clock.advance(90min);
    const int before = ca.total();
    try {
      certificate =
          Issuance(client, solver, journal, clock, log, {{"mail.example.org"}, tls::share(key.get())}).run({});
    } catch (const Error& error) {
      EXPECT_FALSE(error.problem.detail.empty());
    }
    EXPECT_LE(ca.total() - before, 60);
  }
  ASSERT_TRUE(certificate);
  EXPECT_LE(attempts, 3);
  EXPECT_EQ(certificate->names(), std::vector<std::string>{"mail.example.org"});
  EXPECT_TRUE(certificate->validAt(clock.now()));
  EXPECT_FALSE(challenges.find("mail.example.org"));
  if (!tried([&] { client.renewalInfo(*certificate, {}, 0.5, {}); })) {
    EXPECT_TRUE(client.renewalInfo(*certificate, {}, 0.5, {}));
  }
  if (stage == "revokeCert") {
    const auto revoke = [&] { client.revoke(*certificate, 4, Client::RevokeBy::Account, {}); };
    if (!tried(revoke)) revoke();
    EXPECT_EQ(ca.revocations().size(), 1U);
  }
  EXPECT_GT(ca.count(stage), 0);
  EXPECT_EQ(ca.failuresLeft(), 0);  // it did come up

  // An order whose URL was lost, whose validation failed or whose certificate is unfit has to be made again.
  static const std::set<Failure> loseTheUrl{Failure::ResetMidBody, Failure::AnswerLost, Failure::TruncatedJson,
                                            Failure::WrongJson, Failure::EndlessBody};
  static const std::set<Failure> unfit{Failure::OtherKey,    Failure::OtherNames, Failure::Expired,
                                       Failure::NotYetValid, Failure::LeafOnly,   Failure::Garbage};
  const bool forced = (stage == "newOrder" && isOneOf(failure, loseTheUrl)) ||
                      failure == Failure::InvalidAuthorization || isOneOf(failure, unfit) ||
                      (failure == Failure::NotFound && stage == "order");
  EXPECT_LE(ca.orders(), forced ? 2 : 1);
  EXPECT_LE(ca.issued(), isOneOf(failure, unfit) ? 2 : 1);
  EXPECT_EQ(ca.accounts(), 1);
  EXPECT_EQ(ca.repeatedAnswers(), 0);
}

INSTANTIATE_TEST_SUITE_P(AllPairs, IssuanceFailures, ::testing::ValuesIn(allPairs()), [](const auto& each) {
  return each.param.stage + std::string(test::nameOf(each.param.failure));
});

}  // namespace
}  // namespace postern::acme
