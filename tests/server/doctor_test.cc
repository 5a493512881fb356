// Each thing that the doctor finds, with its remedy, and nothing where nothing is wrong.
#include "server/doctor.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>

#include "acme/storage.h"
#include "server/commands_life.h"
#include "server/doctor_rights.h"
#include "tests/server/doctor_fixture.h"
#include "tests/support/test_certificates.h"

namespace postern::server {
namespace {

using namespace std::chrono_literals;
namespace fs = std::filesystem;

// --- the directory

TEST_F(Doctor, FindsNothingAboutAGoodDirectory) {
  EXPECT_TRUE(directory().empty()) << doctorText(directory());
}

TEST_F(Doctor, FindsADirectoryThatCannotBeReachedOrTrustedOrResolved) {
  fails("cannot reach ca.test: Connection refused");
  EXPECT_TRUE(one(directory(), Weight::Error, "Connection refused"));
  fails("cannot reach ca.test: SSL certificate problem: unable to get local issuer certificate");
  EXPECT_TRUE(one(directory(), Weight::Error, "certificate problem"));
  EXPECT_NE(directory().front().remedy.find("ca-file"), std::string::npos);
  fails("cannot reach ca.test: Could not resolve host: ca.test");
  EXPECT_NE(directory().front().remedy.find("resolv.conf"), std::string::npos);
}

TEST_F(Doctor, FindsWhatIsNoDirectory) {
  answers(404, "nothing here");
  EXPECT_TRUE(one(directory(), Weight::Error, "status 404"));
  answers(200, "<html>");
  EXPECT_TRUE(one(directory(), Weight::Error, "JSON"));
  answers(200, R"({"newNonce":"https://ca.test/n"})");
  EXPECT_TRUE(one(directory(), Weight::Error, "no ACME directory"));
  answers(503, "");
  EXPECT_TRUE(one(directory(), Weight::Warning, "status 503"));
}

TEST_F(Doctor, FindsAnExternalAccountThatIsMissing) {
  const std::string body =
      R"({"newNonce":"n","newAccount":"a","newOrder":"o","meta":{"externalAccountRequired":true}})";
  answers(200, body);
  EXPECT_TRUE(one(directory(), Weight::Error, "binds new accounts"));
  provider.externalAccount = acme::ExternalAccount{"kid", Secret("key")};
  EXPECT_TRUE(directory().empty());
  provider.externalAccount.reset();
  DirectoryFacts known;
  known.accountUrl = "https://ca.test/account/1";  // bound already
  EXPECT_TRUE(examineDirectory(of, provider, known, {}).empty());
}

TEST_F(Doctor, FindsAProfileThatTheCaDoesNotOffer) {
  provider.profile = "tlsserver";
  answers(200,
          R"({"newNonce":"n","newAccount":"a","newOrder":"o","meta":{"profiles":{"classic":"","shortlived":""}}})");
  EXPECT_TRUE(one(directory(), Weight::Error, "classic, shortlived"));
  provider.profile = "classic";
  EXPECT_TRUE(directory().empty());
}

TEST_F(Doctor, NotesTheTermsBeforeTheFirstAccount) {
  answers(200, R"({"newNonce":"n","newAccount":"a","newOrder":"o","meta":{"termsOfService":"https://ca.test/t"}})");
  EXPECT_TRUE(one(directory(), Weight::Note, "https://ca.test/t"));
}

TEST_F(Doctor, ComparesTheClockWithTheDirectorys) {
  const std::string body = R"({"newNonce":"n","newAccount":"a","newOrder":"o"})";
  of.now = *parseRfc3339("2026-03-01T12:00:00Z");
  answers(200, body, "Sun, 01 Mar 2026 12:00:30 GMT");
  EXPECT_TRUE(directory().empty());
  answers(200, body, "Sun, 01 Mar 2026 12:05:00 GMT");
  EXPECT_TRUE(one(directory(), Weight::Warning, "5m behind"));
  answers(200, body, "Sun, 01 Mar 2026 08:00:00 GMT");
  EXPECT_TRUE(one(directory(), Weight::Error, "4h ahead"));
}

// --- the names

TEST_F(Doctor, FindsANameWithoutAnAddress) {
  EXPECT_TRUE(one(address("mail.example.org"), Weight::Error, "no A or AAAA record"));
  dns.addRecord("mail.example.org. 60 IN A 127.0.0.1");
  EXPECT_TRUE(address("mail.example.org").empty());
}

TEST_F(Doctor, FindsAnAddressThatIsNotOfThisMachine) {
  dns.addRecord("mail.example.org. 60 IN A 192.0.2.7");
  EXPECT_TRUE(one(address("mail.example.org"), Weight::Warning, "192.0.2.7 is no address of this machine"));
  dns.addRecord("imap.example.org. 60 IN A 127.0.0.1");
  dns.addRecord("imap.example.org. 60 IN AAAA 2001:db8::7");
  EXPECT_TRUE(one(address("imap.example.org"), Weight::Warning, "IPv6 first"));
}

TEST_F(Doctor, FindsANameThatCannotBeLookedUp) {
  EXPECT_TRUE(one(address("mail.elsewhere.test"), Weight::Error, "REFUSED"));
}

TEST_F(Doctor, AsksForNoAddressWhereNobodyConnects) {
  provider.challenge = {acme::ChallengeType::Dns01};
  EXPECT_TRUE(address("mail.example.org").empty());
  provider.challenge = {acme::ChallengeType::TlsAlpn01, acme::ChallengeType::Dns01};
  EXPECT_TRUE(address("*.example.org").empty());
  EXPECT_TRUE(one(address("mail.example.org"), Weight::Warning, "no A or AAAA record"));
}

TEST_F(Doctor, FindsCaaRecordsOnTheWayUpThatForbidTheCa) {
  EXPECT_TRUE(caa("mail.example.org").empty());
  dns.addRecord("example.org. 60 IN CAA 0 issue \"letsencrypt.org\"");
  EXPECT_TRUE(one(caa("a.mail.example.org"), Weight::Error, "example.org forbid it: only letsencrypt.org"));
  EXPECT_NE(caa("mail.example.org").front().remedy.find("CAA 0 issue \"ca.test\""), std::string::npos);
  EXPECT_NE(caa("*.example.org").front().remedy.find("CAA 0 issuewild \"ca.test\""), std::string::npos);
  dns.addRecord("mail.example.org. 60 IN CAA 0 issue \"ca.test\"");  // nearer
  EXPECT_TRUE(caa("a.mail.example.org").empty());
}

TEST_F(Doctor, SaysToTakeAwayACriticalCaaPropertyThatNoCaKnows) {
  dns.addRecord("example.org. 60 IN CAA 128 tbs \"x\"");
  dns.addRecord("example.org. 60 IN CAA 0 issue \"ca.test\"");
  EXPECT_TRUE(one(caa("mail.example.org"), Weight::Error, "marked critical"));
  EXPECT_EQ(caa("mail.example.org").front().remedy, "remove the record of tbs from example.org, or give it the flag 0");
}

TEST_F(Doctor, FindsCaaRecordsThatForbidTheChallengeOrTheAccount) {
  dns.addRecord("example.org. 60 IN CAA 0 issue \"ca.test; validationmethods=dns-01\"");
  EXPECT_TRUE(one(caa("mail.example.org"), Weight::Error, "only dns-01 may validate"));
  provider.challenge = {acme::ChallengeType::Dns01};
  EXPECT_TRUE(caa("mail.example.org").empty());
}

TEST_F(Doctor, NotesCaaRecordsWhereTheCaDoesNotSayWhoItIs) {
  dns.addRecord("example.org. 60 IN CAA 0 issue \"letsencrypt.org\"");
  answers(200, R"({"newNonce":"n","newAccount":"a","newOrder":"o"})");
  EXPECT_TRUE(one(caa("mail.example.org"), Weight::Note, "letsencrypt.org"));
}

TEST_F(Doctor, LooksAtTheZoneOfADns01Name) {
  provider.challenge = {acme::ChallengeType::Dns01};
  provider.dns.server = dns.text();
  dns.addRecord("example.org. 60 IN NS ns.example.org.");
  dns.addRecord("ns.example.org. 60 IN A " + dns.address());
  EXPECT_TRUE(examineZone(of, provider, "*.example.org", log, {}).empty())
      << doctorText(examineZone(of, provider, "*.example.org", log, {}));
  EXPECT_EQ(examineZone(of, provider, "mail.elsewhere.test", log, {}).size(), 1U);
}

TEST_F(Doctor, LooksAtAFallbacksOwnWayToValidate) {
  dns.addRecord("mail.example.org. 60 IN A 127.0.0.1");
  acme::Provider fallback = provider;
  fallback.name = "second";
  fallback.challenge = {acme::ChallengeType::Dns01};
  fallback.dns.server = "no-such-host.example.org";
  provider.fallback = {fallback.name};
  wants({"mail.example.org"});
  of.providers = {provider, fallback};
  const auto quiet = std::make_shared<Log>(LogSettings{LogLevel::Error, LogFormat::Text, ""});
  const auto looked = [&] {
    auto findings = examine(std::make_shared<Examination>(of), quiet);
    std::erase_if(findings, [](const Finding& each) { return each.check != "dns"; });
    return findings;
  };
  EXPECT_TRUE(one(looked(), Weight::Error, "no-such-host.example.org has no address"));
  of.providers[1].challenge = provider.challenge;
  of.providers[1].dns = provider.dns;
  EXPECT_TRUE(looked().empty());
}

TEST_F(Doctor, EndsWithinItsTimeWhenNothingAnswers) {
  dns.setSilent(true);
  Findings findings;
  for (;;) {
    const auto before = std::chrono::steady_clock::now();
    std::vector<Examined> many;
    for (int i = 0; i < 100; ++i) {
      many.push_back({"address", "n" + std::to_string(i),
                      [&](std::stop_token stop) { return examineAddress(of, provider, "mail.example.org", stop); }});
    }
    findings = examineAll(std::move(many), 500ms);
    const auto took = std::chrono::steady_clock::now() - before;
    ASSERT_LT(took, 1min);  // not the seconds that each of them would wait
    if (took < 4s) break;   // else the machine stood still, and a look may have come to its own end meanwhile
  }
  EXPECT_EQ(findings.size(), 100U);  // each is said to be unknown
  for (const auto& each : findings) EXPECT_EQ(each.weight, Weight::Warning);
}

// --- this machine

TEST_F(Doctor, FindsACacheThatTheServersUserCannotWrite) {
  ::chmod(folder.path().c_str(), 0755);
  fs::create_directory(folder / "cache");
  ::chmod((folder / "cache").c_str(), 0700);
  EXPECT_TRUE(examineCache(of, provider.cache).empty()) << doctorText(examineCache(of, provider.cache));
  Identity other;
  other.user = "postern-user";
  other.uid = other.gid = 4242;
  of.identity = other;
  EXPECT_TRUE(one(examineCache(of, provider.cache), Weight::Error, "postern-user cannot write there"));
  of.identity.reset();
  ::chmod((folder / "cache").c_str(), 0755);
  EXPECT_TRUE(one(examineCache(of, provider.cache), Weight::Warning, "private keys"));
}

TEST_F(Doctor, FindsFilesInTheCacheThatAreNotTheServersUsers) {
  ::chmod(folder.path().c_str(), 0755);
  fs::create_directory(folder / "cache");
  support::write(folder / "cache/left-by-root", "x");
  Identity other;
  other.user = "postern-user";
  other.uid = ::geteuid() + 1;
  other.gid = ::getegid();
  of.identity = other;
  ::chmod((folder / "cache").c_str(), 0770);  // writable by the group
  auto findings = examineCache(of, provider.cache);
  std::erase_if(findings, [](const Finding& each) { return each.weight != Weight::Error; });
  EXPECT_TRUE(one(findings, Weight::Error, "left-by-root"));
  EXPECT_NE(findings.front().remedy.find("chown -R postern-user"), std::string::npos);
}

TEST_F(Doctor, FindsACacheThatIsNoFolder) {
  support::write(folder / "cache", "x");
  EXPECT_TRUE(one(examineCache(of, provider.cache), Weight::Error, "no folder"));
}

TEST_F(Doctor, FindsALockThatAnotherProcessHolds) {
  fs::create_directory(folder / "cache");
  ::chmod((folder / "cache").c_str(), 0700);
  support::write(folder / "cache/lock", "4711\n");
  EXPECT_TRUE(examineCache(of, provider.cache).empty());
  const int lock = ::open((folder / "cache/lock").c_str(), O_RDONLY);
  ASSERT_EQ(::flock(lock, LOCK_EX), 0);
  EXPECT_TRUE(one(examineCache(of, provider.cache), Weight::Error, "another process (pid 4711)"));
  of.running["pid"] = 4711;
  EXPECT_TRUE(examineCache(of, provider.cache).empty());
  ::close(lock);
}

TEST_F(Doctor, FindsADeactivatedAccount) {
  acme::Account account{
      "https://ca.test/account/1", tls::keyToPem(tls::generateKey(tls::KeyType::EcdsaP256).get()), {}};
  {
    acme::Storage storage(provider.cache, log);
    storage.saveAccount(provider.directory, account);
  }
  DirectoryFacts facts;
  EXPECT_TRUE(examineAccount(of, provider, facts).empty());
  EXPECT_EQ(facts.accountUrl, account.url);
  account.deactivated = of.now;
  {
    acme::Storage storage(provider.cache, log);
    storage.saveAccount(provider.directory, account);
  }
  EXPECT_TRUE(one(examineAccount(of, provider, facts), Weight::Error, "was deactivated"));
}

TEST_F(Doctor, FindsALedgerWithNothingLeftAndLeavesTheFileAlone) {
  const auto directoryFolder = folder / "cache" / acme::directoryFolderName(acme::letsEncryptDirectory);
  provider.directory = acme::letsEncryptDirectory;
  {
    acme::LedgerFile ledger(directoryFolder, provider.directory, log);
    for (int i = 0; i < 5; ++i) {
      ledger.record({acme::LedgerEntry::Kind::Issuance, of.now - 1h, {"mail.example.org"}, acme::OrderKind::First},
                    of.now);
    }
  }
  const std::string before = support::contentOf(directoryFolder / "ledger.jsonl");
  const auto findings = examineLedger(of, provider, log);
  ASSERT_FALSE(findings.empty());
  EXPECT_EQ(findings.front().weight, Weight::Warning);
  EXPECT_NE(findings.front().problem.find("nothing is left of the limit"), std::string::npos);
  EXPECT_EQ(support::contentOf(directoryFolder / "ledger.jsonl"), before);
  support::write(directoryFolder / "ledger.jsonl", "no ledger\n");
  examineLedger(of, provider, log);
  EXPECT_EQ(support::contentOf(directoryFolder / "ledger.jsonl"), "no ledger\n");
}

TEST_F(Doctor, CountsWhatTheOtherCachesOfTheSameCaHad) {
  provider.directory = acme::letsEncryptDirectory;
  acme::Provider second = provider;
  second.name = "second";
  second.cache = folder / "second";
  of.providers = {provider, second};
  using Kind = acme::LedgerEntry::Kind;
  {
    acme::LedgerFile ledger(folder / "cache" / acme::directoryFolderName(provider.directory), provider.directory, log);
    for (int i = 0; i < 5; ++i) ledger.record({Kind::Issuance, of.now - 1h, {"mail.example.org"}}, of.now);
    ledger.record({Kind::FailedValidation, of.now, {"failing.example.org"}}, of.now);
  }
  const auto said = [](const Findings& findings, const std::string& words) {
    return std::any_of(findings.begin(), findings.end(),
                       [&](const Finding& each) { return each.problem.find(words) != std::string::npos; });
  };
  const auto first = examineLedger(of, provider, log), other = examineLedger(of, second, log);
  const std::string set = "nothing is left of the limit: certificates per exact set mail.example.org";
  EXPECT_TRUE(said(first, set)) << doctorText(first);
  EXPECT_TRUE(said(other, set)) << doctorText(other);
  // Failed validations are the account's own.
  EXPECT_TRUE(said(first, "failed validations of failing.example.org")) << doctorText(first);
  EXPECT_FALSE(said(other, "failed validations of failing.example.org")) << doctorText(other);
  EXPECT_FALSE(fs::exists(folder / "second"));
}

TEST_F(Doctor, SaysWhatIsLeftOfEachTouchedLimit) {
  provider.directory = acme::letsEncryptDirectory;
  const Time at = of.now - 1h;
  {
    using Kind = acme::LedgerEntry::Kind;
    acme::LedgerFile ledger(folder / "cache" / acme::directoryFolderName(provider.directory), provider.directory, log);
    for (int i = 0; i < 2; ++i) {
      ledger.record({Kind::Issuance, at, {"mail.example.org"}, acme::OrderKind::First}, of.now);
    }
    for (int i = 0; i < 10; ++i) ledger.record({Kind::Account, at, {}, acme::OrderKind::First}, of.now);
  }
  const auto findings = examineLedger(of, provider, log);
  const auto said = [&](Weight weight, const std::string& words) {
    return std::any_of(findings.begin(), findings.end(), [&](const Finding& each) {
      return each.weight == weight && each.problem.find(words) != std::string::npos && !each.remedy.empty();
    });
  };
  ASSERT_EQ(findings.size(), 3U) << doctorText(findings);
  // Five a week: each takes a fifth of it to come back.
  const std::string more = "; one more at " + rfc3339(at + std::chrono::minutes(168h) / 5);
  EXPECT_TRUE(said(Weight::Note, "3 left of the limit: certificates per exact set mail.example.org" + more))
      << doctorText(findings);
  EXPECT_TRUE(said(Weight::Note, "48 left of the limit: certificates per registered domain example.org; one more at "))
      << doctorText(findings);
  // Ten in three hours: of those of an hour ago three have come back.
  EXPECT_TRUE(said(Weight::Note, "3 left of the limit: new accounts; one more at ")) << doctorText(findings);
  EXPECT_TRUE(doctorJson(findings)["ok"].boolean());  // notes: nothing is wrong
}

TEST_F(Doctor, FindsACertificateThatShouldHaveBeenRenewed) {
  const testing::TestCa ca;
  const auto store = [&](Duration left) {
    acme::Storage storage(provider.cache, log);
    testing::IssueOptions options;
    options.notBefore = of.now - 80h * 24;
    options.notAfter = of.now + left;
    storage.certificate(provider.directory, {"mail.example.org"}, "ecdsa-p256")
        ->store(*ca.issue({"mail.example.org"}, options), Json::Object{});
  };
  EXPECT_TRUE(examineCertificates(of, provider, log).empty()) << "none is there yet";
  store(-1h);
  EXPECT_TRUE(one(examineCertificates(of, provider, log), Weight::Error, "expired at"));
  store(24h * 5);
  EXPECT_TRUE(one(examineCertificates(of, provider, log), Weight::Error, "was to be renewed"));
  store(24h * 80);
  EXPECT_TRUE(examineCertificates(of, provider, log).empty());
}

TEST_F(Doctor, RepeatsWhatTheRunningServerCouldNotDo) {
  of.running = *Json::parse(R"({"pid":1,"certificates":[{"names":["mail.example.org"],"provider":"main",
      "last_error":{"type":"dns","detail":"no such name","at":"2026-03-01T12:00:00Z"},"next_attempt":null}]})");
  EXPECT_TRUE(one(examineCertificates(of, provider, log), Weight::Error, "dns: no such name"));
}

TEST(RevocationReason, IsANameOrANumberOfRfc5280) {
  EXPECT_EQ(revocationReason("keyCompromise"), 1);
  EXPECT_EQ(revocationReason("KEYCOMPROMISE"), 1);
  EXPECT_EQ(revocationReason("5"), 5);
  EXPECT_EQ(revocationReason("privilegeWithdrawn"), 9);
  EXPECT_FALSE(revocationReason("7"));
  EXPECT_FALSE(revocationReason("stolen"));
  EXPECT_FALSE(revocationReason(""));
}

}  // namespace
}  // namespace postern::server
