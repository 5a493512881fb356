// The agenda by itself, and what it is for: that deciding costs what there is to decide.
#include "acme/manager_agenda.h"

#include "acme/managed_certificate.h"
#include "tests/acme/manager_fixture.h"

namespace postern::acme {
namespace {

class AgendaTest : public ManagerTest {
 protected:
  std::unique_ptr<ManagedCertificate> certificate(const std::string& name) {
    std::vector<ManagedCertificate::Route> routes{{"main", care, nullptr, nullptr}};
    return std::make_unique<ManagedCertificate>(std::move(routes), Names{name}, tls::KeyType::EcdsaP256, clock, log);
  }

  std::shared_ptr<ProviderCare> providerAt(const std::string& cache) {
    Provider made = provider();
    made.cache = folder / cache;
    const Manager::Parts parts{clock, log, *store, challenges, httpChallenges, test::FakeCa::factory({&ca}), {}};
    return std::make_shared<ProviderCare>(made, std::make_shared<Storage>(folder / cache, log), gate, parts);
  }

  std::shared_ptr<OrderGate> gate = std::make_shared<OrderGate>(clock, log);
  std::shared_ptr<ProviderCare> care = providerAt("one"), other = providerAt("two");
  std::unique_ptr<ManagedCertificate> a = certificate("a.example.org"), b = certificate("b.example.org"),
                                      c = certificate("c.example.org");
  Agenda agenda;
  const Time now = clock.now();
  static bool any(const ProviderCare&, bool) { return true; }
};

TEST_F(AgendaTest, GivesTheOneWhoseTimeHasComeAndNoOther) {
  EXPECT_EQ(agenda.due(now), nullptr);
  EXPECT_EQ(agenda.next(), Time::max());
  agenda.plan(*a, now + 2h);
  agenda.plan(*b, now + 1h);
  EXPECT_EQ(agenda.due(now), nullptr);
  EXPECT_EQ(agenda.next(), now + 1h);
  EXPECT_EQ(agenda.due(now + 3h), b.get());
  EXPECT_EQ(agenda.due(now + 3h), b.get()) << "until it is planned anew";
  agenda.plan(*b, now + 4h);
  EXPECT_EQ(agenda.due(now + 3h), a.get());
  agenda.plan(*b, Time::min());
  EXPECT_EQ(agenda.due(now), b.get());
}

TEST_F(AgendaTest, PutsWhatIsDueLongestFirstAndOrdersBeforeQuestions) {
  for (const auto* each : {&a, &b, &c}) agenda.plan(**each, now);
  agenda.await(*a, *care, false, true, now - 3h);
  agenda.await(*c, *care, false, false, now - 1h);
  agenda.await(*b, *care, false, false, now - 1h);
  EXPECT_EQ(agenda.first(any), b.get()) << "the one that came first";
  agenda.await(*c, *care, false, false, now - 2h);
  EXPECT_EQ(agenda.first(any), c.get());
  agenda.awaitNone(*c);
  agenda.awaitNone(*b);
  EXPECT_EQ(agenda.first(any), a.get());
}

TEST_F(AgendaTest, LetsOneWaitForOneProviderOnlyAndPassesOverThoseWithoutASlot) {
  agenda.await(*a, *care, false, false, now);
  agenda.await(*b, *other, false, false, now);
  const auto onlyOther = [&](const ProviderCare& provider, bool) { return &provider == other.get(); };
  EXPECT_EQ(agenda.first(onlyOther), b.get());
  agenda.await(*b, *care, false, false, now);
  EXPECT_EQ(agenda.first(onlyOther), nullptr);
  EXPECT_EQ(agenda.first(any), a.get());
}

TEST_F(AgendaTest, LetsOthersPastThoseThatHaveFailedBeforeWhereOnlyTheyHaveASlot) {
  agenda.await(*a, *care, true, false, now - 2h);
  agenda.await(*b, *care, false, false, now - 1h);
  EXPECT_EQ(agenda.first(any), a.get()) << "it is due longer";
  EXPECT_EQ(agenda.first([](const ProviderCare&, bool again) { return !again; }), b.get());
  agenda.awaitNone(*b);
  EXPECT_EQ(agenda.first([](const ProviderCare&, bool again) { return !again; }), nullptr);
  EXPECT_EQ(agenda.first(any), a.get());
}

TEST_F(AgendaTest, ForgetsWhatIsRemoved) {
  agenda.plan(*a, now);
  agenda.await(*a, *care, false, false, now);
  agenda.remove(*a);
  agenda.remove(*a);
  EXPECT_EQ(agenda.due(now), nullptr);
  EXPECT_EQ(agenda.first(any), nullptr);
}

}  // namespace
}  // namespace postern::acme
