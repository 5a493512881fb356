// What the manager does with plans, accounts and its cache: what changes, is shared, lost, damaged or interrupted.
#include "tests/acme/manager_fixture.h"

namespace postern::acme {
namespace {

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

TEST_F(ManagerTest, BacksOffOnDiskFromAValidationThatFailedWhileNobodyWasThere) {
  ca.authorizationPolls(100'000);
  ca.unresolvable(mail[0]);
  run(wanting({mail}));
  ASSERT_FALSE(waitFor(mail));  // the CA takes too long, and the order waits for the next attempt
  ASSERT_TRUE(fs::exists(folderOf(mail) / "pending-order.json"));
  const Time resumes = *statusOf(mail).nextAttempt;
  manager.reset();
  ca.decideAuthorizations();
  ca.authorizationPolls(0);
  clock.set(resumes);
  restart();
  run(wanting({mail}));
  ASSERT_FALSE(waitFor(mail));
  EXPECT_EQ(ca.orders(), 1) << "none in the attempt that found the failure";
  EXPECT_EQ(statusOf(mail).lastError->type, "urn:ietf:params:acme:error:dns");
  const Time next = *statusOf(mail).nextAttempt;
  EXPECT_GE(next, clock.now() + 1min);
  for (int starts = 0; starts < 3; ++starts) {
    restart();
    letDecide(wanting({mail}));
    EXPECT_GE(*statusOf(mail).nextAttempt, next - 1s);  // on disk to the second
  }
  EXPECT_EQ(ca.orders(), 1);
  clock.set(next);
  manager->wake();
  ASSERT_TRUE(eventually([&] { return ca.orders() == 2; }));
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

TEST_F(ManagerTest, SaysNothingOfARenewBeforeThatIsAnHourTooLong) {
  Plan plan = wanting({mail});
  plan.providers[0].renewBefore = 30 * day + 1h;  // of 90 days a third
  run(plan);
  ASSERT_TRUE(waitFor(mail));
  plan.providers[0].renewBefore = 30 * day + 30min;
  manager->apply(plan);
  EXPECT_EQ(timesLogged("acme.renew-before.cut"), 0);
  plan.providers[0].renewBefore = 30 * day + 1h + 1s;
  manager->apply(plan);
  EXPECT_EQ(timesLogged("acme.renew-before.cut"), 1);
}

TEST_F(ManagerTest, NeverLogsAKey) {
  run(wanting({mail}));
  ASSERT_TRUE(waitFor(mail));
  EXPECT_EQ(logged().find("PRIVATE KEY"), std::string::npos);
}

}  // namespace
}  // namespace postern::acme
