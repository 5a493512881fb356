#include "tls/policy.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <openssl/err.h>

#include <filesystem>
#include <fstream>
#include <set>
#include <sstream>
#include <string>

#include "tls/effective_policy.h"

namespace postern::tls {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

class PolicyTest : public ::testing::Test {
 protected:
  PolicyTest() {
    std::string pattern = (std::filesystem::temp_directory_path() / "postern-policy-XXXXXX").string();
    folder_ = mkdtemp(pattern.data());
    LogSettings settings;
    settings.file = (folder_ / "log").string();
    EXPECT_EQ(log_.configure(settings), "");
  }
  ~PolicyTest() override { std::filesystem::remove_all(folder_); }

  std::string logged() const {
    std::ifstream file(folder_ / "log");
    std::stringstream text;
    text << file.rdbuf();
    return text.str();
  }

  std::filesystem::path folder_;
  Log log_;
};

TEST_F(PolicyTest, KnowsEveryNameOfItsOwnPoliciesAndOnlyNames) {
  for (const auto& policy : {intermediatePolicy(), modernPolicy()}) {
    for (const auto& name : policy.ciphers) EXPECT_TRUE(isCipherName(name)) << name;
    for (const auto& name : policy.groups) EXPECT_TRUE(isGroupName(name)) << name;
    for (const auto& name : policy.protocols) EXPECT_TRUE(isProtocolName(name)) << name;
  }
  for (const char* name : {"", "ECDHE-RSA-AES128-GCM-SHA256", "TLS_AES_128_GCM_SHA256", "TLS_RSA_WITH_NULL_SHA",
                           "TLS_ECDH_anon_WITH_AES_128_CBC_SHA"})
    EXPECT_FALSE(isCipherName(name)) << name;
  EXPECT_FALSE(isProtocolName("TLSv1.1"));
  EXPECT_FALSE(isGroupName("x25519"));
  EXPECT_EQ(std::set<std::string>(cipherNames().begin(), cipherNames().end()).size(), cipherNames().size());
}

TEST_F(PolicyTest, IntermediateIsMozillas) {
  const auto effective = effectivePolicy(intermediatePolicy(), "smtp", log_);
  EXPECT_EQ(effective.oldest, TLS1_2_VERSION);
  EXPECT_EQ(effective.newest, TLS1_3_VERSION);
  EXPECT_EQ(effective.ciphers,
            "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:ECDHE-ECDSA-AES256-GCM-SHA384:"
            "ECDHE-RSA-AES256-GCM-SHA384:ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-RSA-CHACHA20-POLY1305");
  EXPECT_EQ(effective.suites, "TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256");
  EXPECT_THAT(effective.groups, HasSubstr("X25519:P-256:P-384"));
}

TEST_F(PolicyTest, ModernIsTls13Alone) {
  const auto effective = effectivePolicy(modernPolicy(), "smtp", log_);
  EXPECT_EQ(effective.oldest, TLS1_3_VERSION);
  EXPECT_EQ(effective.ciphers, "");
}

TEST_F(PolicyTest, FindsEveryCipherThatItNames) {
  Policy policy = intermediatePolicy();
  policy.ciphers = cipherNames();
  policy.groups = {"X25519"};
  effectivePolicy(policy, "smtp", log_);
  EXPECT_EQ(logged(), "");
}

TEST_F(PolicyTest, LeavesOutWhatThisOpenSslDoesNotKnowWithOneLine) {
  Policy policy = intermediatePolicy();
  policy.ciphers = {"TLS13_AES_128_GCM_SHA256", "TLS_MADE_UP_WITH_NOTHING", "TLS13_MADE_UP"};
  policy.groups = {"MadeUp1024", "P-256"};
  policy.protocols = {"TLSv1.3"};
  const auto effective = effectivePolicy(policy, "smtp", log_);
  EXPECT_EQ(effective.suites, "TLS_AES_128_GCM_SHA256");
  EXPECT_EQ(effective.groups, "P-256");
  const std::string text = logged();
  EXPECT_EQ(std::count(text.begin(), text.end(), '\n'), 1);
  for (const char* name : {"tls.policy.reduced", "smtp", "TLS_MADE_UP_WITH_NOTHING", "TLS13_MADE_UP", "MadeUp1024"})
    EXPECT_THAT(text, HasSubstr(name));
  EXPECT_THAT(text, Not(HasSubstr("P-256")));
}

TEST_F(PolicyTest, PutsTheHybridGroupFirstWhereThisOpenSslHasIt) {
  for (const Policy& policy : {intermediatePolicy(), modernPolicy()}) {
    EXPECT_EQ(policy.groups, (std::vector<std::string>{"X25519MLKEM768", "X25519", "P-256", "P-384"}));
    const SslCtxPtr scratch(SSL_CTX_new(TLS_client_method()));
    char hybrid[] = "X25519MLKEM768";
    const bool has = SSL_CTX_set1_groups_list(scratch.get(), hybrid) == 1;
    ERR_clear_error();
    const auto effective = effectivePolicy(policy, "smtp", log_);
    EXPECT_EQ(effective.groups, has ? "X25519MLKEM768/X25519:P-256:P-384" : "X25519:P-256:P-384");
    EXPECT_EQ(logged().find("X25519MLKEM768") == std::string::npos, has);
  }
}

TEST_F(PolicyTest, RefusesAPolicyOfWhichNothingIsLeft) {
  Policy policy = intermediatePolicy();
  policy.ciphers = {"TLS_MADE_UP"};
  EXPECT_THROW(effectivePolicy(policy, "smtp", log_), Error);
  policy = intermediatePolicy();
  policy.groups = {"MadeUp"};
  EXPECT_THROW(effectivePolicy(policy, "smtp", log_), Error);
  policy = modernPolicy();
  policy.ciphers = {"TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256"};
  EXPECT_THROW(effectivePolicy(policy, "smtp", log_), Error);
  policy = intermediatePolicy();
  policy.protocols.clear();
  EXPECT_THROW(effectivePolicy(policy, "smtp", log_), Error);
}

TEST_F(PolicyTest, TakesEmptyListsForTheIntermediateOnes) {
  const auto usual = effectivePolicy(intermediatePolicy(), "smtp", log_);
  const auto empty = effectivePolicy(Policy{}, "smtp", log_);
  EXPECT_EQ(empty.ciphers, usual.ciphers);
  EXPECT_EQ(empty.suites, usual.suites);
  EXPECT_EQ(empty.groups, usual.groups);
}

TEST_F(PolicyTest, DigestCoversEverythingThatAListenerSpeaks) {
  const Policy policy = intermediatePolicy();
  std::set<std::string> digests{policyDigest("imaps", policy, {"imap"}), policyDigest("smtps", policy, {"imap"}),
                                policyDigest("imaps", policy, {}), policyDigest("imaps", modernPolicy(), {"imap"})};
  Policy changed = policy;
  changed.ignoreClientOrder = false;
  digests.insert(policyDigest("imaps", changed, {"imap"}));
  changed = policy;
  changed.sessionTickets = false;
  digests.insert(policyDigest("imaps", changed, {"imap"}));
  changed = policy;
  std::swap(changed.groups.front(), changed.groups.back());
  digests.insert(policyDigest("imaps", changed, {"imap"}));
  changed = policy;
  for (const auto how : {ClientAuth::Request, ClientAuth::Require}) {
    for (const char* ca : {"one", "other"}) {
      changed.clientAuth = how;
      changed.clientCa = ca;
      digests.insert(policyDigest("imaps", changed, {"imap"}));
    }
  }
  EXPECT_EQ(digests.size(), 11u);
  EXPECT_EQ(policyDigest("imaps", policy, {"imap"}), policyDigest("imaps", intermediatePolicy(), {"imap"}));
}

}  // namespace
}  // namespace postern::tls
