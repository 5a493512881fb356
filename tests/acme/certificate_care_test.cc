#include "acme/certificate_care.h"

#include <gtest/gtest.h>

namespace postern::acme {
namespace {

using namespace std::chrono_literals;

constexpr Duration day = 24h;
const Time start{std::chrono::seconds(1'772'366'400)};

Time unlimited(std::size_t, OrderKind) {
  return Time::min();
}

Problem problem(const std::string& type, const std::string& name = "") {
  Problem made = makeProblem("urn:ietf:params:acme:error:" + type, "", name);
  made.status = 403;
  return made;
}
Problem outage() {
  return makeProblem("postern:connection", "refused");
}

CertificateCare::Route route(const std::string& name, bool staging = false) {
  CertificateCare::Route made;
  made.provider = name;
  made.hasStaging = staging;
  return made;
}

CertificateCare::Held heldFrom(Time issued, Duration lifetime = 90 * day, std::size_t by = 0) {
  return {{issued, issued + lifetime}, "aki.serial", by};
}

CertificateCare careOf(std::vector<CertificateCare::Route> routes, std::optional<CertificateCare::Held> held = {},
                       std::optional<RenewalInfo> info = {}) {
  CertificateCare care(std::move(routes), std::move(held), std::move(info), start);
  care.want({std::nullopt});
  return care;
}

void failAt(CertificateCare& care, Time now, const Problem& why, std::optional<Time> retryAfter = {}) {
  care.begin(care.next(now, unlimited), now);
  care.failed(why, retryAfter, false, now, 0);
}

RenewalInfo window(Time from, Time to, Time pick) {
  RenewalInfo info;
  info.certificateId = "aki.serial";
  info.start = from;
  info.end = to;
  info.pick = pick;
  info.askAgain = from + 6h;
  return info;
}

TEST(CertificateCare, OrdersAtOnceWhatItDoesNotHave) {
  auto care = careOf({route("first")});
  const auto attempt = care.next(start, unlimited);
  EXPECT_EQ(attempt.at, start);
  EXPECT_EQ(attempt.kind, OrderKind::First);
  EXPECT_EQ(attempt.replaces, "");
}

TEST(CertificateCare, RenewsAtAThirdOfTheLifetimeAndNamesThePredecessor) {
  auto care = careOf({route("first")}, heldFrom(start));
  const auto attempt = care.next(start, unlimited);
  EXPECT_EQ(attempt.at, start + 60 * day);
  EXPECT_EQ(attempt.kind, OrderKind::Renewal);
  EXPECT_EQ(attempt.replaces, "aki.serial");
}

TEST(CertificateCare, OrdersAtThePickInsideTheWindowOfItsOwnCertificate) {
  const auto info = window(start + 10 * day, start + 12 * day, start + 11 * day);
  auto care = careOf({route("first")}, heldFrom(start), info);
  const auto attempt = care.next(start + 11 * day, unlimited);
  EXPECT_EQ(attempt.at, start + 11 * day);
  EXPECT_TRUE(attempt.byAri);
  EXPECT_EQ(attempt.kind, OrderKind::Ari);
  auto other = info;
  other.certificateId = "another";
  EXPECT_EQ(careOf({route("first")}, heldFrom(start), other).next(start + 11 * day, unlimited).at, start + 60 * day);
}

TEST(CertificateCare, CountsAsARenewalBehindTheEndOfTheWindow) {
  auto care = careOf({route("first")}, heldFrom(start), window(start + 1h, start + 2h, start + 90min));
  EXPECT_EQ(care.next(start + 3h, unlimited).kind, OrderKind::Renewal);
}

TEST(CertificateCare, CountsAsAFirstOrderWhenTheCaHasForgottenTheLastOne) {
  auto before = route("first");
  before.history.lastIssued = start - 118 * day;
  EXPECT_EQ(careOf({before}).next(start, unlimited).kind, OrderKind::Renewal);
  before.history.lastIssued = start - 120 * day;
  EXPECT_EQ(careOf({before}).next(start, unlimited).kind, OrderKind::First);
}

TEST(CertificateCare, OrdersOnceInSixHoursHoweverOftenTheWindowSaysNow) {
  auto care = careOf({route("first")}, heldFrom(start - day));
  Time now = start;
  care.told(window(now - 2h, now - 1h, now - 1h));
  int orders = 0;
  for (; now < start + day; now += 10min) {
    const auto attempt = care.next(now, unlimited);
    if (attempt.at > now) continue;
    ++orders;
    care.begin(attempt, now);
    care.succeeded(heldFrom(now), now);
    care.told(window(now - 2h, now - 1h, now - 1h));
  }
  EXPECT_LE(orders, 5);
  EXPECT_GE(orders, 4);
}

TEST(CertificateCare, AsksAboutANewCertificateAtOnceAndThenWhenTold) {
  auto care = careOf({route("first")}, heldFrom(start));
  EXPECT_EQ(care.askAt(start), start);
  auto info = window(start + 10 * day, start + 12 * day, start + 11 * day);
  info.askAgain = start + 6h;
  care.told(info);
  EXPECT_EQ(care.askAt(start), start + 6h);
}

TEST(CertificateCare, AsksNothingOfACaThatToldItToWait) {
  auto care = careOf({route("first")}, heldFrom(start - 61 * day));
  failAt(care, start, problem("rateLimited"), start + 5h);
  EXPECT_GE(care.askAt(start), start + 5h);
}

TEST(CertificateCare, AsksLessOftenWhileTheCaDoesNotAnswerAndKeepsWhatItSaid) {
  const auto info = window(start + 10 * day, start + 12 * day, start + 11 * day);
  auto care = careOf({route("first")}, heldFrom(start), info);
  care.notTold(start);
  EXPECT_EQ(care.askAt(start), start + 5min);
  care.notTold(start + 5min);
  EXPECT_EQ(care.askAt(start), start + 15min);
  care.notTold(start, start + 20h);
  EXPECT_EQ(care.askAt(start), start + 20h);
  for (int i = 0; i < 20; ++i) care.notTold(start);
  EXPECT_EQ(care.askAt(start), start + 6h);
  EXPECT_EQ(care.renewal(start)->at, start + 11 * day);
}

TEST(CertificateCare, WaitsForTheLimitsWithAFirstOrder) {
  auto care = careOf({route("first")});
  const auto attempt = care.next(start, [](std::size_t, OrderKind) { return start + 5h; });
  EXPECT_EQ(attempt.at, start + 5h);
  EXPECT_FALSE(attempt.passesLimits);
}

TEST(CertificateCare, PassesTheLimitsWithARenewalThatWouldComeTooLate) {
  auto care = careOf({route("first")}, heldFrom(start - 80 * day));
  const auto early = care.next(start, [](std::size_t, OrderKind) { return start + 9 * day; });
  EXPECT_EQ(early.at, start + 9 * day);
  const auto late = care.next(start, [](std::size_t, OrderKind) { return start + 11 * day; });
  EXPECT_LE(late.at, start);
  EXPECT_TRUE(late.passesLimits);
}

TEST(CertificateCare, NeverPassesTheLimitsBecauseSomebodyForcesIt) {
  auto care = careOf({route("first")}, heldFrom(start));
  care.orderNow(start, true);
  const auto attempt = care.next(start, [](std::size_t, OrderKind) { return start + 200 * day; });
  EXPECT_EQ(attempt.at, start + 200 * day);
  EXPECT_TRUE(attempt.forced);
}

TEST(CertificateCare, TurnsToTheFallbackWhenThereIsNoCertificateAndTheFirstFailsTwice) {
  auto care = careOf({route("first"), route("second")});
  failAt(care, start, outage());
  EXPECT_EQ(care.next(start, unlimited).route, 0U);
  failAt(care, start + 10s, outage());
  const auto attempt = care.next(start + 10s, unlimited);
  EXPECT_EQ(attempt.route, 1U);
  EXPECT_LE(attempt.at, start + 10s);
}

TEST(CertificateCare, TurnsToTheFallbackAtOnceWhenTheFirstRefusesOrIsLimited) {
  for (const char* type : {"rateLimited", "rejectedIdentifier"}) {
    auto care = careOf({route("first"), route("second")});
    failAt(care, start, problem(type), start + 5h);
    EXPECT_EQ(care.next(start, unlimited).route, 1U) << type;
  }
  auto limited = careOf({route("first"), route("second")});
  const auto attempt = limited.next(start, [](std::size_t way, OrderKind) { return way == 0 ? start + 5h : start; });
  EXPECT_EQ(attempt.route, 1U);
}

TEST(CertificateCare, TurnsToTheFallbackAtOnceWhereThereIsNoCertificateAndTheFirstTellsToComeLater) {
  auto care = careOf({route("first"), route("second")});
  failAt(care, start, outage(), start + 24h);
  const auto attempt = care.next(start, unlimited);
  EXPECT_EQ(attempt.route, 1U);
  EXPECT_LE(attempt.at, start);
}

TEST(CertificateCare, StaysWithTheFirstWhileTheCertificateLivesLongEnough) {
  auto care = careOf({route("first"), route("second")}, heldFrom(start - 60 * day));
  failAt(care, start, problem("rejectedIdentifier"));
  failAt(care, start + 2 * day, problem("rejectedIdentifier"));
  EXPECT_EQ(care.next(start + 2 * day, unlimited).route, 0U);
  // Half of the thirty days is left at start + 15 days.
  failAt(care, start + 14 * day, problem("rejectedIdentifier"));
  failAt(care, start + 15 * day + 1h, problem("rejectedIdentifier"));
  EXPECT_EQ(care.next(start + 15 * day + 1h, unlimited).route, 1U);
}

TEST(CertificateCare, GoesBackToTheFirstAtTheNextRenewal) {
  auto care = careOf({route("first"), route("second")});
  failAt(care, start, problem("rejectedIdentifier"));
  care.begin(care.next(start, unlimited), start);
  ASSERT_EQ(care.underWay()->route, 1U);
  care.succeeded(heldFrom(start, 90 * day, 1), start);
  EXPECT_EQ(care.failures(), 0);
  const auto attempt = care.next(start + 60 * day, unlimited);
  EXPECT_EQ(attempt.route, 0U);
  EXPECT_EQ(attempt.at, start + 60 * day);
  EXPECT_EQ(attempt.replaces, "");  // it is not this CA's certificate
}

TEST(CertificateCare, ProvesAtStagingWhatFailedInProductionButNotOutagesAndLimits) {
  const auto provedAfter = [](const Problem& why) {
    auto care = careOf({route("first", true)});
    EXPECT_FALSE(care.next(start, unlimited).provedFirst);
    failAt(care, start, why);
    return care.next(start + 30 * day, unlimited).provedFirst;
  };
  EXPECT_TRUE(provedAfter(problem("dns", "mail.example.org")));
  EXPECT_TRUE(provedAfter(problem("rejectedIdentifier", "mail.example.org")));
  EXPECT_TRUE(provedAfter(makeProblem("postern:challenge", "not offered", "mail.example.org")));
  EXPECT_TRUE(provedAfter(makeProblem("postern:dns", "not seen everywhere", "mail.example.org")));
  EXPECT_FALSE(provedAfter(outage()));
  EXPECT_FALSE(provedAfter(problem("rateLimited")));
  EXPECT_FALSE(provedAfter(makeProblem("postern:storage", "full")));
}

TEST(CertificateCare, ProvesAtStagingWhatFailedBeforeAFallbackIssued) {
  auto care = careOf({route("first", true), route("second")});
  failAt(care, start, problem("rejectedIdentifier", "mail.example.org"));
  care.begin(care.next(start, unlimited), start);
  ASSERT_EQ(care.underWay()->route, 1U);
  care.succeeded(heldFrom(start, 90 * day, 1), start);
  const Time due = start + 60 * day;
  ASSERT_EQ(care.next(due, unlimited).route, 0U);
  EXPECT_TRUE(care.next(due, unlimited).provedFirst);
  care.begin(care.next(due, unlimited), due);
  care.succeeded(heldFrom(due), due);
  EXPECT_FALSE(care.next(due + 60 * day, unlimited).provedFirst);
}

TEST(CertificateCare, TriesAgainAtOnceWhenTheConfigurationHasChanged) {
  auto care = careOf({route("first")});
  care.configure(0, "before", false);
  failAt(care, start, problem("rejectedIdentifier", "mail.example.org"));
  EXPECT_GT(care.next(start + 1h, unlimited).at, start + 20h);
  care.configure(0, "before", false);
  EXPECT_GT(care.next(start + 1h, unlimited).at, start + 20h);
  care.configure(0, "after", false);
  EXPECT_LE(care.next(start + 1h, unlimited).at, start + 1h);
}

TEST(CertificateCare, ForgetsItsBackOffForAnAdministratorButNotWhatTheCaTold) {
  auto care = careOf({route("first")});
  failAt(care, start, problem("rejectedIdentifier", "mail.example.org"));
  care.orderNow(start + 1min, false);
  EXPECT_LE(care.next(start + 1min, unlimited).at, start + 1min);
  failAt(care, start + 1min, problem("rateLimited"), start + 5h);
  care.orderNow(start + 2min, false);
  EXPECT_GE(care.next(start + 2min, unlimited).at, start + 5h);
}

TEST(CertificateCare, IsLateWhenHalfOfTheTimeForRenewalIsGone) {
  EXPECT_EQ(careOf({route("first")}, heldFrom(start)).lateFrom(), start + 75 * day);
  EXPECT_EQ(careOf({route("first")}, heldFrom(start, 6 * day)).lateFrom(), start + 4 * day + 12h);
}

TEST(CertificateCare, HeedsNoBackOffFromAClockThatWasWrong) {
  auto waiting = route("first");
  waiting.history.failures = 1;
  waiting.history.notBefore = start + 400 * day;
  EXPECT_EQ(careOf({waiting}).next(start, unlimited).at, start);
}

TEST(CertificateCare, ResumesAnOrderWithoutAskingTheLimits) {
  auto begun = route("first");
  begun.resumable = true;
  const auto attempt = careOf({begun}, heldFrom(start)).next(start, [](std::size_t, OrderKind) { return start + day; });
  EXPECT_EQ(attempt.at, start);
}

TEST(CertificateCare, ResumesAnOrderThatWaitsAtTheFallbackAndBeginsNoOtherForIt) {
  auto waiting = route("second");
  waiting.resumable = true;
  auto care = careOf({route("first"), waiting}, heldFrom(start));
  const auto attempt = care.next(start, unlimited);
  EXPECT_EQ(attempt.route, 1U);
  care.begin(attempt, start);
  care.succeeded(heldFrom(start, 90 * day, 1), start);
  EXPECT_GT(care.next(start, unlimited).at, start + 59 * day);
}

TEST(CertificateCare, ForgetsAnOrderOfAnotherRouteOnceThereIsACertificate) {
  auto waiting = route("second");
  waiting.resumable = true;
  auto care = careOf({route("first"), waiting});
  care.begin(care.next(start, unlimited), start);
  ASSERT_EQ(care.underWay()->route, 0U);
  care.succeeded(heldFrom(start), start);
  EXPECT_FALSE(care.routes()[1].resumable);
  EXPECT_GT(care.next(start, unlimited).at, start + 59 * day);
}

TEST(CertificateCare, AsksTheLimitsAgainWhenTheOrderThatWaitedIsGone) {
  auto begun = route("first");
  begun.resumable = true;
  auto care = careOf({begun});
  const auto limits = [](std::size_t, OrderKind) { return start + day; };
  const auto attempt = care.next(start, limits);
  ASSERT_EQ(attempt.at, start);
  care.begin(attempt, start);
  care.givenBack(attempt, start);
  EXPECT_EQ(care.next(start, limits).at, start + day);
}

TEST(CertificateCare, TakesTheNextTypeOfChallengeAfterAnyFailureThatIsOfTheType) {
  for (const char* type : {"postern:challenge", "postern:dns", "urn:ietf:params:acme:error:connection"}) {
    auto care = careOf({route("first")});
    failAt(care, start, makeProblem(type, "", "mail.example.org"));
    EXPECT_EQ(care.routes()[0].history.turns, 1) << type;
  }
  auto care = careOf({route("first")});
  failAt(care, start, outage());
  EXPECT_EQ(care.routes()[0].history.turns, 0);
}

TEST(CertificateCare, IsDueAlsoWhenTheClockWasAheadAtTheStart) {
  auto care = careOf({route("first")});
  EXPECT_LE(care.next(start - 365 * day, unlimited).at, start - 365 * day);
  auto held = careOf({route("first")}, heldFrom(start - day));
  EXPECT_LE(*held.askAt(start - 365 * day), start - 365 * day);
  care.orderNow(start + 365 * day, true);
  EXPECT_LE(care.next(start, unlimited).at, start);
}

}  // namespace
}  // namespace postern::acme
