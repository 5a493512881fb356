// What the manager does with certificates: obtains, renews, and bears failures.
#include "tests/acme/manager_fixture.h"

namespace postern::acme {
namespace {

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

TEST_F(ManagerTest, SaysThatACertificateIsValidWhenEverybodyServesIt) {
  std::vector<CertificateStatus> early;
  store->subscribe([&](const auto&) { early.push_back(statusOf(mail)); });  // a listener goes over to it
  run(wanting({mail}));
  ASSERT_TRUE(waitFor(mail));
  const auto first = statusOf(mail).certificate;
  manager->renew({mail, "", true});
  ASSERT_TRUE(waitFor(mail));
  ASSERT_EQ(early.size(), 2U);
  EXPECT_EQ(early[0].state, CertificateState::Issuing);
  EXPECT_EQ(early[0].certificate, nullptr);
  EXPECT_EQ(early[1].certificate, first);
  EXPECT_EQ(statusOf(mail).state, CertificateState::Valid);
  EXPECT_NE(statusOf(mail).certificate, first);
}

TEST_F(ManagerTest, OrdersOnDemandThoughTheOrderBeforeIsStillWrittenDown) {
  std::vector<RenewAnswer> answers;
  store->subscribe([&](const auto&) {
    if (answers.empty()) answers.push_back(manager->renew({mail, "", true}));
  });
  run(wanting({mail}));
  ASSERT_TRUE(eventually([&] { return ca.orders() == 2; }));
  ASSERT_TRUE(waitFor(mail));
  EXPECT_EQ(answers.at(0).certificates.at(0).words, "ordered");
  EXPECT_EQ(statusOf(mail).certificate, served(mail));
  EXPECT_TRUE(fs::exists(folderOf(mail) / "generations/2"));
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
  // What the CA says of renewal is asked behind an order, and kept.
  for (const auto& names : {mail, imap}) {
    ASSERT_TRUE(eventually([&] { return fs::exists(folderOf(names) / "renewal-info.json"); }));
  }
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

}  // namespace
}  // namespace postern::acme
