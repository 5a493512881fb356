#include "acme/ledger.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "acme/ledger_limits.h"

namespace postern::acme {
namespace {

using namespace std::chrono_literals;
using Kind = LedgerEntry::Kind;
using Names = std::vector<std::string>;
constexpr auto day = 24h;

const std::string production = "https://acme-v02.api.letsencrypt.org/directory";
const std::string staging = "https://acme-staging-v02.api.letsencrypt.org/directory";
const std::string other = "https://ca.test:14000/dir";
const Time start = *parseRfc3339("2026-01-01T00:00:00Z");

// A refill is trusted this much later: a CA counts after us, and a clock may have been set forward meanwhile.
Duration marginOf(const char* limit, const std::string& directory = production) {
  for (const auto& each : figuresOf(directory)->limits) {
    if (each.id == limit) return each.margin();
  }
  return {};
}

void add(Ledger& ledger, int times, Kind kind, const Names& names, OrderKind order = OrderKind::First,
         Time at = start) {
  for (int i = 0; i < times; ++i) ledger.record({kind, at, names, order}, at);
}

Names numbered(int i) {
  return {"mail.example" + std::to_string(i) + ".org"};
}

TEST(Ledger, HoldsEveryPublishedLimitOfProduction) {
  struct Row {
    const char* what;
    Kind kind;
    Names recorded;
    Names asked;
    int burst;
    Duration refill;
  };
  const std::vector<Row> rows{
      {"orders", Kind::Order, {"a.example.org"}, {"b.example.net"}, 300, 36s},
      // 7 days by 50, published as 202 minutes
      {"domain", Kind::Issuance, {}, {"new.example.org"}, 50, 12096s},
      // 7 days by 5, published as 34 hours
      {"set", Kind::Issuance, {"a.example.org", "b.example.org"}, {"b.example.org", "a.example.org"}, 5, 120960s},
      {"failures", Kind::FailedValidation, {"a.example.org"}, {"b.example.org", "a.example.org"}, 5, 12min},
  };
  for (const auto& row : rows) {
    Ledger ledger(production);
    for (int i = 0; i < row.burst; ++i) {
      EXPECT_EQ(ledger.earliest(row.asked, OrderKind::First, start), start) << row.what << " " << i;
      const Names names = row.recorded.empty() ? Names{"host" + std::to_string(i) + ".example.org"} : row.recorded;
      add(ledger, 1, row.kind, names);
    }
    const Time refilled = start + row.refill + marginOf(row.what);
    EXPECT_EQ(ledger.earliest(row.asked, OrderKind::First, start), refilled) << row.what;
    EXPECT_EQ(ledger.earliest(row.asked, OrderKind::First, refilled), refilled) << row.what;
    const Time before = refilled - 1s;
    EXPECT_GT(ledger.earliest(row.asked, OrderKind::First, before), before) << row.what;
  }
}

TEST(Ledger, CountsFailuresInARowUntilOneSucceeds) {
  Ledger ledger(production);
  // Slowly enough for the limit per hour: 1152 and those that refilled meanwhile, one a day.
  Time now = start;
  int failures = 0;
  while (failures < 2000 && ledger.earliest({"a.example.org"}, OrderKind::Ari, now) == now &&
         ledger.earliest({"a.example.org"}, OrderKind::First, now) == now) {
    ledger.record({Kind::FailedValidation, now, {"a.example.org"}}, now);
    ++failures;
    now += 12min;
  }
  EXPECT_EQ(failures, 1152 + failures * 12 / (24 * 60));
  EXPECT_GT(ledger.earliest({"*.a.example.org"}, OrderKind::First, now), now);
  EXPECT_EQ(ledger.earliest({"c.example.org"}, OrderKind::First, now), now);
  ledger.record({Kind::Issuance, now, {"a.example.org", "b.example.org"}}, now);
  EXPECT_EQ(ledger.earliest({"a.example.org"}, OrderKind::First, now), now);
}

TEST(Ledger, LimitsNewAccountsToTenInThreeHours) {
  Ledger ledger(production);
  for (int i = 0; i < 10; ++i) {
    EXPECT_EQ(ledger.earliestAccount(start), start);
    add(ledger, 1, Kind::Account, {});
  }
  EXPECT_EQ(ledger.earliestAccount(start), start + 18min + marginOf("accounts"));
  EXPECT_EQ(ledger.earliest({"a.example.org"}, OrderKind::First, start), start);
}

TEST(Ledger, RefillsOneByOneUpToTheBurst) {
  Ledger ledger(production);
  add(ledger, 300, Kind::Order, {"a.example.org"});
  Time now = start + 36s * 10 + marginOf("orders");
  for (int i = 0; i < 10; ++i) {
    EXPECT_EQ(ledger.earliest({"b.example.org"}, OrderKind::First, now), now);
    add(ledger, 1, Kind::Order, {"a.example.org"}, OrderKind::First, now);
  }
  EXPECT_GT(ledger.earliest({"b.example.org"}, OrderKind::First, now), now);
  now += 30 * day;  // never more than the burst
  add(ledger, 300, Kind::Order, {"a.example.org"}, OrderKind::First, now);
  EXPECT_GT(ledger.earliest({"b.example.org"}, OrderKind::First, now), now);
}

TEST(Ledger, SparesRenewalsWhatTheCaSparesThem) {
  struct Row {
    const char* what;
    Kind kind;
    OrderKind recordedAs;
    OrderKind asked;
    Names names;
    int times;
    bool passes;
  };
  const Names names{"a.example.org"};
  const Names fresh{"fresh.example.org"};
  const std::vector<Row> rows{
      {"a renewal does not wait for orders per account", Kind::Order, OrderKind::First, OrderKind::Renewal, names, 300,
       true},
      {"nor does it take from them", Kind::Order, OrderKind::Renewal, OrderKind::First, names, 1000, true},
      {"nor for the registered domain", Kind::Issuance, OrderKind::First, OrderKind::Renewal, names, 50, true},
      {"a first order does", Kind::Issuance, OrderKind::First, OrderKind::First, names, 50, false},
      {"renewals take nothing from the registered domain", Kind::Issuance, OrderKind::Renewal, OrderKind::First, names,
       50, true},
      {"ARI waits for no orders", Kind::Order, OrderKind::First, OrderKind::Ari, names, 300, true},
      {"ARI takes no orders", Kind::Order, OrderKind::Ari, OrderKind::First, names, 1000, true},
      {"ARI takes nothing from the registered domain", Kind::Issuance, OrderKind::Ari, OrderKind::First, names, 50,
       true},
  };
  for (const auto& row : rows) {
    Ledger ledger(production);
    // Each of another set, so that only the limit in question is met.
    for (int i = 0; i < row.times; ++i) {
      add(ledger, 1, row.kind, {"host" + std::to_string(i) + ".example.org"}, row.recordedAs);
    }
    EXPECT_EQ(ledger.earliest(fresh, row.asked, start) == start, row.passes) << row.what;
  }
  Ledger sets(production);
  add(sets, 5, Kind::Issuance, names, OrderKind::Renewal);
  EXPECT_GT(sets.earliest(names, OrderKind::Renewal, start), start) << "five equal ones a week hold for renewals";
  EXPECT_EQ(sets.earliest(names, OrderKind::Ari, start), start) << "and not for ARI";
  EXPECT_EQ(sets.earliest({"a.example.org", "b.example.org"}, OrderKind::First, start), start) << "another set";
  Ledger ari(production);
  add(ari, 5, Kind::Issuance, names, OrderKind::Ari);
  EXPECT_GT(ari.earliest(names, OrderKind::Renewal, start), start) << "ARI's certificates count in their set";
  Ledger failed(production);
  add(failed, 5, Kind::FailedValidation, names, OrderKind::Renewal);
  EXPECT_GT(failed.earliest(names, OrderKind::Renewal, start), start);
  EXPECT_EQ(failed.earliest(names, OrderKind::Ari, start), start);
}

TEST(Ledger, CountsACertificateForEachOfItsRegisteredDomains) {
  Ledger ledger(production);
  for (int i = 0; i < 50; ++i) {
    const std::string n = std::to_string(i);
    add(ledger, 1, Kind::Issuance, {"a" + n + ".example.org", "b" + n + ".example.org", "c" + n + ".example.co.uk"});
  }
  for (const std::string& name :
       std::vector<std::string>{"x.example.org", "example.org", "x.example.co.uk", "*.deep.example.co.uk"}) {
    EXPECT_GT(ledger.earliest({name}, OrderKind::First, start), start) << name;
    EXPECT_GT(ledger.earliest({"x.example.net", name}, OrderKind::First, start), start) << name;
  }
  EXPECT_EQ(ledger.earliest({"x.another.co.uk"}, OrderKind::First, start), start);
}

TEST(Ledger, HoldsStagingToItsOwnFigures) {
  Ledger ledger(staging);
  add(ledger, 199, Kind::FailedValidation, {"a.example.org"});
  EXPECT_EQ(ledger.earliest({"a.example.org"}, OrderKind::First, start), start);
  add(ledger, 1, Kind::FailedValidation, {"a.example.org"});
  EXPECT_EQ(ledger.earliest({"a.example.org"}, OrderKind::First, start), start + 18s + marginOf("failures", staging));
  for (int i = 0; i < 1499; ++i) add(ledger, 1, Kind::Order, numbered(i));
  for (int i = 0; i < 60; ++i) add(ledger, 1, Kind::Issuance, {"h" + std::to_string(i) + ".example.org"});
  EXPECT_EQ(ledger.earliest({"b.example.org"}, OrderKind::First, start), start);
  add(ledger, 1, Kind::Order, {"b.example.org"});
  EXPECT_EQ(ledger.earliest({"b.example.org"}, OrderKind::First, start), start + 7200ms + marginOf("orders", staging));
}

TEST(Ledger, KnowsNoLimitsOfOtherCasButWhatTheyTold) {
  for (const std::string& url : {other, std::string("https://acme-v02.api.letsencrypt.org.example.org/directory"),
                                 std::string("acme-v02.api.letsencrypt.org"), std::string()}) {
    Ledger ledger(url);
    add(ledger, 1000, Kind::Order, {"a.example.org"});
    add(ledger, 1000, Kind::Issuance, {"a.example.org"});
    add(ledger, 1000, Kind::FailedValidation, {"a.example.org"});
    EXPECT_EQ(ledger.earliest({"a.example.org"}, OrderKind::First, start), start);
    EXPECT_TRUE(ledger.left(start).empty());
    ledger.told(start + 1h, {}, start);
    EXPECT_EQ(ledger.earliest({"a.example.org"}, OrderKind::First, start), start + 1h);
  }
  EXPECT_NE(figuresOf("https://ACME-v02.api.letsencrypt.org:443/directory"), nullptr);
}

TEST(Ledger, ObeysWhatTheCaToldForWhomItWasTold) {
  Ledger ledger(production);
  ledger.told(start + 2h, {"b.example.org", "a.example.org"}, start);
  for (const auto kind : {OrderKind::First, OrderKind::Renewal, OrderKind::Ari}) {
    EXPECT_EQ(ledger.earliest({"a.example.org", "b.example.org"}, kind, start), start + 2h);
    EXPECT_EQ(ledger.earliest({"a.example.org"}, kind, start), start);
  }
  EXPECT_EQ(ledger.earliestAccount(start), start);
  ledger.told(start + 1h, {}, start);
  EXPECT_EQ(ledger.earliest({"a.example.org"}, OrderKind::Ari, start), start + 1h);
  EXPECT_EQ(ledger.earliest({"a.example.org", "b.example.org"}, OrderKind::First, start), start + 2h);
  EXPECT_EQ(ledger.earliestAccount(start), start + 1h);
  const Time later = start + 3h;
  EXPECT_EQ(ledger.earliest({"a.example.org", "b.example.org"}, OrderKind::First, later), later);
  // The newest word of the CA's is the one that holds.
  ledger.told(start + 5h, {}, start);
  ledger.told(start + 4h, {}, start + 1min);
  EXPECT_EQ(ledger.earliest({"a.example.org"}, OrderKind::First, start + 2min), start + 4h);
}

TEST(Ledger, AnswersAtOnceThoughTheCaToldThousands) {
  Ledger ledger(other);
  for (int i = 0; i < 20000; ++i) ledger.told(start + 2h, numbered(i), start);
  const auto before = std::chrono::steady_clock::now();
  for (int i = 0; i < 20000; ++i) ASSERT_EQ(ledger.earliest(numbered(i), OrderKind::First, start), start + 2h);
  EXPECT_EQ(ledger.earliest(numbered(20000), OrderKind::First, start), start);
  // Looking through all of them each time takes minutes.
  EXPECT_LT(std::chrono::steady_clock::now() - before, 1min);
}

TEST(Ledger, WaitsNoLongerThanAWeekWhateverItIsTold) {
  Ledger ledger(other);
  ledger.told(start + 10000 * day, {}, start);
  EXPECT_EQ(ledger.earliest({"a.example.org"}, OrderKind::First, start), start + 7 * day);
}

TEST(Ledger, IsNotBlockedByWhatAWrongClockRecorded) {
  for (const Duration ahead : {Duration(4000 * day), Duration(3h)}) {
    Ledger ledger(production);
    const Time wrong = start + ahead;
    add(ledger, 300, Kind::Order, {"a.example.org"}, OrderKind::First, wrong);
    add(ledger, 5, Kind::Issuance, {"a.example.org"}, OrderKind::First, wrong);
    add(ledger, 5, Kind::FailedValidation, {"a.example.org"}, OrderKind::First, wrong);
    ledger.told(wrong + 7 * day, {}, wrong);
    EXPECT_EQ(ledger.earliest({"a.example.org"}, OrderKind::First, start), start) << inWords(ahead);
    // Nor is what happens now forgotten for it.
    add(ledger, 299, Kind::Order, {"b.example.org"});
    EXPECT_EQ(ledger.earliest({"b.example.org"}, OrderKind::First, start), start) << inWords(ahead);
    add(ledger, 1, Kind::Order, {"b.example.org"});
    EXPECT_EQ(ledger.earliest({"b.example.org"}, OrderKind::First, start), start + 36s + marginOf("orders"))
        << inWords(ahead);
  }
}

TEST(Ledger, ForgetsNothingForAQuestionUnderAWrongClock) {
  Ledger ledger(production);
  add(ledger, 300, Kind::Order, {"a.example.org"});
  add(ledger, 1, Kind::Issuance, {"a.example.org"});
  const Time wrong = Time{} + 1h;
  EXPECT_EQ(ledger.earliest({"b.example.org"}, OrderKind::First, wrong), wrong);
  EXPECT_GT(ledger.earliest({"b.example.org"}, OrderKind::First, start), start);
  EXPECT_TRUE(ledger.issuedBefore({"a.example.org"}, start));
}

TEST(Ledger, WaitsAnHourAtMostLongerWhenTheClockIsSetBackByOne) {
  Ledger ledger(production);
  add(ledger, 300, Kind::Order, {"a.example.org"}, OrderKind::First, start + 1h);
  EXPECT_GT(ledger.earliest({"a.example.org"}, OrderKind::First, start), start);
  EXPECT_LE(ledger.earliest({"a.example.org"}, OrderKind::First, start), start + 1h + 36s + marginOf("orders"));
}

TEST(Ledger, DoesNotTakeAClockSetForwardForARefill) {
  const Names names{"a.example.org"};
  const auto passes = [&](const Ledger& ledger, OrderKind kind, Time now) {
    return ledger.earliest(names, kind, now) == now;
  };
  for (const Duration ahead : {Duration(1h), Duration(2h - 1s)}) {
    Ledger sets(production);
    add(sets, 5, Kind::Issuance, names, OrderKind::Renewal);
    // One refill, measured by a clock that runs ahead since.
    EXPECT_FALSE(passes(sets, OrderKind::Renewal, start + 120960s - 1h + ahead)) << inWords(ahead);
    EXPECT_FALSE(passes(sets, OrderKind::Renewal, start + 120960s - 1s + ahead)) << inWords(ahead);
    EXPECT_TRUE(passes(sets, OrderKind::Renewal, start + 120960s + 2h));
    // Recorded under one that was behind.
    Ledger behind(production);
    add(behind, 5, Kind::Issuance, names, OrderKind::Renewal, start - ahead);
    EXPECT_FALSE(passes(behind, OrderKind::Renewal, start + 120960s - 1s));
  }
  // The rate of refills is the CA's all the same: the margin comes once, not with each.
  Ledger ledger(production);
  Time now = start;
  int issued = 0;
  while (now < start + 700 * day) {
    now = ledger.earliest(names, OrderKind::Renewal, now);
    add(ledger, 1, Kind::Issuance, names, OrderKind::Renewal, now);
    ++issued;
  }
  EXPECT_EQ(issued, 5 + 500);  // those it was full with, and one for each 33.6 hours
}

TEST(Ledger, KnowsARenewalByItsExactSetOfNames) {
  Ledger ledger(production);
  EXPECT_FALSE(ledger.issuedBefore({"a.example.org", "b.example.org"}, start));
  add(ledger, 1, Kind::Issuance, {"b.example.org", "a.example.org"});
  EXPECT_TRUE(ledger.issuedBefore({"a.example.org", "b.example.org"}, start));
  EXPECT_TRUE(ledger.issuedBefore({"b.example.org", "a.example.org"}, start + 100 * day));
  EXPECT_FALSE(ledger.issuedBefore({"a.example.org"}, start));
  EXPECT_FALSE(ledger.issuedBefore({"a.example.org", "b.example.org", "c.example.org"}, start));
  // The CA remembers for 120 days.
  EXPECT_FALSE(ledger.issuedBefore({"a.example.org", "b.example.org"}, start + 120 * day));
  // An order alone is no issuance.
  add(ledger, 1, Kind::Order, {"c.example.org"});
  EXPECT_FALSE(ledger.issuedBefore({"c.example.org"}, start));
}

TEST(Ledger, SaysWhatIsLeftOfTouchedLimitsTheLeastFirst) {
  Ledger ledger(production);
  EXPECT_TRUE(ledger.left(start).empty());
  add(ledger, 2, Kind::Order, {"mail.example.org"});
  add(ledger, 3, Kind::FailedValidation, {"mail.example.org"});
  add(ledger, 1, Kind::Issuance, {"mail.example.org", "imap.example.org"});
  ledger.told(start + 1h, {"www.example.net"}, start);
  const std::vector<LimitState> expected{
      {"told by the CA for www.example.net", 0, start + 1h},
      {"failed validations of mail.example.org", 2, start + 12min},
      {"certificates per exact set imap.example.org,mail.example.org", 4, start + 120960s},
      {"certificates per registered domain example.org", 49, start + 12096s},
      {"orders per account", 298, start + 36s},
  };
  auto left = ledger.left(start);
  EXPECT_EQ(left, expected);
  // 36 seconds on: one order more.
  left = ledger.left(start + 36s);
  const auto orders =
      std::find_if(left.begin(), left.end(), [](const auto& state) { return state.limit == "orders per account"; });
  ASSERT_NE(orders, left.end());
  EXPECT_EQ(orders->left, 299);
  EXPECT_EQ(orders->refillAt, start + 72s);
  EXPECT_TRUE(ledger.left(start + 8 * day).empty());
}

TEST(Ledger, IsLeftWithNothingByWhatHadToBeTakenFromAnEmptyBucket) {
  Ledger ledger(production);
  add(ledger, 12, Kind::Issuance, {"a.example.org"}, OrderKind::Renewal);
  EXPECT_EQ(ledger.earliest({"a.example.org"}, OrderKind::Renewal, start), start + 120960s + marginOf("set"));
  EXPECT_EQ(ledger.left(start).front().left, 0);
}

TEST(Ledger, DropsWhatNoLimitRemembers) {
  Ledger ledger(production);
  Time now = start;
  for (int i = 0; i < 2000; ++i) {
    add(ledger, 1, Kind::Order, numbered(i), OrderKind::First, now);
    add(ledger, 1, Kind::Issuance, numbered(i), OrderKind::First, now);
    now += 6h;
  }
  EXPECT_LT(ledger.buckets().size(), 30u);
  EXPECT_LE(ledger.issued().size(), 120u * 4);
}

TEST(Ledger, StandsWholeInWhatIsKeptOfIt) {
  Ledger ledger(production);
  add(ledger, 300, Kind::Order, {"a.example.org"});
  add(ledger, 5, Kind::Issuance, {"a.example.org"});
  add(ledger, 4, Kind::FailedValidation, {"b.example.org"});
  ledger.told(start + 1h, {"c.example.org"}, start);
  Ledger again(production);
  for (const auto& bucket : ledger.buckets()) again.restore(bucket);
  for (const auto& issued : ledger.issued()) again.restore(issued);
  for (const auto& told : ledger.toldUntil()) again.restore(told);
  again.restore(Ledger::Bucket{"limit-of-the-future", "", start, start + 1000 * day});
  EXPECT_EQ(again.left(start), ledger.left(start));
  EXPECT_TRUE(again.issuedBefore({"a.example.org"}, start));
}

TEST(RegisteredDomain, IsThatOfThePublicSuffixList) {
  struct Row {
    const char* name;
    const char* domain;
  };
  for (const Row& row : std::vector<Row>{
           {"mail.example.org", "example.org"},
           {"example.org", "example.org"},
           {"a.b.c.example.co.uk", "example.co.uk"},
           {"*.example.org", "example.org"},
           {"*.mail.example.org", "example.org"},
           {"co.uk", "co.uk"},
           {"someone.github.io", "someone.github.io"},
           {"deep.someone.github.io", "someone.github.io"},
           {"mail.unheardof", "mail.unheardof"},
           {"mail.xn--55qx5d.cn", "mail.xn--55qx5d.cn"},
           {"localhost", "localhost"},
           {"192.0.2.17", "192.0.2.17"},
           {"2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"},
           {"::1", "::/64"},
       }) {
    EXPECT_EQ(registeredDomain(row.name), row.domain) << row.name;
  }
}

}  // namespace
}  // namespace postern::acme
