#include "listeners/mail/accounts.h"

#include <crypt.h>
#include <gtest/gtest.h>

namespace postern::mail {
namespace {

std::string hashed(const char* password, const char* prefix) {
  crypt_data data{};
  char setting[CRYPT_GENSALT_OUTPUT_SIZE];
  if (!crypt_gensalt_rn(prefix, 0, nullptr, 0, setting, sizeof setting)) return {};
  const char* hash = crypt_r(password, setting, &data);
  return hash ? hash : "";
}

Account account(std::string name, std::string secret, std::vector<std::string> emails) {
  return {std::move(name), Secret(std::move(secret)), std::move(emails)};
}

bool lets(const Accounts& accounts, std::string_view login, std::string password) {
  return accounts.authenticate(login, Secret(std::move(password))) != nullptr;
}

TEST(Accounts, LetInWithAPlainSecretAndNothingElse) {
  const Accounts accounts({account("jane", "open sesame", {"jane@example.org"})});
  EXPECT_TRUE(lets(accounts, "jane", "open sesame"));
  EXPECT_FALSE(lets(accounts, "jane", "open sesam"));
  EXPECT_FALSE(lets(accounts, "jane", "open sesame "));
  EXPECT_FALSE(lets(accounts, "jane", ""));
  EXPECT_FALSE(lets(accounts, "joe", "open sesame"));
  EXPECT_FALSE(lets(accounts, "", "open sesame"));
}

TEST(Accounts, CheckEveryHashThatCryptKnows) {
  for (const char* prefix : {"$6$", "$5$", "$y$", "$2b$", "$1$"}) {
    const auto hash = hashed("right", prefix);
    ASSERT_TRUE(hash.starts_with(prefix)) << prefix;
    const Accounts accounts({account("jane", hash, {})});
    EXPECT_TRUE(lets(accounts, "jane", "right")) << prefix;
    EXPECT_FALSE(lets(accounts, "jane", "wrong")) << prefix;
    EXPECT_FALSE(lets(accounts, "jane", hash)) << "the hash itself is no password: " << prefix;
    EXPECT_FALSE(lets(accounts, "jane", std::string("right\0more", 10))) << prefix;
  }
}

TEST(Accounts, RefuseEverybodyWhereTheHashIsBroken) {
  const Accounts accounts({account("jane", "$6$", {}), account("joe", "$nonsense$abc", {})});
  EXPECT_FALSE(lets(accounts, "jane", "*0"));
  EXPECT_FALSE(lets(accounts, "jane", "$6$"));
  EXPECT_FALSE(lets(accounts, "joe", "*0"));
  EXPECT_FALSE(lets(accounts, "joe", "$nonsense$abc"));
}

TEST(Accounts, RefuseAnEmptySecret) {
  const Accounts accounts({account("jane", "", {"jane@example.org"})});
  EXPECT_FALSE(lets(accounts, "jane", ""));
  EXPECT_FALSE(lets(accounts, "jane", "anything"));
}

TEST(Accounts, TakeAnAddressForALogin) {
  const Accounts accounts({account("jane", "s", {"Jane.Doe@example.org"})});
  EXPECT_TRUE(lets(accounts, "Jane.Doe@example.org", "s"));
  EXPECT_TRUE(lets(accounts, "jane.doe@EXAMPLE.org", "s"));
  EXPECT_FALSE(lets(accounts, "jane.doe@example.com", "s"));
}

TEST(Accounts, FindARecipientWhateverTheCaseOfItsDomain) {
  const Accounts accounts({account("jane", "s", {"jane@example.org", "sales@example.com"})});
  ASSERT_NE(accounts.recipient("jane@EXAMPLE.ORG"), nullptr);
  EXPECT_EQ(accounts.recipient("jane@EXAMPLE.ORG")->name, "jane");
  EXPECT_EQ(accounts.recipient("sales@example.com")->name, "jane");
  EXPECT_EQ(accounts.recipient("sales@example.org"), nullptr);
  EXPECT_EQ(accounts.recipient("jane"), nullptr);
}

TEST(Accounts, PreferTheExactLocalPartToOneInAnotherCase) {
  const Accounts accounts({account("one", "s", {"info@example.org"}), account("two", "s", {"Info@example.org"})});
  EXPECT_EQ(accounts.recipient("info@example.org")->name, "one");
  EXPECT_EQ(accounts.recipient("Info@example.org")->name, "two");
  EXPECT_EQ(accounts.recipient("INFO@example.org")->name, "one");
}

TEST(Accounts, KnowTheirDomains) {
  const Accounts accounts({account("jane", "s", {"jane@example.org"})});
  EXPECT_TRUE(accounts.isLocalDomain("Example.ORG"));
  EXPECT_FALSE(accounts.isLocalDomain("example.com"));
  EXPECT_FALSE(accounts.isLocalDomain(""));
  EXPECT_FALSE(Accounts().isLocalDomain("example.org"));
}

TEST(Accounts, HaveAPostmasterOnlyWhereSomebodyIs) {
  EXPECT_EQ(Accounts({account("jane", "s", {"jane@example.org"})}).postmaster(), nullptr);
  const Accounts accounts({account("jane", "s", {"jane@example.org", "Postmaster@example.org"})});
  ASSERT_NE(accounts.postmaster(), nullptr);
  EXPECT_EQ(accounts.postmaster()->name, "jane");
}

}  // namespace
}  // namespace postern::mail
