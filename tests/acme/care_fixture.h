// CareTest: a manager with a CA that offers renewal information, another one, and one whose limits are published.
#pragma once

#include <atomic>

#include "acme/ledger_file.h"
#include "tests/acme/manager_fixture.h"

namespace postern::acme {

// From an empty bucket of the exact set: a fifth of a week, and the margin.
inline constexpr Duration untilOneMore = 33h + 36min + 2h;

// Counts how often somebody looks at it.
class LookedAt : public Clock {
 public:
  explicit LookedAt(Clock& of) : of_(of) {}
  Time now() const override {
    ++times_;
    return of_.now();
  }
  bool wait(Duration time, std::stop_token stop) override { return of_.wait(time, std::move(stop)); }
  int times() const { return times_; }

 private:
  Clock& of_;
  mutable std::atomic<int> times_ = 0;
};

class CareTest : public ManagerTest {
 protected:
  CareTest() {
    ca.offerRenewalInfo(true);
    restart();
  }
  ~CareTest() override { manager.reset(); }

  // As the fixture's, with another CA, and with events.
  void restart(Duration longestSleep = 60s) {
    manager.reset();
    store = std::make_unique<tls::CertificateStore>();
    Manager::Parts parts{looked,
                         log,
                         *store,
                         challenges,
                         httpChallenges,
                         test::FakeCa::factory({&ca, &otherCa, &letsEncrypt}),
                         [this](const Event& event) { note(event); }};
    parts.longestSleep = longestSleep;
    manager = std::make_unique<Manager>(std::move(parts));
  }
  // Of a CA whose limits are known.
  Plan atLetsEncrypt() const {
    return with([this](Provider& provider) { provider.directory = letsEncrypt.directoryUrl(); });
  }
  // Five certificates for `mail` in this second: the bucket of the exact set is empty. The manager begins anew; returns
  // when the next is let out.
  Time emptyBucket() {
    manager.reset();
    const Time now = clock.now();
    LedgerFile ledger(folder / "cache" / directoryFolderName(letsEncrypt.directoryUrl()), letsEncrypt.directoryUrl(),
                      log);
    for (int i = 0; i < 5; ++i) ledger.record({LedgerEntry::Kind::Issuance, now, mail, OrderKind::Renewal}, now);
    restart();
    return std::chrono::floor<std::chrono::seconds>(now) + untilOneMore;
  }
  void expectDelayed(Time until, bool force) {
    const int orders = letsEncrypt.orders();
    const auto answer = manager->renew({mail, "", force});
    ASSERT_EQ(answer.certificates.size(), 1U);
    EXPECT_FALSE(answer.certificates[0].ordered);
    // To the minute: certificates before took their milliseconds.
    EXPECT_NE(answer.certificates[0].words.find("until " + rfc3339(until).substr(0, 16)), std::string::npos)
        << answer.certificates[0].words << ", not " << rfc3339(until);
    letDecide(atLetsEncrypt());
    EXPECT_EQ(letsEncrypt.orders(), orders);
  }

  void note(const Event& event) {
    std::lock_guard lock(mutex_);
    events_.push_back(std::string(nameOf(event.kind)) + " " + event.certificate.names.front());
  }
  std::vector<std::string> events() const {
    std::lock_guard lock(mutex_);
    return events_;
  }
  // Of one provider with its settings changed.
  template <class Change>
  Plan with(Change change, const Names& names = {"mail.example.org"}) const {
    Plan plan = wanting({names});
    change(plan.providers[0]);
    return plan;
  }
  tls::CertifiedKeyRef of(const std::string& keyType, const Names& names = {"mail.example.org"}) const {
    return store->current()->find(tls::acmeCertificate("main", names, keyType));
  }
  bool asked(int times) {
    return eventually([&] { return ca.count("renewalInfo") >= times; });
  }

  LookedAt looked{clock};
  test::FakeCa letsEncrypt{clock, &challenges, "acme-v02.api.letsencrypt.org"};

 private:
  mutable std::mutex mutex_;
  std::vector<std::string> events_;
};

}  // namespace postern::acme
