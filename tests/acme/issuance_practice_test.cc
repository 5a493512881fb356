// What CAs do in practice that RFC 8555 leaves open, or does not allow: orders given out twice, validations that end in
// other ways or not at all, resources that are gone.
#include <algorithm>
#include <utility>

#include "acme/renewal.h"
#include "tests/acme/ca_fixture.h"
#include "tests/support/typed_input.h"

namespace postern::acme {
namespace {

using namespace std::chrono_literals;
using test::Failure;
using Leaves = test::FakeCa::Leaves;

class PracticeTest : public WithCa {
 protected:
  struct Wanted {  // one certificate for the name
    JournalInMemory journal;
    tls::KeyPtr key = tls::generateKey(tls::KeyType::EcdsaP256);
  };
  tls::CertifiedKeyRef issue(Wanted& wanted) {
    return Issuance(client, solver, wanted.journal, clock, log, {{"mail.example.org"}, tls::share(wanted.key.get())})
        .run({});
  }
  tls::CertifiedKeyRef issue() { return issue(mail); }
  Error failure() {
    return errorOf([&] { issue(); });
  }
  static bool isFor(const tls::CertifiedKeyRef& certificate, const Wanted& wanted) {
    return EVP_PKEY_eq(certificate->key(), wanted.key.get()) == 1;
  }
  void failValidations() { ca.failName("mail.example.org", makeProblem("connection", "no answer on port 443")); }
  void mendValidations() { ca.mendName("mail.example.org"); }
  // The next attempt finds the order as it was left, and the CA still at its challenge.
  void leaveBehind() {
    ca.authorizationPolls(100'000);
    EXPECT_EQ(failure().problem.type, "postern:timeout");
    ASSERT_TRUE(mail.journal.order);
  }

  TlsAlpnSolver solver{challenges, clock};
  Wanted mail, other;
};

// --- an order given out twice: certificates of two key types are for the same names

TEST_F(PracticeTest, OrdersAnewWhereAnotherCertificateHasUsedTheOrderMeanwhile) {
  ca.reuseOrders(true);
  ca.failNext("finalize", Failure::Refused);
  failure();
  EXPECT_TRUE(isFor(issue(other), other));
  ASSERT_EQ(ca.orders(), 1);
  EXPECT_TRUE(isFor(issue(), mail));
  EXPECT_EQ(ca.orders(), 2);
  EXPECT_EQ(ca.issued(), 2);
}

TEST_F(PracticeTest, OrdersAnewWhereAnotherCertificateUsesTheOrderWhileItIsValidated) {
  ca.reuseOrders(true);
  ca.authorizationPolls(2);
  tls::CertifiedKeyRef others;
  bool first = true;
  clock.onWait([&](Duration) {
    if (std::exchange(first, false)) others = issue(other);
  });
  EXPECT_TRUE(isFor(issue(), mail));
  ASSERT_TRUE(others);
  EXPECT_TRUE(isFor(others, other));
  EXPECT_EQ(ca.orders(), 2);
  EXPECT_EQ(ca.issued(), 2);
}

// --- a validation that is not over as RFC 8555 section 7.1.6 says

TEST_F(PracticeTest, TellsWhatTheCaFoundWhereItLeavesTheChallengeOpenAndAnswersItAgainWithTheNextAttempt) {
  ca.failedValidationLeaves(Leaves::OpenChallenge);
  failValidations();
  for (int attempt = 0; attempt < 2; ++attempt) {  // of the second one it says what it said before
    const Time begun = clock.now();
    const Error error = failure();
    EXPECT_EQ(error.problem.shortType(), "connection");
    EXPECT_EQ(error.problem.name, "mail.example.org");
    EXPECT_LT(clock.now() - begun, 1min);
    EXPECT_FALSE(challenges.find("mail.example.org"));
  }
  mendValidations();
  EXPECT_TRUE(issue());
  EXPECT_EQ(ca.orders(), 1);
  EXPECT_EQ(ca.count("challenge"), 3);
}

TEST_F(PracticeTest, TellsWhatTheCaFoundWhereItLeavesTheAuthorizationPendingAndOrdersAnew) {
  ca.failedValidationLeaves(Leaves::InvalidChallenge);
  failValidations();
  const Time begun = clock.now();
  EXPECT_EQ(failure().problem.shortType(), "connection");
  EXPECT_LT(clock.now() - begun, 1min);
  EXPECT_FALSE(mail.journal.order);
  mendValidations();
  EXPECT_TRUE(issue());
  EXPECT_EQ(ca.orders(), 2);
}

TEST_F(PracticeTest, DoesNotWaitForAChallengeThatFailedBeforeItCameBack) {
  ca.failedValidationLeaves(Leaves::InvalidChallenge);
  leaveBehind();
  failValidations();
  ca.decideAuthorizations();
  const Time begun = clock.now();
  EXPECT_EQ(failure().problem.shortType(), "connection");
  EXPECT_EQ(clock.now(), begun);
  EXPECT_FALSE(mail.journal.order);
}

TEST_F(PracticeTest, TellsTheCaOnceMoreWhereItDoesNotLookAgainByItself) {
  ca.failedValidationLeaves(Leaves::Waiting);
  failValidations();
  EXPECT_EQ(failure().problem.type, "postern:timeout");
  mendValidations();
  EXPECT_TRUE(issue());
  EXPECT_EQ(ca.orders(), 1);
  EXPECT_EQ(ca.repeatedAnswers(), 1);
}

TEST_F(PracticeTest, WaitsOnWhereTheCaIsAtAChallengeAndWantsToHearNoMoreOfIt) {
  ca.refuseRepeatedAnswers(true);
  leaveBehind();
  const int answers = ca.count("challenge");
  const Time begun = clock.now();
  bool hurried = false;
  clock.onWait([&](Duration) {
    if (clock.now() > begun + 2min && !std::exchange(hurried, true)) ca.hurryAuthorizations();
  });
  EXPECT_TRUE(issue());
  EXPECT_EQ(ca.orders(), 1);
  EXPECT_EQ(ca.count("challenge"), answers + 1);
}

TEST_F(PracticeTest, FailsAtOnceWhereTheCaRefusesTheAnswerToAnOpenChallenge) {
  ca.refuseNext("malformed", "challenge");
  const Time begun = clock.now();
  EXPECT_EQ(failure().problem.shortType(), "malformed");
  EXPECT_LT(clock.now() - begun, 1s);
  EXPECT_EQ(ca.count("challenge"), 1);
}

// --- Retry-After of a day with each look (ZeroSSL)

TEST_F(PracticeTest, KeepsItsAnswerUpAndLooksOnThoughTheCaSuggestsToComeBackInADay) {
  ca.pollRetryAfter(24h);
  ca.authorizationPolls(3);
  ca.orderPolls(3);
  const Time begun = clock.now();
  EXPECT_TRUE(issue());
  EXPECT_LT(clock.now() - begun, 10min);
  EXPECT_LE(ca.count("authorization") + ca.count("order"), 10);
}

TEST_F(PracticeTest, GivesUpInTheEndAndComesBackWhenTheCaSuggests) {
  ca.pollRetryAfter(24h);
  ca.authorizationPolls(100'000);
  const Time begun = clock.now();
  const Error error = failure();
  EXPECT_EQ(error.problem.type, "postern:timeout");
  ASSERT_TRUE(error.retryAfter);
  EXPECT_GE(*error.retryAfter, begun + 24h);
  EXPECT_LT(clock.now() - begun, 11min);
  EXPECT_LE(ca.count("authorization"), 12);
  EXPECT_TRUE(mail.journal.order);
}

// --- what is gone, or stays for ever

TEST_F(PracticeTest, OrdersAnewWhereTheAuthorizationsOfTheOldOrderAreGone) {
  leaveBehind();
  ca.authorizationPolls(0);
  ca.forgetAuthorizations();
  EXPECT_TRUE(issue());
  EXPECT_EQ(ca.orders(), 2);
}

TEST_F(PracticeTest, AsksOnForACertificateThatIsNotThereYetAndBlamesNotTheAccount) {
  for (const char* type : {"unauthorized", "malformed"}) {  // 403 and 400
    mail.journal.order.reset();
    ca.refuseNext(type, "certificate", 3);
    const int orders = ca.orders();
    for (int attempt = 0; attempt < 3; ++attempt) {
      const Error error = failure();
      EXPECT_EQ(classOf(error.problem), FailureClass::Network) << type;
      EXPECT_NE(error.problem.detail.find(type), std::string::npos) << error.problem.detail;
    }
    EXPECT_TRUE(issue());
    EXPECT_EQ(ca.orders(), orders + 1) << type;
  }
}

TEST_F(PracticeTest, GivesUpAnOrderWhoseCertificateIsGone) {
  ca.failNext("certificate", Failure::Refused);
  failure();
  ca.forgetCertificates();
  EXPECT_EQ(failure().problem.status, 404);
  EXPECT_TRUE(mail.journal.order);
  clock.advance(61min);
  EXPECT_EQ(failure().problem.status, 404);
  EXPECT_FALSE(mail.journal.order);
  EXPECT_TRUE(issue());
  EXPECT_EQ(ca.orders(), 2);
}

TEST_F(PracticeTest, GivesUpAnOrderThatIsInProcessingForMoreThanADay) {
  ca.orderPolls(100'000);
  EXPECT_EQ(failure().problem.type, "postern:timeout");
  clock.advance(23h);
  EXPECT_EQ(failure().problem.type, "postern:timeout");
  EXPECT_EQ(ca.orders(), 1);
  ca.orderPolls(0);
  clock.advance(1h);
  EXPECT_TRUE(issue());
  EXPECT_EQ(ca.orders(), 2);
}

// --- what nobody sends

// In the place of each certificate an encrypted one.
struct Encrypting : Transport {
  explicit Encrypting(Transport& ca) : to(ca) {}
  HttpResponse send(const HttpRequest& request, std::stop_token stop) override {
    HttpResponse response = to.send(request, std::move(stop));
    if (response.body.starts_with("-----BEGIN CERTIFICATE")) {
      response.body = support::encryptedCertificate;
    }
    return response;
  }
  Transport& to;
};

TEST_F(PracticeTest, AsksNobodyForThePasswordOfAnEncryptedCertificate) {
  Encrypting encrypting(ca);
  Client encrypted(ca.directoryUrl(), encrypting, clock, log);
  encrypted.useAccount(tls::generateKey(tls::KeyType::EcdsaP256), "");
  encrypted.newAccount({}, false, {}, {});
  const auto attempt = [&] {
    Issuance(encrypted, solver, mail.journal, clock, log, {{"mail.example.org"}, tls::share(mail.key.get())}).run({});
  };
  ca.failNext("certificate", Failure::Refused);
  errorOf(attempt);  // the next one finds an order that is valid
  const support::TypedInput typed;
  EXPECT_EQ(errorOf(attempt).problem.type, "postern:certificate");
  EXPECT_FALSE(typed.wasRead());
}

}  // namespace
}  // namespace postern::acme
