// Every request to a CA, failed in every way: afterwards the certificate is there, nothing was bought twice beyond what
// a lost answer forces, and the requests kept to their schedule.
#include <array>
#include <cstdlib>
#include <map>
#include <ostream>
#include <sstream>

#include "tests/acme/manager_fixture.h"

namespace postern::acme {
namespace {

struct Case {
  std::string stage;
  Failure failure;
};
std::ostream& operator<<(std::ostream& to, const Case& one) {
  return to << nameOf(one.failure) << " of " << one.stage;
}

std::vector<Case> allCases() {
  std::vector<Case> all;
  for (const auto& stage : test::stages()) {
    for (const Failure failure : test::allFailures()) all.push_back({stage, failure});
  }
  return all;
}

// After a failed attempt one certificate costs at most this in any minute, however many names it has; repetitions for
// bad nonces are counted apart, and are as many at most.
constexpr int mostInAMinute = 10;
constexpr int mostRepetitions = 10;

class Schedule : public ManagerTest {
 protected:
  // Three hundred and fifty lives sync some ten thousand files: in memory, where it can be had.
  static void SetUpTestSuite() {
    if (std::getenv("TMPDIR") == nullptr && access("/dev/shm", W_OK) == 0) setenv("TMPDIR", "/dev/shm", 1);
  }

  // What came between the end of a failed attempt and that of the one that succeeded, as places in the CA's record.
  struct Trouble {
    std::size_t begin, end;
  };

  Plan plan(const std::string& contact = "postmaster") const {
    Plan made;
    made.providers = {provider()};
    made.providers[0].contact = {"mailto:" + contact + "@example.org"};
    made.certificates.push_back({"main", mail});
    return made;
  }

  // Lets the manager try as often as it wants to, each time at the time that it has set itself, until a certificate
  // other than `before` is served. What was served before is served all the while.
  void obtain(const tls::CertifiedKeyRef& before = nullptr) {
    const Time begun = clock.now();
    std::optional<std::size_t> failedAt;
    for (int attempt = 0; attempt < 40; ++attempt) {
      waitFor(mail);
      const auto now = served(mail);
      if (now && (!before || now->serial() != before->serial())) {
        // The question about it comes at once. Under way still, it would meet what the test does next.
        ASSERT_TRUE(eventually([&] { return asked(*now) > 0; })) << "nobody asked when it is to be renewed";
        if (failedAt) troubles.push_back({*failedAt, lastDownload()});
        return;
      }
      ASSERT_EQ(now, before) << "the certificate in service was taken away";
      if (!failedAt) failedAt = ca.requests().size();
      const auto status = statusOf(mail);
      ASSERT_TRUE(status.lastError) << "an attempt ended without a certificate and without an error";
      ASSERT_TRUE(status.nextAttempt);
      ASSERT_LT(*status.nextAttempt - begun, 3 * day) << status.lastError->type << ": " << status.lastError->detail;
      tryAgain(*status.nextAttempt);
    }
    FAIL() << "no certificate after forty attempts";
  }
  // The end of the attempt that succeeded: what follows is a question about the new certificate.
  std::size_t lastDownload() const {
    const auto requests = ca.requests();
    std::size_t end = requests.size();
    while (end > 0 && requests[end - 1].stage != "certificate") --end;
    return end;
  }
  // How often the CA was asked when this certificate is to be renewed, whatever came of it.
  int asked(const tls::CertifiedKey& certificate) const {
    int times = 0;
    std::istringstream lines(logged());
    for (std::string line; std::getline(lines, line);) {
      const bool question = line.find(" acme.renewal-info.told ") != std::string::npos ||
                            line.find(" acme.renewal-info.failed ") != std::string::npos;
      times += question && line.find(certificate.serial()) != std::string::npos ? 1 : 0;
    }
    return times;
  }
  // Goes on to the next attempt and sees it begin.
  void tryAgain(Time at) {
    attempts.push_back(ca.requests().size());
    const auto before = statusOf(mail);
    if (at > clock.now()) clock.set(at);
    manager->wake();
    ASSERT_TRUE(eventually([&] {
      const auto tried = statusOf(mail);
      return tried.nextAttempt != before.nextAttempt || tried.attempts != before.attempts ||
             tried.certificate != before.certificate;
    })) << "no attempt at its time";
  }
  // Returns the time that it is then. What follows may come at once.
  Time makeDue() {
    attempts.push_back(ca.requests().size());
    const Time due = served(mail)->notAfter() - 30 * day + 1h;
    clock.set(due);
    manager->wake();
    return due;
  }

  // Orders and certificates since the last call.
  void expectBought(int orders, int issued, const char* when) {
    EXPECT_LE(ca.orders() - ordersBefore, orders) << when;
    EXPECT_LE(ca.issued() - issuedBefore, issued) << when;
    ordersBefore = ca.orders();
    issuedBefore = ca.issued();
  }

  void expectSchedule() {
    const auto requests = ca.requests();
    const int repeated = std::min(ca.nonceRejections(), mostRepetitions);
    for (const auto& trouble : troubles) {
      for (std::size_t first = trouble.begin, last = first; last < trouble.end; ++last) {
        while (requests[last].at - requests[first].at >= 1min) ++first;
        EXPECT_LE(static_cast<int>(last - first + 1), mostInAMinute + repeated)
            << "in the minute before " << rfc3339(requests[last].at);
      }
    }
    expectPolls(requests);
    EXPECT_EQ(ca.repeatedAnswers(), 0) << "a challenge was answered again";
    EXPECT_EQ(ca.deactivatedAuthorizations(), 0) << "an authorization was not left to expire";
  }

  // In one attempt an object is looked at once for what it is and three times soon after the request that started it;
  // then never under a second.
  void expectPolls(const std::vector<test::SeenRequest>& requests) const {
    for (std::size_t attempt = 0; attempt < attempts.size(); ++attempt) {
      const std::size_t end = attempt + 1 < attempts.size() ? attempts[attempt + 1] : requests.size();
      std::map<std::string, std::vector<Time>> looks;
      for (std::size_t i = attempts[attempt]; i < end; ++i) {
        const bool isLook = requests[i].stage == "authorization" || requests[i].stage == "order";
        if (isLook) looks[requests[i].url].push_back(requests[i].at);
      }
      for (const auto& [url, times] : looks) {
        int soon = 0;
        for (std::size_t i = 1; i < times.size(); ++i) soon += times[i] - times[i - 1] < 1s ? 1 : 0;
        EXPECT_LE(soon, 3 + ca.nonceRejections()) << url;
      }
    }
  }

  int ordersBefore = 0, issuedBefore = 0;
  std::size_t failsFrom = 0;             // requests that came before the failure was asked for
  std::vector<std::size_t> attempts{0};  // where in the CA's record each began
  std::vector<Trouble> troubles;
};

class Matrix : public Schedule, public ::testing::WithParamInterface<Case> {
 protected:
  // What the CA did and Postern could not know of, or could not use: the next order is one more.
  int forcedOrders() const {
    switch (GetParam().failure) {
      case Failure::ResetMidBody:
      case Failure::AnswerLost:
      case Failure::TruncatedJson:
      case Failure::WrongJson:
      case Failure::WrongContentType:
      case Failure::EndlessBody: return GetParam().stage == "newOrder" ? 1 : 0;
      case Failure::InvalidAuthorization: return 1;
      default: return unfit();
    }
  }
  // A certificate that is unfit was issued all the same.
  int unfit() const {
    switch (GetParam().failure) {
      case Failure::OtherKey:
      case Failure::OtherNames:
      case Failure::Expired:
      case Failure::NotYetValid:
      case Failure::LeafOnly:
      case Failure::Garbage: return 1;
      default: return 0;
    }
  }
  void fail() {
    failsFrom = ca.requests().size();
    ca.failNext(GetParam().stage, GetParam().failure);
  }
  // A 503 or 429 tells to come again after an hour, to whatever was asked for on the way to the certificate: that ends
  // the attempt, and no other begins before. Waiting in the attempt itself, for an authorization or an order, ends as
  // well, because the time told is beyond its bound. Requests of the account's own and for renewal information, which
  // hold no certificate up, have their own times. False when the failure did not come up.
  bool expectRetryAfter() const {
    const auto requests = ca.requests();
    std::size_t failed = failsFrom;
    while (failed < requests.size() && requests[failed].stage != GetParam().stage) ++failed;
    for (std::size_t i = failed + 1; i < requests.size(); ++i) {
      EXPECT_GE(requests[i].at, requests[failed].at + 1h - 1s)  // a date is to the second
          << requests[i].stage << " came too early, as number " << i - failed << " after it";
    }
    return failed < requests.size();
  }
  bool tellsRetryAfter() const {
    static constexpr std::array stages{"directory", "newNonce", "newAccount", "newOrder",   "authorization",
                                       "challenge", "finalize", "order",      "certificate"};
    switch (GetParam().failure) {
      case Failure::Unavailable:
      case Failure::UnavailableDate:
      case Failure::RateLimited:
      case Failure::RateLimitedHtml: return std::find(stages.begin(), stages.end(), GetParam().stage) != stages.end();
      default: return false;
    }
  }

  // An administrator's command, which may fail when the CA does and succeeds when it is given again.
  template <class Command>
  void command(Command given) {
    for (int tries = 0; tries < 4; ++tries) {
      try {
        return given();
      } catch (const Error& error) {
        EXPECT_NE(std::string(error.what()), "");
        clock.advance(error.retryAfter ? std::max<Duration>(*error.retryAfter - clock.now(), 1min) : 1min);
      }
    }
    FAIL() << "the command fails again and again";
  }
};

TEST_P(Matrix, EndsWithACertificateAndNothingBoughtTwice) {
  const std::string stage = GetParam().stage;
  ca.offerRenewalInfo(stage == "renewalInfo");
  if (stage == "order") ca.orderPolls(2);

  fail();
  run(plan());
  obtain();
  if (HasFatalFailure()) return;
  expectBought(1 + forcedOrders(), 1 + unfit(), "first issuance");
  EXPECT_EQ(ca.accounts(), 1);
  if (tellsRetryAfter()) {
    EXPECT_TRUE(expectRetryAfter());
  }

  const auto first = served(mail);
  if (stage == "account") run(plan("hostmaster"));
  if (stage == "keyChange") command([&] { manager->rolloverAccount("main", {}); });
  if (stage == "renewalInfo") {
    ASSERT_GT(ca.count(stage), 0) << "nobody asked";
    pass(7h);
    ASSERT_TRUE(eventually([&] { return asked(*first) > 1; })) << "nobody asked again";
  }
  if (stage == "revokeCert") {
    attempts.push_back(ca.requests().size());
    command([&] { ASSERT_EQ(manager->revoke(mail[0], "", 4, {}).revoked.size(), 1U); });
    obtain(first);
    if (HasFatalFailure()) return;
    expectBought(1 + forcedOrders(), 1 + unfit(), "after the revocation");
    EXPECT_EQ(ca.revocations().size(), 1U);
  }

  fail();
  const auto second = served(mail);
  makeDue();
  obtain(second);
  if (HasFatalFailure()) return;
  expectBought(1 + 2 * forcedOrders(), 1 + 2 * unfit(), "renewal");  // what the first one did not meet comes now, too
  // The nonces and the account may be there still.
  if (tellsRetryAfter()) {
    EXPECT_TRUE(expectRetryAfter() || stage == "newNonce" || stage == "newAccount");
  }
  EXPECT_EQ(ca.accounts(), 1);
  EXPECT_GT(ca.count(stage), 0) << "this stage was not reached";
  if (stage == "account") {
    // An update that failed held nothing up; it comes with the next order, and both of ours may have been met.
    for (int more = 0; more < 2; ++more) {
      const auto last = served(mail);
      makeDue();
      obtain(last);
      if (HasFatalFailure()) return;
    }
    EXPECT_EQ(ca.contacts(), Names{"mailto:hostmaster@example.org"});
  }
  expectSchedule();
}

std::string caseName(const ::testing::TestParamInfo<Case>& info) {
  return info.param.stage + "_" + std::string(nameOf(info.param.failure));
}
INSTANTIATE_TEST_SUITE_P(Every, Matrix, ::testing::ValuesIn(allCases()), caseName);

// --- certificates that are unfit for as long as the CA issues them

class Unfit : public Schedule, public ::testing::WithParamInterface<test::WrongCertificate> {};

TEST_P(Unfit, IsNeverStoredTheOldOneStaysAndThreeOrdersFollowInTenMinutesAtMost) {
  run(plan());
  obtain();
  if (HasFatalFailure()) return;
  const auto before = served(mail);
  ca.wrongCertificate(GetParam());
  const int orders = ca.orders();
  const Time begun = makeDue();
  for (;;) {
    waitFor(mail);
    ASSERT_EQ(served(mail), before);
    const auto next = statusOf(mail).nextAttempt;
    ASSERT_TRUE(next);
    if (*next >= begun + 10min) break;
    tryAgain(*next);
    if (HasFatalFailure()) return;
  }
  EXPECT_GE(ca.orders(), orders + 1);
  EXPECT_LE(ca.orders(), orders + 3);
  EXPECT_EQ(support::entriesIn(folderOf(mail) / "generations"), 1U);
  EXPECT_EQ(statusOf(mail).state, CertificateState::Valid);
  ASSERT_TRUE(statusOf(mail).lastError);
  EXPECT_EQ(statusOf(mail).lastError->type, "postern:certificate");

  ca.wrongCertificate(std::nullopt);
  obtain(before);
  EXPECT_EQ(support::entriesIn(folderOf(mail) / "generations"), 2U);
}

std::string wrongName(const ::testing::TestParamInfo<test::WrongCertificate>& info) {
  constexpr std::array names{"OtherKey", "OtherNames", "MissingName", "Expired",   "NotYetValid",
                             "LeafOnly", "Garbage",    "WrongOrder",  "ClientOnly"};
  return names.at(static_cast<std::size_t>(info.param));
}
INSTANTIATE_TEST_SUITE_P(Certificate, Unfit,
                         ::testing::Values(test::WrongCertificate::OtherKey, test::WrongCertificate::OtherNames,
                                           test::WrongCertificate::MissingName, test::WrongCertificate::Expired,
                                           test::WrongCertificate::NotYetValid, test::WrongCertificate::LeafOnly,
                                           test::WrongCertificate::Garbage, test::WrongCertificate::WrongOrder,
                                           test::WrongCertificate::ClientOnly),
                         wrongName);

// --- a CA that is slow

TEST_F(Schedule, PollsAtFiftyAHundredAndFiftyAndFourHundredMillisecondsAndThenEverySlower) {
  ca.authorizationPolls(8);
  ca.orderPolls(8);
  run(plan());
  obtain();
  if (HasFatalFailure()) return;
  EXPECT_EQ(ca.orders(), 1);
  EXPECT_EQ(ca.issued(), 1);
  expectSchedule();
  std::vector<Duration> pauses;
  Time last{};
  for (const auto& each : ca.requests()) {
    if (each.stage == "order" && last != Time{}) pauses.push_back(each.at - last);
    if (each.stage == "finalize" || each.stage == "order") last = each.at;
  }
  ASSERT_GE(pauses.size(), 6U);
  EXPECT_EQ(pauses[0], 50ms);
  EXPECT_EQ(pauses[1], 100ms);
  EXPECT_EQ(pauses[2], 250ms);
  EXPECT_GE(pauses[3], 1s);
  EXPECT_GT(pauses[5], pauses[3]);
}

TEST_F(Schedule, PollsNoFasterWhenToldToRetryAfterZeroSeconds) {
  ca.authorizationPolls(8);
  ca.orderPolls(8);
  ca.pollRetryAfter(0s);
  run(plan());
  obtain();
  if (HasFatalFailure()) return;
  expectSchedule();
  std::map<std::string, std::vector<Time>> looks;
  for (const auto& each : ca.requests()) {
    if (each.stage == "order" || each.stage == "authorization") looks[each.url].push_back(each.at);
  }
  for (const auto& [url, times] : looks) {
    int early = 0;
    Duration before{};
    for (std::size_t i = 1; i < times.size(); ++i) {
      const Duration gap = times[i] - times[i - 1];
      early += gap < 1s ? 1 : 0;
      EXPECT_GE(gap, before) << url;
      before = gap;
    }
    EXPECT_LE(early, 3) << url;
    EXPECT_GT(before, 4s) << url << " was looked at " << times.size() << " times";
  }
}

TEST_F(Schedule, AFailingCertificateCostsTenRequestsAMinuteForAsLongAsItFails) {
  ca.unresolvable(mail[0]);
  run(plan());
  waitFor(mail);
  const std::size_t failedAt = ca.requests().size();
  for (int attempt = 0; attempt < 8; ++attempt) {
    const auto next = statusOf(mail).nextAttempt;
    ASSERT_TRUE(next);
    tryAgain(*next);
    if (HasFatalFailure()) return;
    waitFor(mail);
  }
  troubles.push_back({failedAt, ca.requests().size()});
  EXPECT_GT(ca.orders(), 3);
  expectSchedule();
}

TEST_F(Schedule, AFailingCertificateOfManyNamesCostsNoMoreAndComesInTheEnd) {
  Names many;
  for (int i = 0; i < 40; ++i) many.push_back("n" + std::to_string(i) + ".example.org");
  Plan wanted = plan();
  wanted.certificates = {{"main", many}};
  ca.unresolvable(many.back());
  run(wanted);
  EXPECT_FALSE(waitFor(many));
  const std::size_t failedAt = ca.requests().size();
  ca.mendName(many.back());
  manager->renew({many, "", false});
  EXPECT_TRUE(waitFor(many)) << "the deadline leaves the time that the pace takes";
  troubles.push_back({failedAt, ca.requests().size()});
  EXPECT_GT(ca.requests().size() - failedAt, 80U);
  expectSchedule();
}

}  // namespace
}  // namespace postern::acme
