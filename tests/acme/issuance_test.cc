#include "acme/issuance.h"

#include <algorithm>
#include <utility>

#include "acme/jws.h"
#include "acme/renewal.h"
#include "tests/acme/ca_fixture.h"

namespace postern::acme {
namespace {

using namespace std::chrono_literals;
using test::Failure;
using test::WrongCertificate;
using Names = std::vector<std::string>;

class IssuanceTest : public WithCa {
 protected:
  tls::CertifiedKeyRef issue(const Names& names, std::stop_token stop = {}) {
    Issuance issuance(client, solver, journal, clock, log, {names, tls::share(key.get())});
    return issuance.run(stop);
  }
  Error failureOf(const Names& names) {
    return errorOf([&] { issue(names); });
  }

  TlsAlpnSolver solver{challenges, clock};
  JournalInMemory journal;
  tls::KeyPtr key = tls::generateKey(tls::KeyType::EcdsaP256);
};

TEST_F(IssuanceTest, GetsACertificateForItsNamesAndKey) {
  tls::CertifiedKeyRef certificate = issue({"mail.example.org"});
  EXPECT_EQ(certificate->names(), Names{"mail.example.org"});
  EXPECT_EQ(EVP_PKEY_eq(certificate->key(), key.get()), 1);
  EXPECT_EQ(certificate->chain().size(), 2U);
  EXPECT_EQ(ca.issued(), 1);
}

TEST_F(IssuanceTest, GetsOneCertificateForSeveralNamesAndAddresses) {
  Names names{"imap.example.org", "pop.example.org", "192.0.2.7", "2001:db8::7"};
  tls::CertifiedKeyRef certificate = issue(names);
  for (const std::string& name : names) EXPECT_TRUE(certificate->covers(name)) << name;
  EXPECT_EQ(ca.issued(), 1);
}

TEST_F(IssuanceTest, WritesTheOrderDownBeforeTheNextRequest) {
  ca.failNext("authorization", Failure::Refused);
  EXPECT_EQ(failureOf({"mail.example.org"}).problem.type, "postern:connection");
  ASSERT_TRUE(journal.order);
  EXPECT_NE(journal.order->find("/order/"), std::string::npos);
}

TEST_F(IssuanceTest, GoesOnWithTheOrderOfTheJournalAndBuysNoOther) {
  ca.failNext("finalize", Failure::Refused);
  failureOf({"mail.example.org"});
  EXPECT_EQ(issue({"mail.example.org"})->names(), Names{"mail.example.org"});
  EXPECT_EQ(ca.orders(), 1);
  EXPECT_EQ(ca.count("challenge"), 1);
}

TEST_F(IssuanceTest, DownloadsAnOrderWhoseFinalizeAnswerWasLost) {
  for (Failure failure : {Failure::AnswerLost, Failure::ResetMidBody, Failure::TruncatedJson}) {
    journal.order.reset();
    ca.failNext("finalize", failure);
    failureOf({"mail.example.org"});
    int issued = ca.issued();
    EXPECT_EQ(issue({"mail.example.org"})->names(), Names{"mail.example.org"});
    EXPECT_EQ(ca.issued(), issued);
  }
}

TEST_F(IssuanceTest, DownloadsAgainWhatWasCutShort) {
  ca.failNext("certificate", Failure::TruncatedJson);
  EXPECT_EQ(failureOf({"mail.example.org"}).problem.type, "postern:certificate");
  EXPECT_EQ(issue({"mail.example.org"})->names(), Names{"mail.example.org"});
  EXPECT_EQ(ca.issued(), 1);
}

TEST_F(IssuanceTest, MakesANewOrderWhereTheCaNoLongerKnowsTheOldOne) {
  ca.failNext("finalize", Failure::Refused);
  failureOf({"mail.example.org"});
  ca.forgetOrders();
  EXPECT_TRUE(issue({"mail.example.org"}));
  EXPECT_EQ(ca.orders(), 2);
}

TEST_F(IssuanceTest, MakesANewOrderWhereTheOldOneBelongsToAnotherAccount) {
  ca.failNext("finalize", Failure::Refused);
  failureOf({"mail.example.org"});
  useNewAccount();
  EXPECT_TRUE(issue({"mail.example.org"}));
  EXPECT_EQ(ca.orders(), 2);
}

TEST_F(IssuanceTest, MakesANewOrderWhereTheOldOneHasExpired) {
  ca.failNext("authorization", Failure::Refused);
  failureOf({"mail.example.org"});
  clock.advance(24h * 8);
  EXPECT_TRUE(issue({"mail.example.org"}));
  EXPECT_EQ(ca.orders(), 2);
}

TEST_F(IssuanceTest, MakesANewOrderWhereTheAuthorizationsOfTheOldOneHaveExpired) {
  ca.failNext("challenge", Failure::ServerError);
  failureOf({"mail.example.org"});
  ca.expireAuthorizations();
  EXPECT_TRUE(issue({"mail.example.org"}));
  EXPECT_EQ(ca.orders(), 2);
}

TEST_F(IssuanceTest, MakesANewOrderWhereTheJournalIsDamaged) {
  journal.order = "https://ca.test/order/999";
  EXPECT_TRUE(issue({"mail.example.org"}));
  EXPECT_EQ(ca.orders(), 1);
}

TEST_F(IssuanceTest, KeepsTheOrderWhereTheCaIsOnlyAway) {
  ca.failNext("finalize", Failure::Refused);
  failureOf({"mail.example.org"});
  ca.failNext("order", Failure::Unavailable);
  EXPECT_EQ(failureOf({"mail.example.org"}).problem.status, 503);
  EXPECT_TRUE(issue({"mail.example.org"}));
  EXPECT_EQ(ca.orders(), 1);
}

TEST_F(IssuanceTest, LeavesALostAccountToItsCaller) {
  ca.forgetAccounts();
  EXPECT_EQ(failureOf({"mail.example.org"}).problem.shortType(), "accountDoesNotExist");
}

TEST_F(IssuanceTest, SkipsAuthorizationsThatAreValidAlready) {
  ca.reuseAuthorizations(true);
  issue({"mail.example.org"});
  journal.order.reset();
  issue({"mail.example.org", "imap.example.org"});
  EXPECT_EQ(ca.count("challenge"), 2);
}

TEST_F(IssuanceTest, AnswersEachChallengeOnceHoweverOftenItPolls) {
  ca.authorizationPolls(6);
  issue({"mail.example.org", "imap.example.org"});
  EXPECT_EQ(ca.count("challenge"), 2);
  EXPECT_EQ(ca.repeatedAnswers(), 0);
}

TEST_F(IssuanceTest, DoesNotAnswerAgainWhatAResumedOrderFindsInProcessing) {
  ca.authorizationPolls(100'000);
  EXPECT_EQ(failureOf({"mail.example.org"}).problem.type, "postern:timeout");
  ca.authorizationPolls(0);
  ca.hurryAuthorizations();
  EXPECT_TRUE(issue({"mail.example.org"}));
  EXPECT_EQ(ca.count("challenge"), 1);
  EXPECT_EQ(ca.orders(), 1);
}

TEST_F(IssuanceTest, MakesANewOrderWhereTheAuthorizationExpiredWhileNobodyWasThere) {
  ca.authorizationPolls(100'000);
  EXPECT_EQ(failureOf({"mail.example.org"}).problem.type, "postern:timeout");
  ca.expireAuthorizations();
  ca.authorizationPolls(0);
  EXPECT_TRUE(issue({"mail.example.org"}));
  EXPECT_EQ(ca.orders(), 2);
}

TEST_F(IssuanceTest, FailsWhereTheValidationFailedWhileNobodyWasThereAndMakesANewOrderInTheNextAttempt) {
  ca.authorizationPolls(100'000);
  ca.unresolvable("mail.example.org");
  EXPECT_EQ(failureOf({"mail.example.org"}).problem.type, "postern:timeout");
  ca.decideAuthorizations();
  const Problem problem = failureOf({"mail.example.org"}).problem;
  EXPECT_EQ(problem.shortType(), "dns");
  EXPECT_EQ(problem.name, "mail.example.org");
  EXPECT_EQ(ca.orders(), 1);
  EXPECT_FALSE(journal.order);
  ca.authorizationPolls(0);
  failureOf({"mail.example.org"});
  EXPECT_EQ(ca.orders(), 2);
}

TEST_F(IssuanceTest, KeepsItsAnswerUpWhereTheCasReplyToTheChallengeIsLost) {
  for (Failure failure : {Failure::AnswerLost, Failure::ResetMidBody, Failure::EndlessBody}) {
    journal.order.reset();
    const int before = ca.count("challenge"), orders = ca.orders();
    ca.failNext("challenge", failure);
    EXPECT_TRUE(issue({"mail.example.org"})) << nameOf(failure);
    EXPECT_EQ(ca.count("challenge"), before + 1) << nameOf(failure);
    EXPECT_EQ(ca.orders(), orders + 1) << nameOf(failure);
  }
  EXPECT_EQ(ca.repeatedAnswers(), 0);
  EXPECT_NE(logged().find("acme.challenge.answer-lost"), std::string::npos);
}

TEST_F(IssuanceTest, AnswersAChallengeOnceMoreWhereTheCaWasNeverTold) {
  ca.failNext("challenge", Failure::Timeout);
  EXPECT_TRUE(issue({"mail.example.org"}));
  EXPECT_EQ(ca.count("challenge"), 2);
  EXPECT_EQ(ca.repeatedAnswers(), 0);
}

TEST_F(IssuanceTest, AnswersNoChallengeAThirdTimeInOneAttempt) {
  ca.failNext("challenge", Failure::Refused, 5);
  EXPECT_EQ(failureOf({"mail.example.org"}).problem.type, "postern:connection");
  EXPECT_EQ(ca.count("challenge"), 2);
  EXPECT_TRUE(journal.order);
}

TEST_F(IssuanceTest, LooksAfter50And150And400MillisecondsAndThenNeverUnderASecondAndLater) {
  for (std::optional<Duration> told : {std::optional<Duration>(), std::optional<Duration>(0s)}) {
    journal.order.reset();
    ca.authorizationPolls(9);
    ca.pollRetryAfter(told);
    const std::size_t before = ca.requests().size();
    issue({"mail.example.org"});
    const std::vector<test::SeenRequest> seen = ca.requests();
    std::vector<Duration> looks;
    std::optional<Time> answered;
    for (std::size_t i = before; i < seen.size(); ++i) {
      if (seen[i].stage == "challenge") answered = seen[i].at;
      if (answered && seen[i].stage == "authorization") looks.push_back(seen[i].at - *answered);
    }
    EXPECT_EQ(looks,
              (std::vector<Duration>{50ms, 150ms, 400ms, 1400ms, 3400ms, 7400ms, 14400ms, 24400ms, 34400ms, 44400ms}));
  }
}

TEST_F(IssuanceTest, PollsWhenRetryAfterTellsIt) {
  ca.authorizationPolls(2);
  ca.pollRetryAfter(7s);
  issue({"mail.example.org"});
  std::vector<Duration> waits = clock.waits();
  EXPECT_EQ(std::count(waits.begin(), waits.end(), Duration(7s)), 2);
}

TEST_F(IssuanceTest, GivesUpAnAuthorizationThatNeverEndsAndKeepsTheOrder) {
  ca.authorizationPolls(100'000);
  Time begun = clock.now();
  Error error = failureOf({"mail.example.org"});
  EXPECT_EQ(error.problem.type, "postern:timeout");
  EXPECT_NE(error.problem.detail.find("mail.example.org"), std::string::npos);
  EXPECT_LE(clock.now() - begun, 6min);
  EXPECT_TRUE(journal.order);
  EXPECT_FALSE(challenges.find("mail.example.org"));
}

TEST_F(IssuanceTest, SurvivesAFailedPollAndAnswersNoChallengeAgain) {
  ca.authorizationPolls(3);
  // The first of these is the look before anything is answered: only the polls after it may fail.
  bool first = true;
  clock.onWait([&](Duration) {
    if (std::exchange(first, false)) ca.failNext("authorization", Failure::ServerError, 2);
  });
  EXPECT_TRUE(issue({"mail.example.org"}));
  EXPECT_EQ(ca.count("challenge"), 1);
}

TEST_F(IssuanceTest, PollsTheOrderUntilItIsIssued) {
  ca.orderPolls(4);
  EXPECT_TRUE(issue({"mail.example.org"}));
  EXPECT_EQ(ca.count("order"), 5);
  EXPECT_EQ(ca.count("finalize"), 1);
}

TEST_F(IssuanceTest, GivesUpAnOrderThatStaysInProcessingAndResumesItLater) {
  ca.orderPolls(60);
  EXPECT_EQ(failureOf({"mail.example.org"}).problem.type, "postern:timeout");
  ASSERT_TRUE(journal.order);
  clock.advance(1h);
  EXPECT_TRUE(issue({"mail.example.org"}));
  EXPECT_EQ(ca.orders(), 1);
  EXPECT_EQ(ca.count("finalize"), 1);
}

TEST_F(IssuanceTest, TellsTheProblemOfTheChallengeAndTheName) {
  ca.unresolvable("gone.example.org");
  Error error = failureOf({"mail.example.org", "gone.example.org"});
  EXPECT_EQ(error.problem.shortType(), "dns");
  EXPECT_EQ(error.problem.name, "gone.example.org");
  EXPECT_NE(error.problem.detail.find("NXDOMAIN"), std::string::npos);
  EXPECT_FALSE(journal.order);
}

TEST_F(IssuanceTest, CarriesTheSubproblemsOfAFailedAuthorization) {
  Problem problem = makeProblem("compound", "several things");
  problem.subproblems = {makeProblem("caa", "forbidden", "mail.example.org"), makeProblem("dns", "SERVFAIL")};
  ca.failName("mail.example.org", problem);
  Error error = failureOf({"mail.example.org"});
  ASSERT_EQ(error.problem.subproblems.size(), 2U);
  EXPECT_EQ(error.problem.subproblems[0].shortType(), "caa");
}

TEST_F(IssuanceTest, TakesItsAnswersDownWhenTheAuthorizationsEnd) {
  Names seen;
  ca.validateWith([&](const std::string& name, const std::string&) -> std::optional<Problem> {
    if (challenges.find(name)) seen.push_back(name);
    return std::nullopt;
  });
  issue({"mail.example.org", "imap.example.org"});
  EXPECT_EQ(seen.size(), 2U);
  EXPECT_FALSE(challenges.find("mail.example.org"));
  EXPECT_FALSE(challenges.find("imap.example.org"));
}

TEST_F(IssuanceTest, TakesItsAnswersDownWhenAnAuthorizationFails) {
  ca.unresolvable("mail.example.org");
  failureOf({"mail.example.org", "imap.example.org"});
  EXPECT_FALSE(challenges.find("mail.example.org"));
  EXPECT_FALSE(challenges.find("imap.example.org"));
}

TEST_F(IssuanceTest, StopsInAWaitTakesItsAnswersDownAndKeepsTheOrder) {
  std::stop_source stop;
  clock.onWait([&](Duration) { stop.request_stop(); });
  ca.authorizationPolls(10);
  EXPECT_THROW(issue({"mail.example.org"}, stop.get_token()), Stopped);
  EXPECT_FALSE(challenges.find("mail.example.org"));
  EXPECT_TRUE(journal.order);
}

TEST_F(IssuanceTest, LeavesPendingAuthorizationsToExpire) {
  const tls::KeyPtr account = tls::generateKey(tls::KeyType::EcdsaP256);
  client.useAccount(tls::share(account.get()), "");
  client.newAccount({}, false, {}, {});
  ca.unresolvable("gone.example.org");
  failureOf({"gone.example.org", "mail.example.org"});
  std::stop_source stop;
  clock.onWait([&](Duration) { stop.request_stop(); });
  ca.authorizationPolls(10);
  EXPECT_THROW(issue({"mail.example.org"}, stop.get_token()), Stopped);
  EXPECT_EQ(ca.deactivatedAuthorizations(), 0);

  // That is a figure: this is what would be counted.
  const std::vector<test::SeenRequest> seen = ca.requests();
  const auto last =
      std::find_if(seen.rbegin(), seen.rend(), [](const auto& each) { return each.stage == "authorization"; });
  ASSERT_NE(last, seen.rend());
  HttpRequest nonce;
  nonce.method = "HEAD";
  nonce.url = client.directory({}).newNonce;
  HttpRequest deactivation;
  deactivation.method = "POST";
  deactivation.url = last->url;
  deactivation.body = signedRequest(account.get(), {last->url, ca.send(nonce, {}).header("replay-nonce"),
                                                    client.accountUrl(), R"({"status":"deactivated"})"});
  EXPECT_EQ(ca.send(deactivation, {}).status, 200);
  EXPECT_EQ(ca.deactivatedAuthorizations(), 1);
}

TEST_F(IssuanceTest, NamesWhatTheCaOffersWhereThatCannotBeAnswered) {
  ca.offerOnly({"http-01", "dns-01"});
  Error error = failureOf({"mail.example.org"});
  EXPECT_EQ(error.problem.type, "postern:challenge");
  EXPECT_NE(error.problem.detail.find("http-01, dns-01"), std::string::npos);
  EXPECT_EQ(error.problem.name, "mail.example.org");
  EXPECT_EQ(ca.count("challenge"), 0);
}

TEST_F(IssuanceTest, PassesOverChallengesStatusesAndMembersOfTheFuture) {
  ca.speakTheFuture(true);
  ca.orderPolls(2);
  EXPECT_EQ(issue({"mail.example.org"})->names(), Names{"mail.example.org"});
}

TEST_F(IssuanceTest, TellsWhyAnOrderBecameInvalidAndForgetsIt) {
  Problem problem = makeProblem("caa", "CAA forbids it");
  problem.subproblems = {makeProblem("caa", "CAA forbids it", "mail.example.org")};
  ca.failOrders(problem);
  Error error = failureOf({"mail.example.org"});
  EXPECT_EQ(error.problem.shortType(), "caa");
  EXPECT_EQ(error.problem.name, "mail.example.org");
  EXPECT_FALSE(journal.order);
}

TEST_F(IssuanceTest, DoesNotBlameTheAccountForAnOrderThatBecameInvalidWithoutAReason) {
  ca.failOrders(Problem{});
  Error error = failureOf({"mail.example.org"});
  EXPECT_NE(error.problem.detail.find("the CA gives no reason"), std::string::npos) << error.problem.detail;
  EXPECT_EQ(classOf(error.problem), FailureClass::Validation) << "minutes, not a day";
  EXPECT_EQ(remedyFor(error.problem).find("account"), std::string::npos) << remedyFor(error.problem);
  EXPECT_FALSE(journal.order);
}

TEST_F(IssuanceTest, ForgetsAnOrderWhoseRequestIsRefused) {
  ca.refuseNext("badCSR", "finalize");
  EXPECT_EQ(failureOf({"mail.example.org"}).problem.shortType(), "badCSR");
  EXPECT_FALSE(journal.order);
}

TEST_F(IssuanceTest, KeepsAnOrderWhoseFinalizeMeetsALimit) {
  ca.failNext("finalize", Failure::RateLimitedHtml);
  EXPECT_EQ(failureOf({"mail.example.org"}).problem.status, 429);
  EXPECT_TRUE(journal.order);
}

TEST_F(IssuanceTest, WaitsForTheOrderWhereFinalizeFindsItNotReadyAndFinalizesAgain) {
  ca.refuseNext("orderNotReady", "finalize", 3);
  EXPECT_TRUE(issue({"mail.example.org"}));
  EXPECT_EQ(ca.count("finalize"), 4);
  EXPECT_EQ(ca.count("order"), 3);
  EXPECT_EQ(ca.orders(), 1);
}

TEST_F(IssuanceTest, GivesUpAnOrderThatIsNeverReadyToBeFinalizedAndKeepsIt) {
  ca.refuseNext("orderNotReady", "finalize", 1000);
  EXPECT_EQ(failureOf({"mail.example.org"}).problem.type, "postern:timeout");
  EXPECT_LT(ca.count("finalize"), 50);
  EXPECT_TRUE(journal.order);
}

TEST_F(IssuanceTest, TakesEightRequestsForANameWithItsRenewalInformation) {
  ca.offerRenewalInfo(true);
  readDirectoryAnew();
  ca.orderPolls(1);
  const int before = ca.total();
  tls::CertifiedKeyRef certificate = issue({"mail.example.org"});
  EXPECT_TRUE(client.renewalInfo(*certificate, {}, 0.5, {}));
  // newOrder, authorization, challenge, authorization, finalize, order, certificate, renewalInfo
  EXPECT_EQ(ca.total() - before, 9);  // and one look more, because this CA wants two
  ca.orderPolls(0);
  journal.order.reset();
  const int then = ca.total();
  EXPECT_TRUE(client.renewalInfo(*issue({"mail.example.org"}), {}, 0.5, {}));
  EXPECT_EQ(ca.total() - then, 7);  // finalize's answer was `valid` and nothing had to be looked at
}

TEST_F(IssuanceTest, FinalizesAtOnceWhereAllAuthorizationsAreReused) {
  ca.reuseAuthorizations(true);
  issue({"mail.example.org"});
  journal.order.reset();
  const int before = ca.total();
  EXPECT_TRUE(issue({"mail.example.org"}));
  EXPECT_EQ(ca.total() - before, 3);  // newOrder, finalize, certificate
}

TEST_F(IssuanceTest, GetsThroughACaThatRefusesEverySecondNonce) {
  ca.rejectNonces(0.5, 11);
  for (int i = 0; i < 10; ++i) {
    journal.order.reset();
    EXPECT_TRUE(issue({"mail.example.org", "imap.example.org"}));
  }
  EXPECT_EQ(ca.issued(), 10);
}

TEST_F(IssuanceTest, RefusesACertificateThatIsNotWhatWasOrdered) {
  const std::pair<WrongCertificate, const char*> cases[] = {
      {WrongCertificate::OtherKey, "key"},
      {WrongCertificate::OtherNames, "wrong.example"},
      {WrongCertificate::MissingName, "imap.example.org"},
      {WrongCertificate::Expired, "expired"},
      {WrongCertificate::NotYetValid, "not valid before"},
      {WrongCertificate::LeafOnly, "chain"},
      {WrongCertificate::Garbage, "neither PEM nor DER"},
      {WrongCertificate::WrongOrder, "not usable"},
      {WrongCertificate::ClientOnly, "TLS servers"},
  };
  for (const auto& [wrong, words] : cases) {
    ca.wrongCertificate(wrong);
    Error error = failureOf({"mail.example.org", "imap.example.org"});
    EXPECT_EQ(error.problem.type, "postern:certificate") << words;
    EXPECT_NE(error.problem.detail.find(words), std::string::npos) << error.problem.detail;
    EXPECT_TRUE(journal.order) << words;  // asked for once more, then given up
    const std::optional<std::string> order = journal.order;
    failureOf({"mail.example.org", "imap.example.org"});
    // One for another key is taken for what another certificate has used, and ordered anew at once.
    EXPECT_EQ(journal.order.has_value(), wrong == WrongCertificate::OtherKey) << words;
    EXPECT_NE(journal.order, order) << words;
    journal.order.reset();
  }
}

TEST_F(IssuanceTest, NeverLogsATokenOrAKey) {
  std::string seen;
  ca.validateWith([&](const std::string&, const std::string& keyAuthorization) -> std::optional<Problem> {
    seen = keyAuthorization;
    return std::nullopt;
  });
  issue({"mail.example.org"});
  std::string text = logged();
  for (const char* event :
       {"acme.order.created", "acme.challenge.presented", "acme.authorization.valid", "acme.order.finalized"}) {
    EXPECT_NE(text.find(event), std::string::npos) << event;
  }
  EXPECT_EQ(text.find(seen.substr(0, seen.find('.'))), std::string::npos);
  EXPECT_EQ(text.find("PRIVATE KEY"), std::string::npos);
}

}  // namespace
}  // namespace postern::acme
