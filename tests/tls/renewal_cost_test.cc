// What a renewal costs where there are many names: what has changed is made anew, and all else is shared.
#include <gtest/gtest.h>
#include <malloc.h>

#include <algorithm>
#include <chrono>
#include <random>
#include <string>
#include <vector>

#include "tests/tls/server_fixture.h"
#include "tls/selection.h"

namespace postern::tls {
namespace {

using testing::shakeHands;

class RenewalCostTest : public ServerFixture {
 protected:
  // Certificates whose names overlap, so that who comes first matters.
  std::vector<CertifiedKeyRef> overlapping() const {
    std::vector<CertifiedKeyRef> made;
    for (const auto& names : std::vector<std::vector<std::string>>{{"a.example.org"},
                                                                   {"a.example.org", "b.example.org"},
                                                                   {"*.example.org"},
                                                                   {"b.example.org", "*.example.org"},
                                                                   {"c.example.org", "x.b.example.org"}})
      made.push_back(ca_.issue(names));
    return made;
  }
};

TEST_F(RenewalCostTest, ASelectionThatIsChangedIsTheOneThatIsMadeAnew) {
  const auto pool = overlapping();
  std::mt19937 random(3);
  const auto any = [&]() -> CertifiedKeyRef { return random() % 4 == 0 ? nullptr : pool[random() % pool.size()]; };
  std::vector<Selection::Rule> rules{
      {"a.example.org", nullptr}, {"*.example.org", nullptr}, {"B.example.org", nullptr}};
  std::vector<CertifiedKeyRef> own;
  std::vector<std::vector<CertifiedKeyRef>> domains(4);
  Selection changed(rules, own, domains);
  for (int turn = 0; turn < 300; ++turn) {
    const auto place = random() % (rules.size() + 1 + domains.size());
    const auto next = any();
    const std::vector<CertifiedKeyRef> set = next ? std::vector{next} : std::vector<CertifiedKeyRef>{};
    if (place < rules.size())
      rules[place].certificate = next;
    else if (place == rules.size())
      own = set;
    else
      domains[place - rules.size() - 1] = set;
    changed = changed.with(place, next ? std::make_shared<const ShownSet>(shownSet(set)) : nullptr);
    const Selection anew(rules, own, domains);
    for (const char* name : {"a.example.org", "b.example.org", "c.example.org", "x.b.example.org", "y.b.example.org"}) {
      const auto* const here = changed.find(name);
      const auto* const there = anew.find(name);
      ASSERT_EQ(here == nullptr, there == nullptr) << turn << " " << name;
      if (here != nullptr) {
        ASSERT_EQ(here->front().certificate, there->front().certificate) << turn << " " << name;
      }
    }
  }
}

TEST_F(RenewalCostTest, WhatDoesNotChangeIsNotEvenCopied) {
  std::vector<Selection::Rule> rules;
  const auto one = ca_.issue({"one.example.org"}), two = ca_.issue({"two.example.org"});
  for (int i = 0; i < 1000; ++i) rules.push_back({"host" + std::to_string(i) + ".example.org", i % 2 == 0 ? one : two});
  const Selection before(rules, {}, {});
  const Selection after = before.with(7, std::make_shared<const ShownSet>(shownSet({one})));
  for (int i = 0; i < 1000; ++i) {
    const auto& name = rules[static_cast<std::size_t>(i)].subject;
    EXPECT_EQ(before.find(name) == after.find(name), i != 7) << name;
  }
  EXPECT_EQ(after.find("host7.example.org")->front().certificate, one);
}

TEST_F(RenewalCostTest, FindsEachOfManyThousandNamesInTheTimeOfAFew) {
  constexpr int few = 16, many = 60'000;
  std::vector<CertifiedKeyRef> pool;
  for (int i = 0; i < few; ++i) pool.push_back(ca_.issue({"host.example.org"}));
  const auto nameOf = [](int i) { return "host-" + std::to_string(i) + ".example.org"; };
  const auto selectionOf = [&](int count) {
    std::vector<Selection::Rule> rules;
    for (int i = 0; i < count; ++i) rules.push_back({nameOf(i), pool[static_cast<std::size_t>(i % few)]});
    return Selection(rules, {}, {});
  };
  const Selection small = selectionOf(few), large = selectionOf(many);
  for (int i = 0; i < many; ++i) {
    const auto* const found = large.find(nameOf(i));
    ASSERT_NE(found, nullptr) << i;
    ASSERT_EQ(found->front().certificate, pool[static_cast<std::size_t>(i % few)]) << i;
  }
  EXPECT_EQ(large.find("host.example.org"), nullptr);

  // The same names in both. What grows with their number would be thousands of times slower; caches are a few times.
  const auto fastest = [&](const Selection& selection) {
    auto best = std::chrono::steady_clock::duration::max();
    for (int round = 0; round < 20; ++round) {
      const auto begun = std::chrono::steady_clock::now();
      for (int i = 0; i < 20 * few; ++i) {
        if (selection.find(nameOf(i % few)) == nullptr) ADD_FAILURE();
        if (selection.find("unknown.example.org") != nullptr) ADD_FAILURE();
      }
      best = std::min(best, std::chrono::steady_clock::now() - begun);
    }
    return best;
  };
  EXPECT_LT(fastest(large), 30 * fastest(small));
}

TEST_F(RenewalCostTest, AmongTwentyThousandNamesTakesNoMoreMemoryThanAmongTen) {
  const auto nameOf = [](int i) { return "host-" + std::to_string(i) + ".example.org"; };
  const auto rule = staticCertificate("all"), renewed = staticCertificate("renewed");
  for (const int count : {10, 20'000}) {
    store_.publish({{rule, ca_.issue({"host.example.org"})}, {renewed, ca_.issue({"host.example.org"})}});
    auto made = plan();
    for (int i = 0; i < count; ++i) made.sni.push_back({nameOf(i), i == 7 ? renewed : rule});
    const auto server = context(made);
    const auto next = ca_.issue({"host.example.org"});
    const auto running = server->newConnection();  // keeps the serving of before, so that nothing of it is given back
    const std::size_t before = mallinfo2().uordblks;
    store_.publish(renewed, next);
    ASSERT_TRUE(server->refresh());
    const std::size_t after = mallinfo2().uordblks;
    EXPECT_LT(after, before + 32'000) << count;
    EXPECT_EQ(serialFor(*server, nameOf(7)), next->serial());
  }
}

TEST_F(RenewalCostTest, UnknownNamesCostNothingHoweverManyAreAskedFor) {
  store_.publish(own_, ca_.issue({"imap.example.org"}));
  const auto server = context();
  const auto ask = [&](int from, int end) {
    for (int i = from; i < end; ++i)
      ASSERT_TRUE(shakeHands(*server, to("unknown-" + std::to_string(i) + ".example.org")).completed);
  };
  ask(0, 1000);  // whatever is made once: what the libraries keep for themselves has grown by then
  const std::size_t before = mallinfo2().uordblks;
  ask(1000, 1800);
  const std::size_t after = mallinfo2().uordblks;
  EXPECT_LT(after, before + 20'000) << "less than 25 bytes for each name";
}

TEST_F(RenewalCostTest, OfAFurtherNameLeavesTheContextOfTheOwnCertificateAsItIs) {
  const auto id = acmeCertificate("le", {"www.example.org"});
  store_.publish({{own_, ca_.issue({"imap.example.org"})}, {id, ca_.issue({"www.example.org"})}});
  auto made = plan();
  made.domains = {{id}};
  const auto server = context(made);
  const auto contextNow = [&] { return SSL_get_SSL_CTX(server->newConnection().get()); };
  const auto* const before = contextNow();
  const auto renewed = ca_.issue({"www.example.org"});
  store_.publish(id, renewed);
  EXPECT_TRUE(server->refresh());
  EXPECT_EQ(contextNow(), before);
  EXPECT_EQ(serialFor(*server, "www.example.org"), renewed->serial());
  const auto kept = server->newConnection();  // so that its address is not used again
  store_.publish(own_, ca_.issue({"imap.example.org"}));
  EXPECT_TRUE(server->refresh());
  EXPECT_NE(contextNow(), before);
}

TEST_F(RenewalCostTest, OfWhatAListenerDoesNotShowIsNothing) {
  const auto server = context();
  store_.publish(acmeCertificate("le", {"elsewhere.example.org"}), ca_.issue({"elsewhere.example.org"}));
  EXPECT_FALSE(server->refresh());
  EXPECT_FALSE(server->refresh());
}

TEST_F(RenewalCostTest, WhatIsWithdrawnIsNoMatchAnyMoreAndTheNextInLineHasTheName) {
  const auto first = acmeCertificate("le", {"www.example.org"});
  const auto second = acmeCertificate("le", {"*.example.org"});
  const auto exact = ca_.issue({"www.example.org"}), wildcard = ca_.issue({"*.example.org"});
  store_.publish({{own_, ca_.issue({"imap.example.org"})}, {first, exact}, {second, wildcard}});
  auto made = plan();
  made.domains = {{first}, {second}};
  const auto server = context(made);
  EXPECT_EQ(serialFor(*server, "www.example.org"), exact->serial());
  store_.withdraw({first});
  EXPECT_TRUE(server->refresh());
  EXPECT_EQ(serialFor(*server, "www.example.org"), wildcard->serial());
}

}  // namespace
}  // namespace postern::tls
