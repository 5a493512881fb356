#include "acme/manager.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <functional>
#include <thread>

#include "acme/storage.h"
#include "tests/support/fake_ca.h"
#include "tests/support/fake_clock.h"
#include "tests/support/temporary_folder.h"

namespace postern::acme {
namespace {

using namespace std::chrono_literals;
using test::Failure;
using Names = std::vector<std::string>;
namespace fs = std::filesystem;

constexpr auto day = 24h;

class ManagerTest : public ::testing::Test {
 protected:
  ManagerTest() {
    LogSettings settings;
    settings.level = LogLevel::Debug;
    settings.file = folder / "log";
    if (std::string failed = log.configure(settings); !failed.empty()) throw std::runtime_error(failed);
    restart();
  }
  ~ManagerTest() override {
    ca.release();
    otherCa.release();
  }

  Provider provider(const std::string& name = "main") const {
    Provider made;
    made.name = name;
    made.directory = name == "other" ? otherCa.directoryUrl() : ca.directoryUrl();
    made.cache = folder / "cache";
    made.contact = {"mailto:postmaster@example.org"};
    return made;
  }
  Plan wanting(const std::vector<Names>& certificates) const {
    Plan plan;
    plan.providers = {provider(), provider("other")};
    for (const auto& names : certificates) plan.certificates.push_back({"main", names});
    return plan;
  }
  static tls::CertificateId id(const Names& names, const std::string& provider = "main") {
    return tls::acmeCertificate(provider, names);
  }

  // As the process would end and begin again: nothing but the disk stays.
  void restart() {
    manager.reset();
    store = std::make_unique<tls::CertificateStore>();
    manager = std::make_unique<Manager>(
        Manager::Parts{clock, log, *store, challenges, test::FakeCa::factory({&ca, &otherCa})});
  }
  void run(const Plan& plan) {
    manager->apply(plan);
    manager->start();
  }
  bool waitFor(const Names& names, const std::string& provider = "main") {
    return manager->waitFor({id(names, provider)}, {});
  }
  // Looks until it is so, or half a minute has gone by.
  static bool eventually(const std::function<bool()>& isSo) {
    for (const auto end = std::chrono::steady_clock::now() + 30s; std::chrono::steady_clock::now() < end;) {
      if (isSo()) return true;
      std::this_thread::sleep_for(2ms);
    }
    return isSo();
  }
  // When this returns, the deciding thread has looked at every certificate of `plan`: one of another provider that was
  // not there before has come.
  void letDecide(Plan plan) {
    const Names probe{"probe" + std::to_string(++probes) + ".example.org"};
    plan.certificates.push_back({"other", probe});
    run(plan);
    ASSERT_TRUE(waitFor(probe, "other"));
  }
  void pass(Duration time) {
    clock.advance(time);
    manager->wake();
  }

  tls::CertifiedKeyRef served(const Names& names, const std::string& provider = "main") const {
    return store->current()->find(id(names, provider));
  }
  CertificateStatus statusOf(const Names& names, const std::string& provider = "main") const {
    for (auto& each : manager->status().certificates) {
      if (each.id == id(names, provider)) return each;
    }
    ADD_FAILURE() << names.front() << " is not in the status";
    return {};
  }
  fs::path folderOf(const Names& names) const {
    return folder / "cache" / directoryFolderName(ca.directoryUrl()) / "certificates" / nameSetHash(names) /
           names.front() / "ecdsa-p256";
  }
  std::string logged() const { return support::contentOf(folder / "log"); }
  int timesLogged(const std::string& part) const {
    int count = 0;
    const std::string text = logged();
    for (auto at = text.find(part); at != std::string::npos; at = text.find(part, at + 1)) ++count;
    return count;
  }

  const Names mail{"mail.example.org"}, imap{"imap.example.org", "pop.example.org"};
  support::TemporaryFolder folder;
  testing::FakeClock clock;
  Log log;
  tls::AlpnChallenges challenges;
  test::FakeCa ca{clock, &challenges}, otherCa{clock, &challenges, "other.test"};
  std::unique_ptr<tls::CertificateStore> store;
  std::unique_ptr<Manager> manager;
  int probes = 0;
};

TEST_F(ManagerTest, ObtainsWhatIsWantedAndPublishesIt) {
  run(wanting({mail, imap}));
  ASSERT_TRUE(manager->waitFor({id(mail), id(imap)}, {}));
  ASSERT_TRUE(served(mail));
  ASSERT_TRUE(served(imap));
  EXPECT_EQ(served(imap)->names().size(), 2U);
  EXPECT_EQ(ca.accounts(), 1);
  EXPECT_EQ(ca.orders(), 2);
  const auto status = statusOf(mail);
  EXPECT_EQ(status.state, CertificateState::Valid);
  EXPECT_EQ(status.names, mail);
  EXPECT_EQ(status.keyType, "ecdsa-p256");
  EXPECT_EQ(status.certificate, served(mail));
  EXPECT_EQ(status.renewReason, RenewReason::Lifetime);
  EXPECT_EQ(status.nextAttempt, status.renewAt);
  EXPECT_EQ(status.attempts, 0);
  EXPECT_FALSE(status.lastError);
  const auto providers = manager->status().providers;
  ASSERT_EQ(providers.size(), 2U);
  EXPECT_EQ(providers[0].state, ProviderStatus::State::Ok);
  EXPECT_TRUE(providers[0].account.starts_with("https://ca.test/"));
  EXPECT_EQ(providers[1].state, ProviderStatus::State::Unknown);
  EXPECT_EQ(providers[1].account, "");
  EXPECT_EQ(timesLogged("acme.order.valid"), 2);
  EXPECT_NE(logged().find(served(mail)->serial()), std::string::npos);
  EXPECT_EQ(timesLogged("https://ca.test/terms"), 1);
  EXPECT_TRUE(fs::exists(folderOf(mail) / "current/fullchain.pem"));
}

TEST_F(ManagerTest, OrdersNothingBeforeItIsStarted) {
  manager->apply(wanting({mail}));
  EXPECT_EQ(statusOf(mail).state, CertificateState::Pending);
  manager->wake();
  restart();
  EXPECT_EQ(ca.total(), 0);
}

TEST_F(ManagerTest, ServesFromTheCacheAtOnceAndAsksTheCaForNothing) {
  run(wanting({mail, imap}));
  ASSERT_TRUE(manager->waitFor({id(mail), id(imap)}, {}));
  const std::string serial = served(mail)->serial();
  restart();
  const int before = ca.total();
  manager->apply(wanting({mail, imap}));
  ASSERT_TRUE(served(mail));  // before start()
  EXPECT_EQ(served(mail)->serial(), serial);
  EXPECT_TRUE(served(imap));
  EXPECT_NE(manager->status().providers[0].account, "");
  letDecide(wanting({mail, imap}));
  EXPECT_EQ(ca.total(), before);
}

TEST_F(ManagerTest, RenewsWhenAThirdOfTheLifetimeIsLeft) {
  run(wanting({mail}));
  ASSERT_TRUE(waitFor(mail));
  const auto first = served(mail);
  pass(59 * day);
  letDecide(wanting({mail}));
  EXPECT_EQ(ca.orders(), 1);
  pass(1 * day + 1h);
  ASSERT_TRUE(waitFor(mail));
  EXPECT_NE(served(mail)->serial(), first->serial());
  EXPECT_NE(EVP_PKEY_eq(served(mail)->key(), first->key()), 1);
  EXPECT_EQ(ca.orders(), 2);
  EXPECT_TRUE(fs::exists(folderOf(mail) / "generations/1"));
  EXPECT_EQ(fs::read_symlink(folderOf(mail) / "current"), "generations/2");
}

TEST_F(ManagerTest, RenewsCertificatesOfAMinuteWithoutALoop) {
  ca.lifetime(60s);
  Plan plan = wanting({mail});
  plan.providers[0].renewBefore = 30 * day;
  run(plan);
  ASSERT_TRUE(waitFor(mail));
  for (int renewals = 1; renewals <= 5; ++renewals) {
    const auto renewAt = statusOf(mail).renewAt;
    ASSERT_TRUE(renewAt);
    ASSERT_GT(*renewAt, clock.now() + 15s);
    pass(*renewAt - clock.now() + 1s);
    ASSERT_TRUE(waitFor(mail));
    letDecide(plan);
    ASSERT_EQ(ca.issued(), renewals + 1);
  }
}

TEST_F(ManagerTest, DoesNotHoldOthersUpForNamesThatFail) {
  std::vector<Names> all;
  for (int i = 0; i < 12; ++i) {
    all.push_back({"gone" + std::to_string(i) + ".example.org"});
    ca.unresolvable(all.back().front());
  }
  all.push_back(mail);
  run(wanting(all));
  ASSERT_TRUE(waitFor(mail));
  EXPECT_TRUE(served(mail));
  EXPECT_FALSE(waitFor(all.front()));
  const auto status = statusOf(all.front());
  EXPECT_EQ(status.state, CertificateState::Failing);
  EXPECT_EQ(status.attempts, 1);
  ASSERT_TRUE(status.lastError);
  EXPECT_EQ(status.lastError->type, "urn:ietf:params:acme:error:dns");
  EXPECT_EQ(status.lastError->name, all.front().front());
  ASSERT_TRUE(status.nextAttempt);
  EXPECT_GE(*status.nextAttempt, status.lastError->at + 5min);
  EXPECT_LE(*status.nextAttempt, status.lastError->at + 7min);
  EXPECT_EQ(manager->status().providers[0].state, ProviderStatus::State::Ok);
}

TEST_F(ManagerTest, WarnsOfAFailureWithItsReasonItsRemedyAndWhatComesNext) {
  ca.unresolvable(mail.front());
  run(wanting({mail}));
  EXPECT_FALSE(waitFor(mail));
  const std::string text = logged();
  const auto begin = text.find("acme.order.failed");
  ASSERT_NE(begin, std::string::npos);
  const std::string line = text.substr(text.rfind('\n', begin) + 1, text.find('\n', begin) - text.rfind('\n', begin));
  for (const auto& part : {std::string("warn"), mail.front(), std::string("dns"), std::string("AAAA"),
                           rfc3339(*statusOf(mail).nextAttempt)}) {
    EXPECT_NE(line.find(part), std::string::npos) << part << " in " << line;
  }
}

TEST_F(ManagerTest, DoesNotHoldAProviderUpForAnotherThatHangs) {
  ca.failNext("", Failure::Hang, 1000);
  ca.failNext("directory", Failure::Hang, 1000);
  Plan plan = wanting({mail, imap});
  plan.certificates.push_back({"other", {"a.example.org"}});
  run(plan);
  ASSERT_TRUE(waitFor({"a.example.org"}, "other"));
  EXPECT_EQ(statusOf(mail).state, CertificateState::Issuing);
  manager.reset();  // ends the hanging orders at once
  EXPECT_EQ(ca.issued(), 0);
}

TEST_F(ManagerTest, EndsAnOrderThatHangsAtItsDeadline) {
  ca.failNext("newOrder", Failure::Hang);
  run(wanting({mail}));
  ASSERT_TRUE(eventually([&] { return ca.count("newOrder") == 1; }));
  pass(16min);
  EXPECT_FALSE(waitFor(mail));
  const auto status = statusOf(mail);
  ASSERT_TRUE(status.lastError);
  EXPECT_EQ(status.lastError->type, "postern:timeout");
  EXPECT_EQ(manager->status().providers[0].state, ProviderStatus::State::Failing);
  pass(1min);
  EXPECT_TRUE(waitFor(mail));
}

TEST_F(ManagerTest, RunsAtMostEightOrdersOfAProviderAtATime) {
  std::vector<Names> all;
  for (int i = 0; i < 12; ++i) all.push_back({"n" + std::to_string(i) + ".example.org"});
  ca.failNext("newOrder", Failure::Hang, 1000);
  run(wanting(all));
  ASSERT_TRUE(eventually([&] { return ca.count("newOrder") == 8; }));
  letDecide(wanting(all));
  const auto certificates = manager->status().certificates;
  const auto issuing = std::count_if(certificates.begin(), certificates.end(),
                                     [](const auto& each) { return each.state == CertificateState::Issuing; });
  EXPECT_EQ(issuing, 8);
  ca.release();
  for (const auto& names : all) EXPECT_TRUE(waitFor(names));
}

TEST_F(ManagerTest, RemembersTheBackOffOverARestart) {
  ca.unresolvable(mail.front());
  run(wanting({mail}));
  EXPECT_FALSE(waitFor(mail));
  const auto before = statusOf(mail);
  const int orders = ca.count("newOrder");
  restart();
  letDecide(wanting({mail}));
  EXPECT_EQ(ca.count("newOrder"), orders);
  const auto after = statusOf(mail);
  EXPECT_EQ(after.state, CertificateState::Failing);
  EXPECT_EQ(after.attempts, 1);
  EXPECT_EQ(rfc3339(*after.nextAttempt), rfc3339(*before.nextAttempt));
  pass(10min);
  EXPECT_FALSE(waitFor(mail));
  EXPECT_EQ(statusOf(mail).attempts, 2);
  EXPECT_EQ(ca.count("newOrder"), orders + 1);
}

TEST_F(ManagerTest, ObeysARateLimitOverARestart) {
  ca.retryAfter(3h);
  ca.failNext("newOrder", Failure::RateLimited);
  run(wanting({mail}));
  EXPECT_FALSE(waitFor(mail));
  const auto told = statusOf(mail);
  EXPECT_GE(*told.nextAttempt, told.lastError->at + 3h - 1s);
  restart();
  pass(2h);
  letDecide(wanting({mail}));
  EXPECT_EQ(ca.count("newOrder"), 1);
  pass(1h + 1min);
  EXPECT_TRUE(waitFor(mail));
  EXPECT_TRUE(served(mail));
}

TEST_F(ManagerTest, TriesAgainWithinSecondsAfterATroubleOfTheNetwork) {
  ca.failNext("directory", Failure::Refused);
  run(wanting({mail}));
  EXPECT_FALSE(waitFor(mail));
  const auto status = statusOf(mail);
  EXPECT_LE(*status.nextAttempt, status.lastError->at + 13s);
  pass(13s);
  EXPECT_TRUE(waitFor(mail));
  EXPECT_EQ(statusOf(mail).attempts, 0);
  EXPECT_FALSE(statusOf(mail).lastError);
}

TEST_F(ManagerTest, TriesARefusalAgainOnlyAfterADayOrAChangedConfiguration) {
  ca.refuseNext("rejectedIdentifier", "newOrder", 2);
  run(wanting({mail}));
  EXPECT_FALSE(waitFor(mail));
  EXPECT_GE(*statusOf(mail).nextAttempt, clock.now() + 23h);
  letDecide(wanting({mail}));  // applied again, unchanged
  EXPECT_EQ(ca.count("newOrder"), 1);
  Plan changed = wanting({mail});
  changed.providers[0].contact = {"mailto:other@example.org"};
  manager->apply(changed);
  EXPECT_FALSE(waitFor(mail));
  EXPECT_EQ(ca.count("newOrder"), 2);
  pass(31h);
  EXPECT_TRUE(waitFor(mail));
}

TEST_F(ManagerTest, RenewSaysWhenACertificateIsDueAndForceOrdersAllTheSame) {
  run(wanting({mail, imap}));
  ASSERT_TRUE(manager->waitFor({id(mail), id(imap)}, {}));
  const std::string serial = served(imap)->serial();
  auto answer = manager->renew({{"POP.example.org"}, "", false});
  ASSERT_EQ(answer.certificates.size(), 1U);
  EXPECT_EQ(answer.certificates[0].id, id(imap));
  EXPECT_FALSE(answer.certificates[0].ordered);
  EXPECT_EQ(answer.certificates[0].words, "not due before " + rfc3339(*statusOf(imap).renewAt));

  answer = manager->renew({{"pop.example.org"}, "main", true});
  ASSERT_EQ(answer.certificates.size(), 1U);
  EXPECT_TRUE(answer.certificates[0].ordered);
  ASSERT_TRUE(waitFor(imap));
  EXPECT_NE(served(imap)->serial(), serial);
  EXPECT_EQ(ca.orders(), 3);
  EXPECT_EQ(statusOf(imap).renewReason, RenewReason::Lifetime);

  EXPECT_TRUE(manager->renew({{"nobody.example.org"}, "", true}).certificates.empty());
  EXPECT_TRUE(manager->renew({mail, "other", true}).certificates.empty());
  EXPECT_EQ(manager->renew({{}, "", false}).certificates.size(), 2U);
}

TEST_F(ManagerTest, RenewForgetsTheBackOffOfAFailingCertificate) {
  ca.unresolvable(mail.front());
  run(wanting({mail}));
  EXPECT_FALSE(waitFor(mail));
  ca.mendName(mail.front());
  const auto answer = manager->renew({mail, "", false});
  ASSERT_EQ(answer.certificates.size(), 1U);
  EXPECT_TRUE(answer.certificates[0].ordered);
  EXPECT_TRUE(waitFor(mail));
  EXPECT_EQ(statusOf(mail).state, CertificateState::Valid);
}

TEST_F(ManagerTest, RenewCountsAnOrderUnderWayAsOrdered) {
  ca.failNext("newOrder", Failure::Hang);
  run(wanting({mail}));
  ASSERT_TRUE(eventually([&] { return ca.count("newOrder") == 1; }));
  const auto answer = manager->renew({mail, "", true});
  ASSERT_EQ(answer.certificates.size(), 1U);
  EXPECT_TRUE(answer.certificates[0].ordered);
  ca.release();
  EXPECT_TRUE(waitFor(mail));
  letDecide(wanting({mail}));
  EXPECT_EQ(ca.count("newOrder"), 1);
}

TEST_F(ManagerTest, WaitsOnlyAsLongAsItIsNotStopped) {
  ca.failNext("newOrder", Failure::Hang);
  run(wanting({mail}));
  std::stop_source stop;
  std::jthread stopper([&] {
    eventually([&] { return ca.count("newOrder") == 1; });
    stop.request_stop();
  });
  EXPECT_FALSE(manager->waitFor({id(mail)}, stop.get_token()));
  EXPECT_FALSE(manager->waitFor({id({"nobody.example.org"})}, {}));
}

TEST_F(ManagerTest, KeepsTheOldCertificateValidWhenARenewalFails) {
  run(wanting({mail}));
  ASSERT_TRUE(waitFor(mail));
  const auto first = served(mail);
  ca.unresolvable(mail.front());
  manager->renew({mail, "", true});
  EXPECT_FALSE(waitFor(mail));
  EXPECT_EQ(served(mail), first);
  EXPECT_EQ(statusOf(mail).state, CertificateState::Valid);
  EXPECT_EQ(statusOf(mail).attempts, 1);
  EXPECT_TRUE(statusOf(mail).lastError);
}

TEST_F(ManagerTest, EndsTheOrderOfACertificateThatIsNoLongerWanted) {
  run(wanting({imap}));
  ASSERT_TRUE(waitFor(imap));
  ca.failNext("challenge", Failure::Hang);
  manager->apply(wanting({mail, imap}));
  ASSERT_TRUE(eventually([&] { return challenges.find(mail.front()) != nullptr; }));
  std::jthread waiting([&] { EXPECT_FALSE(waitFor(mail)); });
  manager->apply(wanting({imap}));
  EXPECT_EQ(manager->status().certificates.size(), 1U);
  EXPECT_TRUE(eventually([&] { return challenges.find(mail.front()) == nullptr; }));
  EXPECT_TRUE(served(imap));
}

TEST_F(ManagerTest, WithdrawsWhatNobodyWantsButKeepsItOnDisk) {
  run(wanting({mail, imap}));
  ASSERT_TRUE(manager->waitFor({id(mail), id(imap)}, {}));
  const std::string serial = served(mail)->serial();
  manager->apply(wanting({imap}));
  EXPECT_FALSE(served(mail));
  EXPECT_TRUE(served(imap));
  manager->apply(wanting({mail, imap}));
  ASSERT_TRUE(served(mail));
  EXPECT_EQ(served(mail)->serial(), serial);
  EXPECT_EQ(ca.orders(), 2);
}

TEST_F(ManagerTest, LetsTheOrderOfAnUnchangedCertificateGoOn) {
  ca.failNext("newOrder", Failure::Hang);
  run(wanting({mail}));
  ASSERT_TRUE(eventually([&] { return ca.count("newOrder") == 1; }));
  Plan plan = wanting({mail});
  plan.providers[0].renewBefore = 10 * day;
  letDecide(plan);
  ca.release();
  EXPECT_TRUE(waitFor(mail));
  EXPECT_EQ(ca.count("newOrder"), 1);
  EXPECT_EQ(statusOf(mail).renewReason, RenewReason::RenewBefore);
}

TEST_F(ManagerTest, IssuesTheFirstCertificateForThePendingKey) {
  manager->apply(wanting({mail}));
  const auto key = manager->pendingKey(id(mail));
  ASSERT_TRUE(key);
  EXPECT_FALSE(manager->pendingKey(id({"nobody.example.org"})));
  manager->start();
  ASSERT_TRUE(waitFor(mail));
  EXPECT_EQ(EVP_PKEY_eq(served(mail)->key(), key.get()), 1);
  EXPECT_FALSE(fs::exists(folderOf(mail) / "pending-key.pem"));
}

TEST_F(ManagerTest, SharesEverythingBetweenSectionsOfOneDirectoryAndCache) {
  Plan plan = wanting({mail});
  Provider twin = provider("twin");
  fs::create_directory(folder / "cache");
  fs::create_directory_symlink(folder / "cache", folder / "by-another-path");
  twin.cache = (folder / "by-another-path/").string();
  plan.providers.push_back(twin);
  plan.certificates.push_back({"twin", mail});
  plan.certificates.push_back({"twin", {"pop.example.org", "imap.example.org"}});
  run(plan);
  ASSERT_TRUE(waitFor(mail, "twin"));
  ASSERT_TRUE(waitFor(imap, "twin"));
  EXPECT_EQ(served(mail), served(mail, "twin"));
  EXPECT_EQ(ca.accounts(), 1);
  EXPECT_EQ(ca.orders(), 2);
  EXPECT_EQ(manager->status().certificates.size(), 3U);
  // One section less: the other one's stays.
  plan.certificates.erase(plan.certificates.begin());
  manager->apply(plan);
  EXPECT_FALSE(served(mail));
  EXPECT_TRUE(served(mail, "twin"));
}

TEST_F(ManagerTest, TakesASetInAnotherOrderForTheSameCertificate) {
  run(wanting({imap}));
  ASSERT_TRUE(waitFor(imap));
  restart();
  const Names turned{imap[1], imap[0]};
  letDecide(wanting({turned}));
  EXPECT_TRUE(served(imap));
  EXPECT_EQ(ca.orders(), 1);
  EXPECT_EQ(statusOf(imap).names, turned);
}

TEST_F(ManagerTest, FindsALostAccountUrlAgainByItsKey) {
  run(wanting({mail}));
  ASSERT_TRUE(waitFor(mail));
  const std::string account = manager->status().providers[0].account;
  const fs::path accounts = folder / "cache" / directoryFolderName(ca.directoryUrl()) / "accounts";
  support::write(fs::directory_iterator(accounts)->path() / "account.json", "garbage");
  restart();
  run(wanting({mail, imap}));
  ASSERT_TRUE(waitFor(imap));
  EXPECT_EQ(ca.accounts(), 1);
  EXPECT_EQ(manager->status().providers[0].account, account);
}

TEST_F(ManagerTest, MakesANewAccountWithAWarningWhenTheKeyIsLost) {
  run(wanting({mail}));
  ASSERT_TRUE(waitFor(mail));
  const fs::path accounts = folder / "cache" / directoryFolderName(ca.directoryUrl()) / "accounts";
  fs::remove(fs::directory_iterator(accounts)->path() / "privkey.pem");
  restart();
  run(wanting({mail, imap}));
  ASSERT_TRUE(waitFor(imap));
  EXPECT_EQ(ca.accounts(), 2);
  EXPECT_NE(logged().find("acme.account.key-lost"), std::string::npos);
}

TEST_F(ManagerTest, RegistersAnewWithinTheOrderWhenTheCaHasLostItsAccounts) {
  run(wanting({mail}));
  ASSERT_TRUE(waitFor(mail));
  ca.forgetAccounts();
  ca.forgetOrders();
  manager->renew({mail, "", true});
  EXPECT_TRUE(waitFor(mail));
  EXPECT_EQ(ca.accounts(), 2);
  EXPECT_EQ(ca.orders(), 2);
  EXPECT_EQ(timesLogged("acme.order.failed"), 0);
}

TEST_F(ManagerTest, MakesOneAccountForOrdersThatBeginTogether) {
  std::vector<Names> all;
  for (int i = 0; i < 8; ++i) all.push_back({"n" + std::to_string(i) + ".example.org"});
  run(wanting(all));
  for (const auto& names : all) EXPECT_TRUE(waitFor(names));
  EXPECT_EQ(ca.count("newAccount"), 1);
}

TEST_F(ManagerTest, UpdatesTheAccountWhenTheContactChanges) {
  run(wanting({mail}));
  ASSERT_TRUE(waitFor(mail));
  Plan plan = wanting({mail});
  plan.providers[0].contact = {"mailto:new@example.org"};
  manager->apply(plan);
  manager->renew({mail, "", true});
  ASSERT_TRUE(waitFor(mail));
  EXPECT_EQ(ca.accounts(), 1);
  EXPECT_EQ(ca.contacts(), Names{"mailto:new@example.org"});
}

TEST_F(ManagerTest, OrdersNothingWhileTheCacheCannotBeWrittenAndGoesOnWhenItCan) {
  manager->prepare(wanting({mail}));
  // What stops root as well: a folder where the probe must be written.
  const fs::path inTheWay = folder / "cache" / (".tmp.probe." + std::to_string(getpid()));
  fs::create_directory(inTheWay);
  run(wanting({mail}));
  EXPECT_FALSE(waitFor(mail));
  EXPECT_EQ(ca.total(), 0);
  EXPECT_EQ(statusOf(mail).lastError->type, "postern:storage");
  EXPECT_EQ(manager->status().providers[0].lastError->type, "postern:storage");
  EXPECT_LE(*statusOf(mail).nextAttempt, clock.now() + 75s);
  fs::remove(inTheWay);
  pass(75s);
  EXPECT_TRUE(waitFor(mail));
  EXPECT_EQ(manager->status().providers[0].state, ProviderStatus::State::Ok);
}

TEST_F(ManagerTest, ResumesAnOrderThatTheEndOfTheProcessInterrupted) {
  ca.failNext("finalize", Failure::Hang);
  run(wanting({mail}));
  ASSERT_TRUE(eventually([&] { return ca.count("finalize") == 1; }));
  restart();
  EXPECT_TRUE(fs::exists(folderOf(mail) / "pending-order.json"));
  run(wanting({mail}));
  EXPECT_TRUE(waitFor(mail));
  EXPECT_EQ(ca.orders(), 1);
  EXPECT_EQ(ca.issued(), 1);
}

TEST_F(ManagerTest, ResumesAForcedRenewalAfterARestartAlthoughNothingIsDue) {
  run(wanting({mail}));
  ASSERT_TRUE(waitFor(mail));
  const std::string serial = served(mail)->serial();
  ca.failNext("finalize", Failure::Hang);
  manager->renew({mail, "", true});
  ASSERT_TRUE(eventually([&] { return ca.count("finalize") == 2; }));
  restart();
  run(wanting({mail}));
  EXPECT_TRUE(waitFor(mail));
  EXPECT_EQ(ca.orders(), 2);
  EXPECT_NE(served(mail)->serial(), serial);
}

TEST_F(ManagerTest, OrdersAnewWhenNothingInTheCacheCanBeRead) {
  run(wanting({mail}));
  ASSERT_TRUE(waitFor(mail));
  restart();
  for (const auto& entry : fs::recursive_directory_iterator(folder / "cache")) {
    if (entry.is_regular_file()) support::write(entry.path(), "garbage");
  }
  run(wanting({mail}));
  EXPECT_TRUE(waitFor(mail));
  EXPECT_TRUE(served(mail));
  EXPECT_EQ(ca.orders(), 2);
}

TEST_F(ManagerTest, ServesAnExpiredCertificateAndSaysSo) {
  run(wanting({mail}));
  ASSERT_TRUE(waitFor(mail));
  restart();
  clock.advance(100 * day);
  ca.failNext("directory", Failure::Refused, 1000);
  ca.failNext("", Failure::Refused, 1000);
  run(wanting({mail}));
  EXPECT_FALSE(waitFor(mail));
  EXPECT_TRUE(served(mail));
  EXPECT_EQ(statusOf(mail).state, CertificateState::Expired);
  EXPECT_EQ(timesLogged("acme.certificate.expired"), 1);
}

TEST_F(ManagerTest, ShowsCachedCertificatesUnderTheirProvider) {
  Plan plan = wanting({mail});
  plan.certificates.push_back({"other", imap});
  run(plan);
  ASSERT_TRUE(manager->waitFor({id(mail), id(imap, "other")}, {}));
  restart();
  manager->apply(wanting({}));
  EXPECT_TRUE(store->current()->all().empty());
  const auto cached = manager->cached();
  ASSERT_EQ(cached.size(), 2U);
  for (const auto& [source, certificate] : cached) {
    EXPECT_EQ(source, certificate->covers(mail.front()) ? "acme:main" : "acme:other");
  }
  // The section has gone over to another directory: what it got before is still its own.
  Plan moved = wanting({});
  moved.providers.resize(1);
  moved.providers[0].directory = "https://third.test/directory";
  manager->apply(moved);
  ASSERT_EQ(manager->cached().size(), 2U);
  EXPECT_EQ(manager->cached()[0].first, "acme:main");
}

TEST_F(ManagerTest, RefusesACacheThatIsInUseAndStaysAsItIs) {
  run(wanting({mail}));
  ASSERT_TRUE(waitFor(mail));
  Storage taken(folder / "taken", log);
  Plan plan = wanting({mail, imap});
  plan.providers[1].cache = folder / "taken";
  EXPECT_THROW(manager->prepare(plan), StorageUnavailable);
  EXPECT_THROW(manager->apply(plan), StorageUnavailable);
  EXPECT_EQ(manager->status().certificates.size(), 1U);
  EXPECT_TRUE(served(mail));
}

TEST_F(ManagerTest, ClosesACacheThatWasPreparedAndIsNotWanted) {
  Plan plan = wanting({});
  plan.providers[1].cache = folder / "second";
  manager->prepare(plan);
  EXPECT_THROW(Storage(folder / "second", log), StorageUnavailable);
  manager->apply(wanting({}));
  EXPECT_NO_THROW(Storage(folder / "second", log));
}

TEST_F(ManagerTest, WarnsOnceOfARenewBeforeThatIsLongerThanTheCertificateAllows) {
  Plan plan = wanting({mail, imap});
  plan.providers[0].renewBefore = 80 * day;
  run(plan);
  ASSERT_TRUE(manager->waitFor({id(mail), id(imap)}, {}));
  manager->apply(plan);
  EXPECT_EQ(timesLogged("acme.renew-before.cut"), 1);
  EXPECT_EQ(statusOf(mail).renewAt,
            served(mail)->notAfter() - (served(mail)->notAfter() - served(mail)->notBefore()) / 3);
}

TEST_F(ManagerTest, NeverLogsAKey) {
  run(wanting({mail}));
  ASSERT_TRUE(waitFor(mail));
  EXPECT_EQ(logged().find("PRIVATE KEY"), std::string::npos);
}

}  // namespace
}  // namespace postern::acme
