// The rest of the life of accounts and certificates: shown, given a new key, deactivated, revoked.
#include "acme/cache_file.h"
#include "base/text.h"
#include "tests/acme/manager_fixture.h"

namespace postern::acme {
namespace {

class AccountLife : public ManagerTest {
 protected:
  void begin() {
    run(wanting({mail}));
    ASSERT_TRUE(waitFor(mail));
  }
  void beginAgain() {
    restart();
    run(wanting({mail}));
  }
  fs::path accounts() const { return folder / "cache" / directoryFolderName(ca.directoryUrl()) / "accounts"; }
  std::vector<std::string> accountFolders() const {
    std::vector<std::string> names;
    for (const auto& each : foldersIn(accounts())) names.push_back(each.filename().string());
    return names;
  }
  template <class Action>
  static std::string refusalOf(Action action) {
    try {
      action();
    } catch (const Error& error) {
      return error.what();
    }
    ADD_FAILURE() << "nothing was refused";
    return "";
  }
  // An order that begins now works: the account that the cache knows is the one of the CA.
  void expectOrdersWork(const Names& names) {
    Plan plan = wanting({mail, names});
    run(plan);
    EXPECT_TRUE(waitFor(names));
    EXPECT_EQ(ca.accounts(), 1);
    EXPECT_EQ(accountFolders(), std::vector<std::string>{ca.accountThumbprint()});
  }
};

TEST_F(AccountLife, IsShownAsTheCaKnowsIt) {
  begin();
  const auto answer = manager->account("main", {});
  EXPECT_EQ(answer.provider, "main");
  EXPECT_EQ(answer.directory, ca.directoryUrl());
  EXPECT_EQ(answer.status, "valid");
  EXPECT_EQ(answer.contact, Names{"mailto:postmaster@example.org"});
  EXPECT_EQ(answer.thumbprint, ca.accountThumbprint());
  EXPECT_EQ(answer.termsOfService, "https://ca.test/terms");
  EXPECT_FALSE(answer.url.empty());
}

TEST_F(AccountLife, ThatIsNotThereYetIsSaidSoAndNotMade) {
  manager->apply(wanting({mail}));  // not started: nothing is ordered
  const auto answer = manager->account("main", {});
  EXPECT_EQ(answer.status, "none");
  EXPECT_EQ(answer.url, "");
  EXPECT_EQ(ca.accounts(), 0);
  EXPECT_NE(refusalOf([&] { manager->rolloverAccount("main", {}); }).find("no account yet"), std::string::npos);
  EXPECT_NE(refusalOf([&] { manager->deactivateAccount("main", {}); }).find("no account yet"), std::string::npos);
}

TEST_F(AccountLife, OfAProviderThatDoesNotExistIsRefusedWithThoseThatDo) {
  begin();
  const std::string words = refusalOf([&] { manager->account("mian", {}); });
  EXPECT_NE(words.find("no provider mian"), std::string::npos);
  EXPECT_NE(words.find("main, other"), std::string::npos) << words;
}

TEST_F(AccountLife, GetsANewKeyAndKeepsNothingOfTheOldOne) {
  begin();
  const std::string old = ca.accountThumbprint();
  const auto answer = manager->rolloverAccount("main", {});
  EXPECT_NE(ca.accountThumbprint(), old);
  EXPECT_EQ(answer.thumbprint, ca.accountThumbprint());
  EXPECT_EQ(answer.status, "valid");
  EXPECT_EQ(accountFolders(), Names{ca.accountThumbprint()});
  expectOrdersWork(imap);
  beginAgain();
  expectOrdersWork({"third.example.org"});
}

TEST_F(AccountLife, KeyIsOnDiskBeforeTheCaIsAskedForTheRollover) {
  begin();
  ca.failNext("keyChange", Failure::Hang);
  std::jthread rollover([&] {
    try {
      manager->rolloverAccount("main", {});
    } catch (const Error&) {
    }
  });
  ASSERT_TRUE(eventually([&] { return ca.count("keyChange") > 0; }));
  const auto folders = accountFolders();
  ASSERT_EQ(folders.size(), 2U);
  for (const auto& each : folders) EXPECT_TRUE(fs::exists(accounts() / each / "privkey.pem")) << each;
  ca.release();
}

TEST_F(AccountLife, TakesTheNewKeyThatTheCaTookThoughItsAnswerWasLost) {
  begin();
  const std::string old = ca.accountThumbprint();
  ca.failNext("keyChange", Failure::AnswerLost);
  const auto answer = manager->rolloverAccount("main", {});
  EXPECT_EQ(answer.thumbprint, ca.accountThumbprint());
  EXPECT_NE(ca.accountThumbprint(), old);
  expectOrdersWork(imap);
}

TEST_F(AccountLife, KeepsTheOldKeyWhenTheCaNeverHeardOfTheNewOne) {
  begin();
  const std::string old = ca.accountThumbprint();
  ca.failNext("keyChange", Failure::Timeout);
  refusalOf([&] { manager->rolloverAccount("main", {}); });
  EXPECT_EQ(ca.accountThumbprint(), old);
  run(wanting({mail, imap}));
  EXPECT_TRUE(waitFor(imap));
  // The key that may still be on its way is asked for again, and no third one is made.
  manager->rolloverAccount("main", {});
  EXPECT_NE(ca.accountThumbprint(), old);
  expectOrdersWork({"third.example.org"});
}

TEST_F(AccountLife, ForgetsANewKeyThatTheCaRefused) {
  begin();
  const std::string old = ca.accountThumbprint();
  ca.refuseNext("userActionRequired", "keyChange");
  EXPECT_NE(refusalOf([&] { manager->rolloverAccount("main", {}); }).find("userActionRequired"), std::string::npos);
  EXPECT_EQ(accountFolders(), Names{old});
  expectOrdersWork(imap);
}

// As a crash between the CA's taking of the key and our hearing of it: the network is gone with the answer.
TEST_F(AccountLife, FindsTheKeyThatTheCaKnowsAtTheNextContactAfterALostRollover) {
  begin();
  const std::string old = ca.accountThumbprint();
  ca.failNext("keyChange", Failure::AnswerLost);
  ca.failNext("directory", Failure::Refused);  // the question that would settle it
  EXPECT_NE(refusalOf([&] { manager->rolloverAccount("main", {}); }).find("both keys are kept"), std::string::npos);
  EXPECT_NE(ca.accountThumbprint(), old);
  EXPECT_EQ(accountFolders().size(), 2U);
  restart();
  expectOrdersWork(imap);
}

TEST_F(AccountLife, FindsTheOldKeyAtTheNextContactWhenTheRolloverNeverReachedTheCa) {
  begin();
  const std::string old = ca.accountThumbprint();
  ca.failNext("keyChange", Failure::Timeout);
  ca.failNext("directory", Failure::Refused);
  refusalOf([&] { manager->rolloverAccount("main", {}); });
  clock.advance(2h);  // nothing that was sent then can still arrive
  restart();
  expectOrdersWork(imap);
  EXPECT_EQ(ca.accountThumbprint(), old);
}

TEST_F(AccountLife, OrdersNothingAfterItsDeactivationNorAfterARestart) {
  begin();
  const auto answer = manager->deactivateAccount("main", {});
  EXPECT_EQ(answer.status, "deactivated");
  EXPECT_EQ(ca.accountStatus(), "deactivated");
  const int orders = ca.orders(), requests = ca.total();
  run(wanting({mail, imap}));
  EXPECT_FALSE(waitFor(imap));
  EXPECT_EQ(statusOf(imap).state, CertificateState::Failing);
  EXPECT_NE(statusOf(imap).lastError->detail.find("remove the folder " + accounts().string()), std::string::npos);
  EXPECT_EQ(ca.total(), requests) << "the CA was asked although the answer is known";
  restart();
  clock.advance(2 * day);
  run(wanting({mail, imap}));
  letDecide(wanting({mail, imap}));
  EXPECT_FALSE(waitFor(imap));
  EXPECT_EQ(ca.orders(), orders);
  EXPECT_EQ(ca.accounts(), 1);
  EXPECT_EQ(manager->account("main", {}).status, "deactivated");
  EXPECT_NE(refusalOf([&] { manager->deactivateAccount("main", {}); }).find("was deactivated"), std::string::npos);
}

TEST_F(AccountLife, IsMadeAnewWhenTheDeactivatedOnesFolderIsRemoved) {
  begin();
  manager->deactivateAccount("main", {});
  run(wanting({mail, imap}));
  EXPECT_FALSE(waitFor(imap));
  for (const auto& each : accountFolders()) fs::remove_all(accounts() / each);
  manager->renew({imap, "", false});
  EXPECT_TRUE(waitFor(imap));
  EXPECT_EQ(ca.accounts(), 2);
}

TEST_F(AccountLife, IsDeactivatedAlsoWhenTheAnswerWasLost) {
  begin();
  ca.failNext("account", Failure::AnswerLost);
  EXPECT_EQ(manager->deactivateAccount("main", {}).status, "deactivated");
  EXPECT_EQ(ca.accountStatus(), "deactivated");
}

TEST_F(AccountLife, StaysWhenTheDeactivationNeverReachedTheCa) {
  begin();
  ca.failNext("account", Failure::Timeout);
  refusalOf([&] { manager->deactivateAccount("main", {}); });
  EXPECT_EQ(ca.accountStatus(), "valid");
  expectOrdersWork(imap);
}

class Revocation : public AccountLife {
 protected:
  std::string keyOf(const Names& names) const { return std::string(tls::keyToPem(served(names)->key()).reveal()); }
  bool renewedFrom(const std::string& serial) {
    return eventually([&] { return served(mail) && served(mail)->serial() != serial; });
  }
};

TEST_F(Revocation, IsByTheAccountAndLeadsToANewCertificateWithANewKey) {
  begin();
  const std::string serial = served(mail)->serial(), key = keyOf(mail);
  const auto answer = manager->revoke("MAIL.example.org", "", 4, {});
  ASSERT_EQ(answer.revoked.size(), 1U);
  EXPECT_EQ(answer.revoked[0].serial, serial);
  EXPECT_EQ(answer.revoked[0].id, id(mail));
  EXPECT_EQ(ca.revocations(), (std::vector<test::SeenRevocation>{{serial, 4, false}}));
  ASSERT_TRUE(renewedFrom(serial));
  EXPECT_NE(keyOf(mail), key);
}

TEST_F(Revocation, IsByTheCertificatesKeyWhereTheAccountIsRefused) {
  begin();
  const std::string serial = served(mail)->serial();
  ca.refuseNext("unauthorized", "revokeCert");
  manager->revoke(mail.front(), "", 1, {});
  EXPECT_EQ(ca.revocations(), (std::vector<test::SeenRevocation>{{serial, 1, true}}));
  EXPECT_TRUE(renewedFrom(serial));
}

TEST_F(Revocation, IsByTheCertificatesKeyWhereTheAccountWasDeactivated) {
  begin();
  const std::string serial = served(mail)->serial();
  manager->deactivateAccount("main", {});
  manager->revoke(mail.front(), "", 0, {});
  EXPECT_EQ(ca.revocations(), (std::vector<test::SeenRevocation>{{serial, 0, true}}));
}

TEST_F(Revocation, UsesNeitherTheReusedKeyNorThatOfAnOrderUnderWay) {
  Plan plan = wanting({mail});
  plan.providers[0].reuseKey = true;
  run(plan);
  ASSERT_TRUE(waitFor(mail));
  const std::string serial = served(mail)->serial(), key = keyOf(mail);
  ca.failNext("finalize", Failure::Hang);
  manager->renew({mail, "", true});
  ASSERT_TRUE(eventually([&] { return ca.count("finalize") == 2; }));
  const std::string pending = support::contentOf(folderOf(mail) / "pending-key.pem");
  manager->revoke(mail.front(), "", 0, {});
  ca.release();
  ASSERT_TRUE(renewedFrom(serial));
  EXPECT_NE(keyOf(mail), key);
  EXPECT_NE(keyOf(mail), pending);
}

TEST_F(Revocation, OrdersTheSuccessorAlsoAfterAFailureAndARestart) {
  begin();
  const std::string serial = served(mail)->serial(), key = keyOf(mail);
  ca.failNext("newOrder", Failure::Refused);
  manager->revoke(mail.front(), "", 0, {});
  ASSERT_TRUE(eventually([&] { return statusOf(mail).attempts > 0; }));
  EXPECT_EQ(served(mail)->serial(), serial);  // better than none
  EXPECT_EQ(statusOf(mail).renewReason, RenewReason::Forced);
  restart();
  clock.advance(1h);
  run(wanting({mail}));
  ASSERT_TRUE(renewedFrom(serial));
  EXPECT_NE(keyOf(mail), key);
  letDecide(wanting({mail}));
  EXPECT_EQ(ca.issued(), 2);  // and no third
}

TEST_F(Revocation, RefusedForItsReasonComesBackWithTheCasWordsAndChangesNothing) {
  begin();
  ca.refuseNext("badRevocationReason", "revokeCert");
  EXPECT_NE(refusalOf([&] { manager->revoke(mail.front(), "", 6, {}); }).find("badRevocationReason"),
            std::string::npos);
  letDecide(wanting({mail}));
  EXPECT_EQ(ca.orders(), 1);
  EXPECT_TRUE(ca.revocations().empty());
}

TEST_F(Revocation, OfANameThatNobodyServesRevokesNothing) {
  begin();
  EXPECT_TRUE(manager->revoke("elsewhere.example.org", "", 0, {}).revoked.empty());
  EXPECT_TRUE(manager->revoke(mail.front(), "other", 0, {}).revoked.empty());
  EXPECT_EQ(ca.count("revokeCert"), 0);
}

TEST_F(Revocation, TakesEveryKeyTypeInService) {
  Plan plan = wanting({mail});
  plan.providers[0].keyTypes = {"ecdsa-p256", "rsa-2048"};
  run(plan);
  ASSERT_TRUE(eventually([&] {
    return ca.issued() == 2 && manager->status().certificates.size() == 2 &&
           manager->status().certificates[0].certificate && manager->status().certificates[1].certificate;
  }));
  EXPECT_EQ(manager->revoke(mail.front(), "", 0, {}).revoked.size(), 2U);
  EXPECT_EQ(ca.revocations().size(), 2U);
  EXPECT_TRUE(eventually([&] { return ca.issued() == 4; }));
}

// Sectigo answers like this, whatever onlyReturnExisting says.
TEST_F(AccountLife, IsMadeThoughTheCaLooksForNoKeyWithoutAnExternalAccount) {
  ca.externalAccount("kid-7", "key");
  ca.wantBindingFirst(true);
  Plan plan = wanting({mail});
  plan.providers[0].externalAccount = ExternalAccount{"kid-7", Secret("key")};
  ca.failNext("newAccount", Failure::ServerError);
  run(plan);
  EXPECT_FALSE(waitFor(mail));
  pass(1min);  // the key is on disk, and the CA has never heard of it
  EXPECT_TRUE(waitFor(mail));
  EXPECT_EQ(ca.boundTo(), std::vector<std::string>{"kid-7"});
}

TEST_F(AccountLife, GoesOnWithItsOldKeyThoughTheCaLooksForNoKeyWithoutAnExternalAccount) {
  begin();
  ca.wantBindingFirst(true);
  ca.failNext("keyChange", Failure::Refused);
  EXPECT_NE(refusalOf([&] { manager->rolloverAccount("main", {}); }).find("postern:connection"), std::string::npos);
  clock.advance(2h);  // nothing that was sent then can still arrive
  restart();
  expectOrdersWork(imap);
}

// A CA may make the account without it, and have it wait for that.
TEST_F(AccountLife, IsBoundToTheExternalAccountThatIsConfiguredLater) {
  begin();
  ca.refuseNext("externalAccountRequired", "newOrder");
  const int before = ca.count("newAccount");
  Plan plan = wanting({mail, imap});
  plan.providers[0].externalAccount = ExternalAccount{"kid-7", Secret("key")};
  run(plan);
  EXPECT_TRUE(waitFor(imap));
  EXPECT_EQ(ca.count("newAccount"), before + 1);
  EXPECT_EQ(ca.accounts(), 1);
}

}  // namespace
}  // namespace postern::acme
