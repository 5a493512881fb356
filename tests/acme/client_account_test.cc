// The life of an account (RFC 8555 section 7.3) and the pace and patience of a client.
#include "acme/jws.h"
#include "acme/pace.h"
#include "tests/acme/ca_fixture.h"

namespace postern::acme {
namespace {

using namespace std::chrono_literals;
using test::Failure;

class AccountRequestsTest : public WithCa {
 protected:
  // As every other request of the account goes, before and after.
  bool canOrder() {
    try {
      client.newOrder({{"mail.example.org"}}, {});
      return true;
    } catch (const Error&) {
      return false;
    }
  }
  void forget() { client.useAccount(tls::generateKey(tls::KeyType::EcdsaP256), ""); }
};

TEST_F(AccountRequestsTest, TellsWhatTheCaHasOfIt) {
  const AccountObject account = client.account({});
  EXPECT_EQ(account.url, client.accountUrl());
  EXPECT_EQ(account.status, "valid");
  EXPECT_EQ(account.contact, std::vector<std::string>{"mailto:postmaster@example.org"});
  EXPECT_EQ(account.orders, account.url + "/orders");
  EXPECT_TRUE(account.termsOfServiceAgreed);
}

TEST_F(AccountRequestsTest, BindsANewAccountToAnExternalOne) {
  ca.externalAccount("kid-7", "thirty-two bytes of a shared key");
  forget();
  client.newAccount({}, false, ExternalAccount{"kid-7", Secret("thirty-two bytes of a shared key")}, {});
  EXPECT_EQ(ca.boundTo(), std::vector<std::string>{"kid-7"});
  EXPECT_TRUE(canOrder());
}

TEST_F(AccountRequestsTest, TellsThatAnExternalAccountIsWantedOrThatItsKeyIsWrong) {
  ca.externalAccount("kid-7", "right");
  forget();
  EXPECT_EQ(errorOf([&] { client.newAccount({}, false, {}, {}); }).problem.shortType(), "externalAccountRequired");
  const ExternalAccount wrong{"kid-7", Secret("wrong")}, unknown{"kid-8", Secret("right")};
  EXPECT_EQ(errorOf([&] { client.newAccount({}, false, wrong, {}); }).problem.shortType(), "unauthorized");
  EXPECT_EQ(errorOf([&] { client.newAccount({}, false, unknown, {}); }).problem.shortType(), "unauthorized");
  EXPECT_EQ(ca.accounts(), 1);
}

TEST_F(AccountRequestsTest, SignsTheBindingForTheUrlThatNewAccountHasMovedTo) {
  ca.externalAccount("kid-7", "key");
  ca.moveUrls();
  forget();
  EXPECT_NE(client.newAccount({}, false, ExternalAccount{"kid-7", Secret("key")}, {}), "");
}

TEST_F(AccountRequestsTest, FindsAnAccountAgainWithoutBindingItAnew) {
  ca.externalAccount("kid-7", "key", false);
  const std::string url = client.accountUrl();
  EXPECT_EQ(client.newAccount({}, true, ExternalAccount{"kid-7", Secret("wrong")}, {}), url);
}

TEST_F(AccountRequestsTest, ChangesItsKeyAndSignsWithTheNewOneFromThenOn) {
  tls::KeyPtr fresh = tls::generateKey(tls::KeyType::EcdsaP256);
  const std::string url = client.accountUrl(), before = client.thumbprint();
  client.changeKey(tls::share(fresh.get()), {});
  EXPECT_EQ(client.accountUrl(), url);
  EXPECT_NE(client.thumbprint(), before);
  EXPECT_EQ(client.thumbprint(), thumbprint(fresh.get()));
  EXPECT_EQ(ca.accountThumbprint(), thumbprint(fresh.get()));
  EXPECT_TRUE(canOrder());
}

TEST_F(AccountRequestsTest, KeepsItsKeyWhereTheCaDoesNotTakeTheNewOne) {
  const std::string before = client.thumbprint();
  for (Failure failure : {Failure::ServerError, Failure::Refused}) {
    ca.failNext("keyChange", failure);
    EXPECT_THROW(client.changeKey(tls::generateKey(tls::KeyType::EcdsaP256), {}), Error);
  }
  EXPECT_EQ(client.thumbprint(), before);
  EXPECT_TRUE(canOrder());
}

TEST_F(AccountRequestsTest, IsRefusedAKeyThatAnotherAccountHas) {
  tls::KeyPtr taken = tls::generateKey(tls::KeyType::EcdsaP256);
  Client other(ca.directoryUrl(), ca, clock, log);
  other.useAccount(tls::share(taken.get()), "");
  other.newAccount({}, false, {}, {});
  EXPECT_EQ(errorOf([&] { client.changeKey(tls::share(taken.get()), {}); }).problem.status, 409);
}

TEST_F(AccountRequestsTest, IsDeactivatedForGood) {
  client.deactivateAccount({});
  EXPECT_EQ(ca.accountStatus(), "deactivated");
  EXPECT_EQ(errorOf([&] { client.account({}); }).problem.shortType(), "unauthorized");
  EXPECT_FALSE(canOrder());
}

TEST_F(AccountRequestsTest, SaysWhatTheDirectoryDoesNotHave) {
  ca.withhold({"keyChange", "revokeCert"});
  readDirectoryAnew();
  Error error = errorOf([&] { client.changeKey(tls::generateKey(tls::KeyType::EcdsaP256), {}); });
  EXPECT_EQ(error.problem.type, "postern:unsupported");
  EXPECT_NE(error.problem.detail.find("keyChange"), std::string::npos);
  tls::KeyPtr key = tls::generateKey(tls::KeyType::EcdsaP256);
  auto certificate = tls::makeSelfSigned(key.get(), {"mail.example.org"}, clock.now());
  error = errorOf([&] { client.revoke(*certificate, 0, Client::RevokeBy::Account, {}); });
  EXPECT_EQ(error.problem.type, "postern:unsupported");
  EXPECT_NE(error.problem.detail.find("revokeCert"), std::string::npos);
  EXPECT_EQ(ca.count("keyChange") + ca.count("revokeCert"), 0);
}

TEST_F(AccountRequestsTest, NeedsAnAccountForWhatIsOnlyAnAccounts) {
  Client fresh(ca.directoryUrl(), ca, clock, log);
  fresh.useAccount(tls::generateKey(tls::KeyType::EcdsaP256), "");
  for (auto action : {+[](Client& c) { c.account({}); }, +[](Client& c) { c.deactivateAccount({}); },
                      +[](Client& c) { c.updateContact({}, {}); },
                      +[](Client& c) { c.changeKey(tls::generateKey(tls::KeyType::EcdsaP256), {}); }}) {
    EXPECT_EQ(errorOf([&] { action(fresh); }).problem.shortType(), "accountDoesNotExist");
  }
}

// --- pace and patience

TEST_F(AccountRequestsTest, GoesAtThePaceOfItsAttemptWithEveryKindOfRequest) {
  Pace pace(clock);
  Client unborn(ca.directoryUrl(), ca, clock, log);
  unborn.useAccount(tls::generateKey(tls::KeyType::EcdsaP256), "");
  Client paced(unborn, pace);
  const int before = ca.total();
  paced.newAccount({}, false, {}, {});  // with directory and newNonce
  EXPECT_EQ(pace.requests(), 3);
  pace.bound(true);
  Time begun = clock.now();
  for (int i = 0; i < 40; ++i) paced.account({});
  EXPECT_EQ(ca.total() - before, 43);
  EXPECT_EQ(pace.requests(), 43);
  EXPECT_EQ(clock.now() - begun, 4min);
  EXPECT_EQ(unborn.accountUrl(), paced.accountUrl());  // all else is shared
}

TEST_F(AccountRequestsTest, CountsRepetitionsForBadNoncesApartFromRequests) {
  Pace pace(clock);
  Client paced(client, pace);
  ca.failNext("account", Failure::BadNonce, 5);
  paced.account({});
  EXPECT_EQ(pace.requests(), 1);
  EXPECT_EQ(ca.count("account"), 6);
}

TEST_F(AccountRequestsTest, RepeatsTenTimesAtMostForTenMinutesAfterARequestFailedOnNoncesAlone) {
  const auto sendings = [&] {
    const int before = ca.count("account");
    EXPECT_EQ(errorOf([&] { client.account({}); }).problem.shortType(), "badNonce");
    return ca.count("account") - before;
  };
  ca.rejectNonces(1);
  EXPECT_EQ(sendings(), 30);
  EXPECT_EQ(sendings(), 11);
  clock.advance(9min);
  EXPECT_EQ(sendings(), 11);
  clock.advance(11min);
  EXPECT_EQ(sendings(), 30);
}

}  // namespace
}  // namespace postern::acme
