#include "acme/renewal.h"

#include <gtest/gtest.h>

#include <vector>

namespace postern::acme {
namespace {

using namespace std::chrono_literals;
constexpr auto day = 24h;

const Time start = *parseRfc3339("2026-01-01T00:00:00Z");

CertificateFacts lasting(Duration lifetime) {
  return {start, start + lifetime};
}

Problem problem(const std::string& shortType, const std::string& name = "", int status = 0) {
  Problem made = makeProblem(shortType.starts_with("postern:") ? shortType : "urn:ietf:params:acme:error:" + shortType,
                             "detail", name);
  made.status = status;
  return made;
}

TEST(RenewalTime, IsTheEarliestRuleThatApplies) {
  struct Row {
    Duration lifetime;
    std::optional<std::chrono::seconds> renewBefore;
    std::optional<Duration> issuedAfter;  // start
    Duration at;                          // after start
    RenewReason reason;
  };
  const std::vector<Row> rows{
      {90 * day, {}, 0s, 60 * day, RenewReason::Lifetime},
      {90 * day, 30 * day, 0s, 60 * day, RenewReason::RenewBefore},
      {90 * day, 10 * day, 0s, 80 * day, RenewReason::RenewBefore},
      {90 * day, 60 * day, 0s, 60 * day, RenewReason::RenewBefore},  // cut to a third
      {90 * day, 1h, 0s, 90 * day - 108h, RenewReason::Expiry},      // a twentieth before expiry in any case
      {90 * day, 0s, 0s, 90 * day - 108h, RenewReason::Expiry},
      {6 * day, {}, 0s, 3 * day, RenewReason::Lifetime},  // half under ten days
      {6 * day, 5 * day, 0s, 3 * day, RenewReason::RenewBefore},
      {10 * day, {}, 0s, 160h, RenewReason::Lifetime},  // ten days are not under ten days
      {60s, {}, 0s, 30s, RenewReason::Lifetime},
      {60s, 30 * day, 0s, 30s, RenewReason::RenewBefore},
      {90 * day, {}, {}, 60 * day, RenewReason::Lifetime},
      {90 * day, {}, 40 * day, 70 * day, RenewReason::Lifetime},   // not within a third of the lifetime of an issue
      {90 * day, 30 * day, 58 * day, 2052h, RenewReason::Expiry},  // unless it would expire over it
  };
  for (const auto& row : rows) {
    std::optional<Time> issued;
    if (row.issuedAfter) issued = start + *row.issuedAfter;
    const Renewal renewal = renewalTime(lasting(row.lifetime), row.renewBefore, {}, issued);
    EXPECT_EQ(rfc3339(renewal.at), rfc3339(start + row.at)) << inWords(row.lifetime);
    EXPECT_EQ(nameOf(renewal.reason), nameOf(row.reason)) << inWords(row.lifetime);
  }
}

TEST(RenewalTime, IsNowForAnExpiredCertificate) {
  EXPECT_LT(renewalTime(lasting(90 * day), {}, {}, start).at, start + 90 * day);
  EXPECT_LT(renewalTime(lasting(90 * day), {}, {}, start + 89 * day).at, start + 90 * day);
}

TEST(RenewalTime, DoesNotLoopOverACertificateThatComesNearlyExpired) {
  // Backdated by 89 days: each order gives the same, so each third of what is left orders once.
  const Time issued = start + 90 * day - 3h;
  EXPECT_EQ(renewalTime(lasting(90 * day), {}, {}, issued).at, issued + 1h);
}

TEST(RenewalTime, DoesNotLoopOverACertificateThatWasExpiredWhenItCame) {
  const Time issued = start + 100 * day;
  EXPECT_GE(renewalTime(lasting(90 * day), {}, {}, issued).at, issued + 1h);
  EXPECT_GE(renewalTime(lasting(60s), {}, {}, issued).at, issued + 1s);
  EXPECT_GE(renewalTime({start, start - 1h}, {}, {}, issued).at, issued + 1s);
}

TEST(RenewalTime, OfAYearOfRenewalsOrdersOncePerShareOfTheLifetime) {
  struct Row {
    Duration lifetime;
    int most;
  };
  for (const Row row : {Row{90 * day, 6}, Row{6 * day, 122}, Row{10 * day, 55}, Row{47 * day, 12}}) {
    int orders = 0;
    Time now = start;
    while (now < start + 365 * day) {
      ++orders;
      // The CA backdates by an hour, as Let's Encrypt does.
      const CertificateFacts facts{now - 1h, now - 1h + row.lifetime};
      const Renewal next = renewalTime(facts, 80 * day, {}, now);
      ASSERT_GT(next.at, now);
      ASSERT_LT(next.at, facts.notAfter);
      now = next.at;
    }
    EXPECT_LE(orders, row.most + 2) << inWords(row.lifetime);
  }
}

TEST(RenewBefore, IsCutToTheShareOfTheLifetimeAndSaysByHowMuch) {
  EXPECT_EQ(renewBeforeCut(lasting(90 * day), 30 * day), 0s);
  EXPECT_EQ(renewBeforeCut(lasting(90 * day), 40 * day), 10 * day);
  EXPECT_EQ(renewBeforeCut(lasting(6 * day), 30 * day), 27 * day);
  EXPECT_EQ(renewBeforeCut(lasting(6 * day), std::nullopt), 0s);
}

TEST(Failures, AreClassedByWhoCanMendThem) {
  EXPECT_EQ(classOf(problem("postern:connection")), FailureClass::Network);
  EXPECT_EQ(classOf(problem("postern:timeout")), FailureClass::Network);
  EXPECT_EQ(classOf(problem("serverInternal", "", 500)), FailureClass::Network);
  EXPECT_EQ(classOf(problem("badNonce", "", 400)), FailureClass::Network);
  EXPECT_EQ(classOf(problem("rateLimited", "", 429)), FailureClass::RateLimit);
  EXPECT_EQ(classOf(problem("postern:http", "", 429)), FailureClass::RateLimit);
  // ACME's "connection" is the CA's connection to us.
  EXPECT_EQ(classOf(problem("connection", "a.test")), FailureClass::Validation);
  EXPECT_EQ(classOf(problem("dns", "a.test")), FailureClass::Validation);
  EXPECT_EQ(classOf(problem("tls", "a.test")), FailureClass::Validation);
  EXPECT_EQ(classOf(problem("unauthorized", "a.test", 403)), FailureClass::Validation);
  EXPECT_EQ(classOf(problem("unauthorized", "", 403)), FailureClass::Refused);
  EXPECT_EQ(classOf(problem("caa", "a.test", 403)), FailureClass::Refused);
  EXPECT_EQ(classOf(problem("rejectedIdentifier", "a.test", 400)), FailureClass::Refused);
  EXPECT_EQ(classOf(problem("externalAccountRequired")), FailureClass::Refused);
  EXPECT_EQ(classOf(problem("externalAccountRequired", "", 403)), FailureClass::Refused);
  EXPECT_EQ(classOf(problem("invalidProfile", "", 400)), FailureClass::Refused);
  EXPECT_EQ(classOf(problem("alreadyReplaced", "", 409)), FailureClass::Network);
  EXPECT_EQ(classOf(problem("postern:challenge", "a.test")), FailureClass::Dns);
  EXPECT_EQ(classOf(problem("postern:account")), FailureClass::Refused);
  EXPECT_EQ(classOf(problem("postern:dns", "a.test")), FailureClass::Dns);
  EXPECT_EQ(classOf(problem("postern:certificate", "a.test")), FailureClass::Validation);
  EXPECT_EQ(classOf(problem("postern:storage")), FailureClass::Storage);
  EXPECT_EQ(classOf(problem("somethingOfTheFuture")), FailureClass::Validation);
}

TEST(Failures, OfSeveralNamesAreClassedByTheOneThatWaitsLongest) {
  const auto of = [](const std::vector<Problem>& parts) {
    Problem whole = problem("compound", "", 403);
    whole.subproblems = parts;
    return classOf(whole);
  };
  EXPECT_EQ(of({problem("dns", "a.test"), problem("caa", "b.test")}), FailureClass::Refused);
  EXPECT_EQ(of({problem("dns", "a.test"), problem("connection", "b.test")}), FailureClass::Validation);
  EXPECT_EQ(of({problem("caa", "a.test"), problem("rateLimited")}), FailureClass::RateLimit);
  EXPECT_EQ(of({}), FailureClass::Validation);
}

TEST(BackOff, GrowsByTheClassOfTheFailure) {
  const auto wait = [](const Problem& of, int failures) { return nextAttempt(of, failures, {}, start, 0) - start; };
  EXPECT_EQ(wait(problem("postern:connection"), 1), 10s);
  EXPECT_EQ(wait(problem("postern:connection"), 2), 20s);
  EXPECT_EQ(wait(problem("postern:connection"), 1000), 1h);
  EXPECT_EQ(wait(problem("dns", "a.test"), 1), 5min);
  EXPECT_EQ(wait(problem("dns", "a.test"), 2), 10min);
  EXPECT_EQ(wait(problem("dns", "a.test"), 1000), 12h);
  EXPECT_EQ(wait(problem("postern:dns", "a.test"), 1), 2min);
  EXPECT_EQ(wait(problem("postern:dns", "a.test"), 1000), 1h);
  EXPECT_EQ(wait(problem("rejectedIdentifier", "a.test"), 1), 24h);
  EXPECT_EQ(wait(problem("rejectedIdentifier", "a.test"), 9), 24h);
  EXPECT_EQ(wait(problem("rateLimited"), 1), 1h);
  EXPECT_EQ(wait(problem("postern:storage"), 50), 1min);
}

TEST(BackOff, MakesAtMostFiveFailedValidationsInAnyHour) {
  for (const double jitter : {0.0, 0.5, 0.99}) {
    std::vector<Time> attempts{start};
    for (int failures = 1; failures < 20; ++failures) {
      attempts.push_back(nextAttempt(problem("dns", "a.test"), failures, {}, attempts.back(), jitter));
    }
    for (std::size_t i = 5; i < attempts.size(); ++i) EXPECT_GE(attempts[i] - attempts[i - 5], 1h);
  }
}

TEST(BackOff, ObeysRetryAfterOfEveryClass) {
  EXPECT_EQ(nextAttempt(problem("rateLimited"), 7, start + 3h, start, 0), start + 3h);
  EXPECT_GE(nextAttempt(problem("rateLimited"), 1, start + 3h, start, 0.99), start + 3h);
  EXPECT_LE(nextAttempt(problem("rateLimited"), 1, start + 3h, start, 0.99), start + 3h + 1min);
  EXPECT_EQ(nextAttempt(problem("rateLimited"), 1, start + 1s, start, 0), start + 1min);
  EXPECT_EQ(nextAttempt(problem("serverInternal"), 1, start + 2h, start, 0), start + 2h);
  EXPECT_EQ(nextAttempt(problem("serverInternal"), 3, start + 1s, start, 0), start + 40s);
  EXPECT_EQ(nextAttempt(problem("dns", "a.test"), 1, start + 6h, start, 0), start + 6h);
}

TEST(BackOff, JitterOnlyAdds) {
  for (int i = 0; i < 100; ++i) {
    const Duration wait = nextAttempt(problem("postern:connection"), 3, {}, start, i / 100.0) - start;
    EXPECT_GE(wait, 40s);
    EXPECT_LE(wait, 50s);
  }
}

TEST(BackOff, DoesNotOutwaitTheCertificateThatIsServed) {
  EXPECT_EQ(boundedByExpiry(start + 1h, lasting(60s), start + 30s), start + 36s);
  EXPECT_EQ(boundedByExpiry(start + 1h, lasting(60s), start + 59s), start + 65s);
  EXPECT_EQ(boundedByExpiry(start + 70 * day, lasting(90 * day), start + 60 * day), start + 69 * day);
  // A look at a twentieth before expiry, whatever the back-off.
  EXPECT_EQ(boundedByExpiry(start + 86 * day, lasting(90 * day), start + 85 * day), start + 90 * day - 108h);
  EXPECT_EQ(boundedByExpiry(start + 61 * day, lasting(90 * day), start + 60 * day), start + 61 * day);
}

TEST(BackOff, OrdersAtMostThreeTimesInTenMinutesAfterAnUnfitCertificate) {
  std::vector<Time> orders{start};
  for (int failures = 1; failures < 12; ++failures) {
    Time next = nextAttempt(problem("postern:certificate", "a.test"), failures, {}, orders.back(), 0);
    next = boundedByExpiry(next, lasting(90 * day), orders.back());
    orders.push_back(next);
  }
  for (std::size_t i = 3; i < orders.size(); ++i) EXPECT_GT(orders[i] - orders[i - 3], 10min);
}

TEST(BackOff, TriesMoreOftenAsExpiryComesNearAndNeverBeyondIt) {
  for (const Duration lifetime : {Duration(90 * day), Duration(6 * day), Duration(60s)}) {
    const CertificateFacts facts = lasting(lifetime);
    Time now = facts.notAfter - lifetime / 20;
    int attempts = 0;
    std::vector<Time> all;
    while (now < facts.notAfter) {
      all.push_back(now);
      const Time next = boundedByExpiry(now + 12h, facts, now);
      ASSERT_GT(next, now);
      now = next;
      ++attempts;
    }
    EXPECT_LE(attempts, 40);
    EXPECT_GE(attempts, 1);
    if (lifetime < day) continue;
    EXPECT_GE(attempts, 10) << inWords(lifetime);
    EXPECT_LE(facts.notAfter - all.back(), 15min);
    for (std::size_t i = 5; i < all.size(); ++i) EXPECT_GE(all[i] - all[i - 5], 1h);
  }
  // An expired one is nothing to hurry for: the CA's limits hold for it as for a name that never had one.
  EXPECT_EQ(boundedByExpiry(start + 90 * day + 12h, lasting(90 * day), start + 90 * day), start + 90 * day + 12h);
}

TEST(Remedies, NameTheNameAndWhatToDo) {
  EXPECT_NE(remedyFor(problem("dns", "a.test")).find("a.test"), std::string::npos);
  EXPECT_NE(remedyFor(problem("connection", "a.test")).find("port 443 of a.test"), std::string::npos);
  EXPECT_NE(remedyFor(problem("caa", "a.test")).find("CAA"), std::string::npos);
  EXPECT_EQ(remedyFor(problem("serverInternal")), "");
  EXPECT_EQ(remedyFor(problem("rateLimited")), "");
  EXPECT_EQ(remedyFor(problem("alreadyReplaced")), "");
}

TEST(Remedies, KnowTheTypeOfTheChallenge) {
  struct Row {
    const char* type;
    ChallengeType tried;
    const char* says;
  };
  for (const Row& row : std::vector<Row>{
           {"connection", ChallengeType::TlsAlpn01, "port 443 of a.test"},
           {"unauthorized", ChallengeType::TlsAlpn01, "TLS server or proxy"},
           {"dns", ChallengeType::TlsAlpn01, "A or AAAA record"},
           {"connection", ChallengeType::Http01, "port 80 of a.test"},
           {"unauthorized", ChallengeType::Http01, "redirect"},
           {"incorrectResponse", ChallengeType::Http01, "port 80 of a.test"},
           {"tls", ChallengeType::Http01, "redirect"},
           {"dns", ChallengeType::Http01, "A or AAAA record"},
           {"dns", ChallengeType::Dns01, "_acme-challenge.a.test"},
           {"unauthorized", ChallengeType::Dns01, "_acme-challenge.a.test"},
           {"incorrectResponse", ChallengeType::Dns01, "_acme-challenge.a.test"},
           {"postern:dns", ChallengeType::Dns01, "dns.server"},
           {"postern:challenge", ChallengeType::Dns01, "challenge"},
       }) {
    const std::string remedy = remedyFor(problem(row.type, "a.test", 403), row.tried);
    EXPECT_NE(remedy.find(row.says), std::string::npos) << row.type << ": " << remedy;
  }
}

TEST(Remedies, SayHowAnAccountIsBound) {
  EXPECT_NE(remedyFor(problem("externalAccountRequired")).find("eab.key-id"), std::string::npos);
  EXPECT_NE(remedyFor(problem("unauthorized", "", 401)).find("eab.hmac-key"), std::string::npos);
  EXPECT_NE(remedyFor(problem("invalidProfile")).find("profile"), std::string::npos);
  EXPECT_NE(remedyFor(problem("badPublicKey")).find("key-type"), std::string::npos);
}

}  // namespace
}  // namespace postern::acme
