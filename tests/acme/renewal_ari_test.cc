// Renewal time with the CA's window: the contract's "Renewal time", rule by rule.
#include <gtest/gtest.h>

#include <vector>

#include "acme/renewal.h"

namespace postern::acme {
namespace {

using namespace std::chrono_literals;
constexpr auto day = 24h;

const Time start = *parseRfc3339("2026-01-01T00:00:00Z");

CertificateFacts lasting(Duration lifetime) {
  return {start, start + lifetime};
}

TEST(RenewalTimeWithAri, IsTheEarliestOfItsRules) {
  struct Row {
    const char* what;
    Duration lifetime;
    std::optional<std::chrono::seconds> renewBefore;
    std::optional<Duration> pick, issued, lastAriOrder;  // after start
    Duration at;
    RenewReason reason;
  };
  const std::vector<Row> rows{
      {"the pick before a third is left", 90 * day, {}, 59 * day, 0s, {}, 59 * day, RenewReason::Ari},
      {"a pick later than that decides nothing", 90 * day, {}, 61 * day, 0s, {}, 60 * day, RenewReason::Lifetime},
      {"a pick at that very time neither", 90 * day, {}, 60 * day, 0s, {}, 60 * day, RenewReason::Lifetime},
      {"renew-before earlier than the pick", 90 * day, 30 * day, 70 * day, 0s, {}, 60 * day, RenewReason::RenewBefore},
      {"renew-before later than the pick", 90 * day, 10 * day, 70 * day, 0s, {}, 70 * day, RenewReason::Ari},
      {"a twentieth before expiry all the same", 90 * day, 1h, 89 * day, 0s, {}, 90 * day - 108h, RenewReason::Expiry},
      {"half of a short life", 6 * day, {}, 4 * day, 0s, {}, 3 * day, RenewReason::Lifetime},
      {"a pick in the first half of a short life", 6 * day, {}, 2 * day, 0s, {}, 2 * day, RenewReason::Ari},
      {"a window past means now", 90 * day, {}, 1min, 0s, {}, 1min, RenewReason::Ari},
      {"a pick from before the certificate means now", 90 * day, {}, -1h, 0s, {}, -1h, RenewReason::Ari},
      {"not twice within six hours for the window alone", 90 * day, {}, 1min, 0s, 0s, 6h, RenewReason::Ari},
      {"after six hours again", 90 * day, {}, 7h, 1h, 1h, 7h, RenewReason::Ari},
      {"six hours later the lifetime rule has come first", 12h, {}, 1h, 0s, 1h, 6h, RenewReason::Lifetime},
      {"a pick in a third of a life after the issue", 90 * day, {}, 20 * day, 10 * day, {}, 20 * day, RenewReason::Ari},
      {"the lifetime rule not in that third", 90 * day, {}, {}, 40 * day, {}, 70 * day, RenewReason::Lifetime},
      {"expiry overrides that floor", 90 * day, {}, {}, 70 * day, {}, 90 * day - 108h, RenewReason::Expiry},
      {"a pick at expiry does not exist", 90 * day, {}, 90 * day, 0s, {}, 60 * day, RenewReason::Lifetime},
      {"nor one long after it", 90 * day, {}, 300 * day, 0s, {}, 60 * day, RenewReason::Lifetime},
  };
  for (const auto& row : rows) {
    const auto time = [&](const std::optional<Duration>& after) {
      return after ? std::optional<Time>(start + *after) : std::nullopt;
    };
    const Renewal renewal =
        renewalTime(lasting(row.lifetime), row.renewBefore, time(row.pick), time(row.issued), time(row.lastAriOrder));
    EXPECT_EQ(rfc3339(renewal.at), rfc3339(start + row.at)) << row.what;
    EXPECT_EQ(nameOf(renewal.reason), nameOf(row.reason)) << row.what;
  }
}

TEST(RenewalTimeWithAri, IsNeverAtExpiryOrLater) {
  for (const Duration lifetime : {Duration(90 * day), Duration(10 * day), Duration(6 * day), Duration(60s)}) {
    for (int pick = -10; pick <= 300; pick += 7) {
      for (int issued = 0; issued < 100; issued += 9) {
        const Time issuedAt = start + lifetime * issued / 100;
        const Renewal renewal = renewalTime(lasting(lifetime), {}, start + lifetime * pick / 100, issuedAt, issuedAt);
        EXPECT_LE(renewal.at, std::max(start + lifetime - 1ms, issuedAt + 1s))
            << inWords(lifetime) << pick << " " << issued;
      }
    }
  }
}

TEST(RenewalTimeWithAri, OrdersOncePerSixHoursWhenTheCaSaysNowForEver) {
  Time now = start;
  std::optional<Time> lastAriOrder;
  int orders = 0;
  while (now < start + 10 * day) {
    const CertificateFacts facts{now - 1h, now - 1h + 90 * day};
    const Renewal next = renewalTime(facts, {}, now - 1h, now, lastAriOrder);
    ASSERT_EQ(next.reason, RenewReason::Ari);
    now = std::max(now, next.at);
    lastAriOrder = now;
    ++orders;
  }
  EXPECT_LE(orders, 42);
  EXPECT_GE(orders, 40);
}

TEST(RenewalTimeWithAri, IsBoundByTheLifetimeRuleToOncePerThirdOfALifetime) {
  for (const Duration lifetime : {Duration(90 * day), Duration(47 * day), Duration(6 * day), Duration(60s)}) {
    for (const std::optional<std::chrono::seconds> renewBefore :
         {std::optional<std::chrono::seconds>(), std::optional<std::chrono::seconds>(365 * day)}) {
      for (int backdated = 0; backdated < 60; backdated += 5) {
        const CertificateFacts facts{start - lifetime * backdated / 100, start + lifetime * (100 - backdated) / 100};
        const Renewal next = renewalTime(facts, renewBefore, {}, start);
        if (next.reason != RenewReason::Expiry) {
          EXPECT_GE(next.at - start, lifetime / 3) << inWords(lifetime) << " " << backdated;
        }
      }
    }
  }
}

}  // namespace
}  // namespace postern::acme
