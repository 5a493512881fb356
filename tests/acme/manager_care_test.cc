// Renewal by the CA's window, fallback, staging, key types, keys: what the manager does about them.
#include "tests/acme/care_fixture.h"

namespace postern::acme {
namespace {

TEST_F(CareTest, AsksForTheWindowBehindEachOrderAndKeepsItOnDisk) {
  ca.suggestWindows([](const test::IssuedCertificate& certificate) {
    return test::RenewalWindow{certificate.notBefore + 30 * day, certificate.notBefore + 31 * day};
  });
  run(wanting({mail}));
  ASSERT_TRUE(waitFor(mail));
  ASSERT_TRUE(eventually([&] { return statusOf(mail).renewReason == RenewReason::Ari; }));
  const Time pick = *statusOf(mail).renewAt;
  ASSERT_TRUE(eventually([&] { return fs::exists(folderOf(mail) / "renewal-info.json"); }));
  restart();
  manager->apply(wanting({mail}));
  EXPECT_EQ(statusOf(mail).renewReason, RenewReason::Ari);
  EXPECT_LT(std::chrono::abs(*statusOf(mail).renewAt - pick), 1s);  // the disk knows seconds
}

TEST_F(CareTest, RenewsAtOnceWhenTheWindowMovesIntoThePastAndNamesThePredecessor) {
  run(wanting({mail}));
  ASSERT_TRUE(waitFor(mail));
  // Kept: an answer on its way when the clock is moved would be one of after that, and be asked again hours later.
  ASSERT_TRUE(eventually([&] { return fs::exists(folderOf(mail) / "renewal-info.json"); }));
  const auto first = served(mail);
  ca.suggestWindow(first->serial(), {clock.now() - 2h, clock.now() - 1h});
  ca.explainWindows("https://ca.test/incident");
  pass(7h);  // Retry-After of the last answer
  ASSERT_TRUE(eventually([&] { return served(mail)->serial() != first->serial(); }));
  EXPECT_EQ(ca.replaced(), std::vector<std::string>{renewalCertificateId(*first)});
  EXPECT_GE(timesLogged("https://ca.test/incident"), 1);
}

TEST_F(CareTest, OrdersOnceInSixHoursThoughEveryWindowSaysNow) {
  ca.suggestWindows([&](const test::IssuedCertificate&) {
    return test::RenewalWindow{clock.now() - 2h, clock.now() - 1h};
  });
  ca.renewalRetryAfter("60");
  run(wanting({mail}));
  ASSERT_TRUE(waitFor(mail));
  ASSERT_TRUE(eventually([&] { return ca.issued() == 2; }));  // the first window alone orders at once
  // An answer that is still on its way when the clock is moved would be one of after that.
  const auto kept = [&] {
    const auto info = Json::parse(support::contentOf(folderOf(mail) / "renewal-info.json")).value_or(Json());
    return info["certificate_id"].string() == renewalCertificateId(*served(mail)) &&
           parseRfc3339(info["ask_again"].string()).value_or(Time{}) > clock.now();
  };
  for (int i = 0; i < 20; ++i) {
    ASSERT_TRUE(eventually(kept));
    const int before = ca.count("renewalInfo");
    pass(2min);
    ASSERT_TRUE(asked(before + 1));
  }
  EXPECT_EQ(ca.issued(), 2);
}

TEST_F(CareTest, LeavesReplacesOutWhereTheCaRefusesItOrTripsOverIt) {
  run(wanting({mail}));
  ASSERT_TRUE(waitFor(mail));
  int certificates = 1;
  for (const char* type : {"alreadyReplaced", "serverInternal"}) {
    ca.refuseReplaces(type);
    manager->renew({mail, "", true});
    ASSERT_TRUE(waitFor(mail));
    EXPECT_EQ(ca.issued(), ++certificates) << type;
    EXPECT_EQ(statusOf(mail).attempts, 0) << type;
  }
}

TEST_F(CareTest, IgnoresTheWindowWhereTheLookUpFails) {
  ca.failNext("renewalInfo", Failure::ServerError, 1000);
  run(wanting({mail}));
  ASSERT_TRUE(waitFor(mail));
  ASSERT_TRUE(asked(1));
  EXPECT_EQ(statusOf(mail).renewReason, RenewReason::Lifetime);
  EXPECT_EQ(statusOf(mail).state, CertificateState::Valid);
}

TEST_F(CareTest, AsksForNoWindowBeforeTheTimeToldAlsoAfterARestart) {
  int number = 0;
  for (const Failure told : {Failure::Unavailable, Failure::UnavailableDate, Failure::RateLimitedHtml}) {
    SCOPED_TRACE(nameOf(told));
    const Names names{"n" + std::to_string(++number) + ".example.org"};
    ca.retryAfter(5h);
    ca.failNext("renewalInfo", told);
    run(wanting({names}));
    ASSERT_TRUE(waitFor(names));
    ASSERT_TRUE(eventually([&] { return timesLogged("acme.renewal-info.failed") == number; }));
    ASSERT_TRUE(eventually([&] {
      const auto info = Json::parse(support::contentOf(folderOf(names) / "renewal-info.json")).value_or(Json());
      return parseRfc3339(info["ask_again"].string()).value_or(Time{}) > clock.now() + 5h - 1min;
    }));
    const int before = ca.count("renewalInfo");
    restart();
    pass(4h);
    letDecide(wanting({names}));
    letDecide(wanting({names}));  // the time of a whole order for the question that must not come
    EXPECT_EQ(ca.count("renewalInfo"), before);
    pass(1h + 1min);
    ASSERT_TRUE(asked(before + 1));
  }
}

TEST_F(CareTest, ServesTwoKeyTypesForTheSameNames) {
  run(with([](Provider& provider) { provider.keyTypes = {"ecdsa-p256", "rsa-2048"}; }));
  ASSERT_TRUE(
      manager->waitFor({tls::acmeCertificate("main", mail), tls::acmeCertificate("main", mail, "rsa-2048")}, {}));
  EXPECT_EQ(of("ecdsa-p256")->keyTypeName(), "ecdsa-p256");
  EXPECT_EQ(of("rsa-2048")->keyTypeName(), "rsa-2048");
  EXPECT_EQ(manager->status().certificates.size(), 2U);
}

TEST_F(CareTest, ServesTwoKeyTypesWhereTheCaGivesOutOneOrderForBoth) {
  ca.reuseOrders(true);
  ca.failNext("finalize", Failure::Hang);
  run(with([](Provider& provider) { provider.keyTypes = {"ecdsa-p256", "rsa-2048"}; }));
  EXPECT_TRUE(eventually([&] { return ca.issued() == 1; }));  // the other one finds its order used
  EXPECT_EQ(ca.orders(), 1);
  ca.release();
  EXPECT_TRUE(
      manager->waitFor({tls::acmeCertificate("main", mail), tls::acmeCertificate("main", mail, "rsa-2048")}, {}));
  EXPECT_EQ(timesLogged("acme.order.failed"), 0);
  EXPECT_EQ(ca.issued(), 2);
}

TEST_F(CareTest, KeepsTheKeyWhereTheProviderSaysSoAndElseNot) {
  const auto renewed = [&](bool reuse) {
    const auto before = served(mail)->key();
    const tls::KeyPtr old = tls::share(before);
    run(with([&](Provider& provider) { provider.reuseKey = reuse; }));
    manager->renew({mail, "", true});
    EXPECT_TRUE(waitFor(mail));
    return EVP_PKEY_eq(old.get(), served(mail)->key()) == 1;
  };
  run(wanting({mail}));
  ASSERT_TRUE(waitFor(mail));
  EXPECT_TRUE(renewed(true));
  EXPECT_FALSE(renewed(false));
}

TEST_F(CareTest, HasTheFallbacksAccountReadyBeforeItIsNeeded) {
  run(with([](Provider& provider) { provider.fallback = {"other"}; }));
  ASSERT_TRUE(waitFor(mail));
  EXPECT_TRUE(eventually([&] { return otherCa.accounts() == 1; }));
  EXPECT_EQ(otherCa.orders(), 0);
}

TEST_F(CareTest, AsksForNoFallbacksAccountBeforeTheTimeToldAlsoAfterARestart) {
  otherCa.retryAfter(5h);
  otherCa.failNext("directory", Failure::Unavailable);
  const Plan plan = with([](Provider& provider) { provider.fallback = {"other"}; });
  run(plan);
  ASSERT_TRUE(waitFor(mail));
  ASSERT_TRUE(eventually([&] { return timesLogged("acme.fallback.not-ready") == 1; }));
  restart();
  pass(4h);
  run(plan);
  ca.failNext("newOrder", Failure::Refused);  // an attempt that ends: everything was decided about
  manager->renew({mail, "", true});
  EXPECT_FALSE(waitFor(mail));
  EXPECT_EQ(otherCa.count("directory"), 1);
  pass(1h + 1min);
  EXPECT_TRUE(eventually([&] { return otherCa.accounts() == 1; }));
}

TEST_F(CareTest, TurnsToTheFallbackWhenTheFirstRefusesAndServesItUnderTheSameName) {
  ca.refuseNext("rejectedIdentifier", "newOrder", 1000);
  const auto plan = with([](Provider& provider) { provider.fallback = {"other"}; });
  run(plan);
  ASSERT_TRUE(eventually([&] { return served(mail) != nullptr; }));
  EXPECT_EQ(otherCa.issued(), 1);
  EXPECT_EQ(statusOf(mail).state, CertificateState::Valid);
  const auto serial = served(mail)->serial();
  restart();
  manager->apply(plan);
  ASSERT_TRUE(served(mail));
  EXPECT_EQ(served(mail)->serial(), serial);  // found in the fallback's folder
}

TEST_F(CareTest, GoesBackToTheFirstWithTheNextRenewal) {
  ca.refuseNext("rejectedIdentifier", "newOrder", 1);
  run(with([](Provider& provider) { provider.fallback = {"other"}; }));
  ASSERT_TRUE(eventually([&] { return served(mail) != nullptr && otherCa.issued() == 1; }));
  const auto serial = served(mail)->serial();
  pass(61 * day);
  ASSERT_TRUE(eventually([&] { return served(mail)->serial() != serial; }));
  EXPECT_EQ(ca.issued(), 1);
  EXPECT_EQ(otherCa.issued(), 1);
}

TEST_F(CareTest, ProvesAtStagingBeforeItTriesAgainInProduction) {
  ca.unresolvable("mail.example.org");
  otherCa.unresolvable("mail.example.org");
  run(with([&](Provider& provider) { provider.staging = "other"; }));
  ASSERT_TRUE(eventually([&] { return statusOf(mail).attempts == 1; }));
  EXPECT_EQ(ca.orders(), 1);
  EXPECT_EQ(otherCa.orders(), 0);
  for (int failures = 2; failures <= 4; ++failures) {
    pass(13h);
    ASSERT_TRUE(eventually([&] { return statusOf(mail).attempts == failures; }));
  }
  EXPECT_FALSE(waitFor(mail));
  EXPECT_EQ(ca.orders(), 1) << "production is left alone while staging fails";
  EXPECT_EQ(otherCa.orders(), 3);
  ca.mendName("mail.example.org");
  otherCa.mendName("mail.example.org");
  manager->renew({mail, "", false});
  ASSERT_TRUE(waitFor(mail));
  EXPECT_EQ(ca.issued(), 1);
  EXPECT_EQ(served(mail)->serial(), ca.certificates().back().serial) << "never the one of staging";
}

TEST_F(CareTest, TakesADirectorysUrlForStaging) {
  ca.unresolvable("mail.example.org");
  run(with([&](Provider& provider) { provider.staging = otherCa.directoryUrl(); }));
  EXPECT_FALSE(waitFor(mail));
  EXPECT_EQ(statusOf(mail).attempts, 1);
  ca.mendName("mail.example.org");
  manager->renew({mail, "", false});
  ASSERT_TRUE(waitFor(mail));
  EXPECT_EQ(otherCa.issued(), 1);
  EXPECT_EQ(manager->status().providers.size(), 2U);  // the sections alone
}

TEST_F(CareTest, NoticesAClockThatWasSetWithoutBeingWoken) {
  ca.offerRenewalInfo(false);
  restart(50ms);
  run(wanting({mail}));
  ASSERT_TRUE(waitFor(mail));
  const auto serial = served(mail)->serial();
  // What the order's end had it do is done when it has looked at the clock so often: now it wakes by itself alone.
  const int before = looked.times();
  ASSERT_TRUE(eventually([&] { return looked.times() >= before + 20; }));
  clock.advance(61 * day);
  ASSERT_TRUE(eventually([&] { return served(mail)->serial() != serial; }));
}

TEST_F(CareTest, TellsOfTheFirstCertificateOfFailuresAndOfExpiry) {
  run(wanting({mail}));
  ASSERT_TRUE(waitFor(mail));
  ASSERT_TRUE(eventually([&] { return events() == std::vector<std::string>{"renewed mail.example.org"}; }));
  ca.failNext("", Failure::Refused, 100000);
  pass(61 * day);
  ASSERT_TRUE(eventually([&] { return events().size() >= 2; }));
  EXPECT_EQ(events()[1], "failing mail.example.org");
  waitFor(mail);  // an attempt under way would fail of its deadline, which is told as another reason
  pass(15 * day);
  ASSERT_TRUE(eventually([&] { return events().back() == "expiring mail.example.org"; }));
  waitFor(mail);
  pass(15 * day);
  ASSERT_TRUE(eventually([&] { return events().back() == "expired mail.example.org"; }));
  EXPECT_EQ(events().size(), 4U) << "each is told once";
  EXPECT_EQ(statusOf(mail).state, CertificateState::Expired);
}

TEST_F(CareTest, CopiesCertificatesForOtherPrograms) {
  const auto plan = with([&](Provider& provider) { provider.exportTo = folder / "export"; });
  run(plan);
  ASSERT_TRUE(waitFor(mail));
  const fs::path copy = folder / "export" / "mail.example.org" / "tls.pem";
  ASSERT_TRUE(eventually([&] { return fs::exists(copy); }));
  fs::remove(copy);
  restart();
  manager->apply(plan);  // at start what is missing comes again
  EXPECT_TRUE(fs::exists(copy));
}

TEST_F(CareTest, TriesTheNextTypeOfChallengeAtTheNextAttempt) {
  ca.offerOnly({"tls-alpn-01", "http-01"});
  ca.unresolvable("mail.example.org");
  run(with([](Provider& provider) { provider.challenge = {ChallengeType::TlsAlpn01, ChallengeType::Http01}; }));
  ASSERT_TRUE(eventually([&] { return statusOf(mail).attempts == 1; }));
  EXPECT_EQ(timesLogged("type=http-01"), 0) << logged();
  EXPECT_EQ(ca.count("challenge"), 1);
  ca.mendName("mail.example.org");
  ca.fetchHttpWith([&](const std::string&, const std::string& asked) { return httpChallenges.find(asked); });
  pass(1h);
  ASSERT_TRUE(waitFor(mail));
  EXPECT_EQ(timesLogged("type=http-01"), 1) << logged();
}

}  // namespace
}  // namespace postern::acme
