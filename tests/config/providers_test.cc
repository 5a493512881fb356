// acme.<name>: providers, what they mean together, and names that a CA would refuse.
#include <gmock/gmock.h>

#include "loading.h"

namespace postern::config {
namespace {

using acme::ChallengeType;
using testing::AllOf;
using testing::HasSubstr;
using testing::Not;

acme::Provider providerOf(const std::string& text, const Surroundings& around = surroundings()) {
  for (const acme::Provider& provider : settingsOf(text, around).providers) {
    if (provider.name == "le") return provider;
  }
  throw std::runtime_error("no provider");
}

const std::string update =
    "acme.le.challenge = \"dns-01\"\nacme.le.dns.provider = \"rfc2136-tsig\"\nacme.le.dns.server = "
    "\"ns.example.org\"\nacme.le.dns.key = \"acme-key.\"\nacme.le.dns.secret = \"aGVsbG8=\"\n";
const std::string hook =
    "acme.le.challenge = \"dns-01\"\nacme.le.dns.provider = \"hook\"\nacme.le.dns.hook = \"/bin/true\"\n";

TEST(Provider, HasTheDefaultsOfTheContract) {
  acme::Provider expected;
  expected.name = "le";
  expected.cache = "/var/cache/acme";
  EXPECT_EQ(settingsOf(smtpAcme).providers, (std::vector<acme::Provider>{expected}));
}

TEST(Provider, ReadsEveryKey) {
  const Settings settings = settingsOf(
      smtp +
      "[acme.\"my.ca\"]\ndirectory = \"https://ca.example/d\"\ncontact = [\"a@b.c\", \"mailto:d@e.f\"]\n"
      "cache = \"acme\"\nport = 5001\nrenew-before = \"1d12h\"\ndomains = [\"A.b\", [\"c.d\", \"e.f\"]]\n"
      "ca-file = \"" POSTERN_TEST_DATA
      "/ca.pem\"\nchallenge-bind = \"[::1]\"\nchallenge = \"tls-alpn-01\"\n"
      "http-port = 8080\nprofile = \"shortlived\"\npreferred-chain = \"Root X1\"\nreuse-key = true\norders = 3\n"
      "export = \"/etc/tls\"\nstaging = \"https://ca.example/s\"\n");
  const acme::Provider& got = settings.providers.at(0);
  EXPECT_EQ(got.name, "my.ca");
  EXPECT_EQ(got.directory, "https://ca.example/d");
  EXPECT_EQ(got.contact, (std::vector<std::string>{"mailto:a@b.c", "mailto:d@e.f"}));
  EXPECT_EQ(got.cache, "acme");
  EXPECT_EQ(got.port, 5001);
  EXPECT_EQ(got.renewBefore, std::chrono::hours(36));
  EXPECT_EQ(got.domains, (std::vector<std::vector<std::string>>{{"a.b"}, {"c.d", "e.f"}}));
  EXPECT_EQ(got.challengeBind, "::1");
  EXPECT_EQ(got.httpPort, 8080);
  EXPECT_EQ(got.profile, "shortlived");
  EXPECT_EQ(got.preferredChain, "Root X1");
  EXPECT_TRUE(got.reuseKey);
  EXPECT_EQ(got.orders, 3);
  EXPECT_EQ(got.exportTo, "/etc/tls");
  EXPECT_EQ(got.staging, "https://ca.example/s");
  EXPECT_THAT(settings.files, testing::Contains(got.caFile));
}

// One more line for [acme.le], and what is said about it; "": it is fine.
struct Line {
  std::string line, said;
};

void expectSaid(const std::string& before, const std::vector<Line>& lines) {
  for (const Line& one : lines) {
    const std::string said = saidAbout(before + one.line + "\n");
    if (one.said.empty()) {
      EXPECT_EQ(said, "") << one.line;
    } else {
      EXPECT_THAT(said, HasSubstr(one.said)) << one.line;
    }
  }
}

TEST(Provider, TakesChallengeTypesInOrderAndEachOnce) {
  EXPECT_EQ(providerOf(smtpAcme + "acme.le.challenge = [\"http-01\", \"tls-alpn-01\"]\n").challenge,
            (std::vector<ChallengeType>{ChallengeType::Http01, ChallengeType::TlsAlpn01}));
  EXPECT_EQ(providerOf(smtpAcme + "acme.le.challenge = []\n").challenge,
            (std::vector<ChallengeType>{ChallengeType::TlsAlpn01}));
  expectSaid(smtpAcme, {{"acme.le.challenge = \"http-01\"", ""},
                        {"acme.le.challenge = [\"http-01\", \"http-01\"]", "\"http-01\": named twice"},
                        {"acme.le.challenge = \"dns-02\"", "did you mean dns-01?"},
                        {"acme.le.challenge = \"dns-01\"", "error: acme.le.dns.provider: required with the challenge"},
                        {"acme.le.http-port = 0", "expected a whole number from 1 to 65535"}});
}

TEST(Provider, SetsDnsRecordsByUpdatesSignedWithTsig) {
  const acme::DnsSettings dns =
      providerOf(smtpAcme + update + "acme.le.dns.tsig-algorithm = \"hmac-sha512\"\nacme.le.dns.ttl = \"30s\"\n" +
                 "acme.le.dns.propagation-timeout = \"1m\"\nacme.le.dns.polling-interval = \"250ms\"\n")
          .dns;
  EXPECT_EQ(dns.method, acme::DnsSettings::Method::Rfc2136);
  EXPECT_EQ(dns.server, "ns.example.org");
  EXPECT_EQ(dns.key, "acme-key.");
  EXPECT_EQ(dns.secret.reveal(), "hello");
  EXPECT_EQ(dns.algorithm, "hmac-sha512");
  EXPECT_EQ(dns.ttl, std::chrono::seconds(30));
  EXPECT_EQ(dns.propagationTimeout, std::chrono::minutes(1));
  EXPECT_EQ(dns.pollingInterval, std::chrono::milliseconds(250));
  for (const char* server :
       {"192.0.2.1", "192.0.2.1:53", "2001:db8::1", "[2001:db8::1]", "[2001:db8::1]:5353", "ns", "ns.example.org:53"}) {
    std::string text = smtpAcme + update;
    EXPECT_EQ(saidAbout(text.replace(text.find("ns.example.org"), 14, server)), "") << server;
  }
  for (const char* server : {"a b", "ns.example.org:", "ns.example.org:0", "ns.example.org:x", "[::1", "*.example.org",
                             "https://ns.example.org"}) {
    std::string text = smtpAcme + update;
    EXPECT_THAT(saidAbout(text.replace(text.find("ns.example.org"), 14, server)),
                HasSubstr("expected the name or address of a DNS server"))
        << server;
  }
}

TEST(Provider, NeedsAllThatSignsAnUpdate) {
  const std::string start = smtpAcme + "acme.le.challenge = \"dns-01\"\nacme.le.dns.provider = \"rfc2136-tsig\"\n";
  for (const char* key : {"server", "key", "secret"}) {
    EXPECT_THAT(saidAbout(start), HasSubstr("error: acme.le.dns." + std::string(key) + ": required")) << key;
  }
  std::string text = smtpAcme + update;
  const std::string said = saidAbout(text.replace(text.find("aGVsbG8="), 8, "not base64!"));
  EXPECT_THAT(said, AllOf(HasSubstr("acme.le.dns.secret = (hidden): expected a TSIG key in base64"),
                          Not(HasSubstr("not base64!"))));
}

TEST(Provider, SetsDnsRecordsByAProgramThatCanBeRun) {
  EXPECT_EQ(providerOf(smtpAcme + hook).dns.hook, "/bin/true");
  const Folder folder;
  const std::string plain = folder.write("hook", "#!/bin/sh\n");
  const std::string start = smtpAcme + "acme.le.challenge = \"dns-01\"\nacme.le.dns.provider = \"hook\"\n";
  expectSaid(start, {{"", "error: acme.le.dns.hook: required"},
                     {"acme.le.dns.hook = \"/nonexistent\"", "expected a program: No such file"},
                     {"acme.le.dns.hook = \"/tmp\"", "expected a program: not a file"},
                     {"acme.le.dns.hook = \"" + plain + "\"", "not executable; make it executable"}});
}

TEST(Provider, WarnsOfDnsKeysThatNobodyReads) {
  expectSaid(smtpAcme + hook, {{"acme.le.dns.server = \"ns.example.org\"", ""},  // where it looks for the record
                               {"acme.le.dns.server = \"a b\"", "expected the name or address of a DNS server"},
                               {"acme.le.dns.key = \"k\"", "warning: acme.le.dns.key = \"k\": has no meaning with"},
                               {"acme.le.dns.secret = \"hunter2\"", "acme.le.dns.secret = (hidden): has no meaning"}});
  expectSaid(smtpAcme + update, {{"acme.le.dns.hook = \"/nonexistent\"", "warning: acme.le.dns.hook"}});
  expectSaid(smtpAcme, {{"acme.le.dns.provider = \"hook\"\nacme.le.dns.hook = \"/bin/true\"",
                         "warning: acme.le.dns.provider = \"hook\": has no meaning while challenge does not name"},
                        {"acme.le.dns.key = \"k\"", "warning: acme.le.dns.key = \"k\": has no meaning without"}});
}

TEST(Provider, RefusesTimesOfDnsUnderASecond) {
  expectSaid(smtpAcme + update, {{"acme.le.dns.ttl = \"999ms\"", "expected at least a second"},
                                 {"acme.le.dns.ttl = \"1s\"", ""},
                                 {"acme.le.dns.ttl = 60", "write \"60s\""},
                                 {"acme.le.dns.propagation-timeout = \"1ms\"", "expected at least a second"},
                                 {"acme.le.dns.polling-interval = \"1ms\"", ""}});
}

TEST(Provider, TakesTheKeyOfAnExternalAccountInEveryForm) {
  const Folder folder;
  const std::string bytes = "\xfb\xff\xbf\x01";
  for (const std::string& form : {std::string("-_-_AQ"), std::string("-_-_AQ=="), std::string("+/+/AQ=="),
                                  "file://" + folder.write("key", "-_-_AQ\n")}) {
    const acme::Provider provider =
        providerOf(smtpAcme + "acme.le.eab.key-id = \"kid-1\"\nacme.le.eab.hmac-key = \"" + form + "\"\n");
    ASSERT_TRUE(provider.externalAccount) << form;
    EXPECT_EQ(provider.externalAccount->keyId, "kid-1");
    EXPECT_EQ(provider.externalAccount->hmacKey.reveal(), bytes) << form;
  }
}

TEST(Provider, WantsBothHalvesOfAnExternalAccount) {
  const std::string empty = "error: acme.le.eab.hmac-key";
  expectSaid(smtpAcme,
             {{"acme.le.eab.key-id = \"k\"", empty + ": required with eab.key-id"},
              {"acme.le.eab.hmac-key = \"AAEC\"", "error: acme.le.eab.key-id: required with eab.hmac-key"},
              {"acme.le.eab.key-id = \"k\"\nacme.le.eab.hmac-key = \"\"", empty + ": required"},
              {"acme.le.eab.key-id = \"k\"\nacme.le.eab.hmac-key = \"==\"", empty + " = (hidden): expected"}});
  const std::string said = saidAbout(smtpAcme + "acme.le.eab.key-id = \"k\"\nacme.le.eab.hmac-key = \"hunter2!\"\n");
  EXPECT_THAT(said, AllOf(HasSubstr("hmac-key = (hidden): expected a key in base64url"), Not(HasSubstr("hunter2"))));
}

TEST(Provider, TakesOneKeyTypeOfEachAlgorithm) {
  EXPECT_EQ(providerOf(smtpAcme + "acme.le.key-type = [\"rsa-2048\", \"ecdsa-p384\"]\n").keyTypes,
            (std::vector<std::string>{"rsa-2048", "ecdsa-p384"}));
  expectSaid(smtpAcme,
             {{"acme.le.key-type = [\"ecdsa-p256\", \"ecdsa-p384\"]",
               "\"ecdsa-p384\": beside ecdsa-p256 this is a second type of the same algorithm"},
              {"acme.le.key-type = [\"rsa-2048\", \"rsa-4096\"]", "OpenSSL serves one certificate of each algorithm"},
              {"acme.le.key-type = [\"rsa-2048\", \"ecdsa-p256\", \"rsa-2048\"]", "\"rsa-2048\": named twice"},
              {"acme.le.key-type = \"rsa-1024\"", "expected one of ecdsa-p256"}});
}

TEST(Provider, KeyTypesNeedACipherSuiteOfTls12) {
  const std::string text = smtpAcme + "server.tls.protocols = \"TLSv1.2\"\n";
  const std::string rsaCiphers = "server.tls.ciphers = \"TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256\"\n";
  EXPECT_EQ(saidAbout(text), "");
  EXPECT_THAT(
      saidAbout(text + rsaCiphers),
      HasSubstr("error: server.listener.smtp.tls: no cipher suite of TLS 1.2 is left for the key-type ecdsa-p256 "
                "of acme.le: every handshake would fail"));
  EXPECT_EQ(saidAbout(text + rsaCiphers + "acme.le.key-type = \"rsa-2048\"\n"), "");
  EXPECT_THAT(saidAbout(text + rsaCiphers + "acme.le.key-type = [\"rsa-2048\", \"ecdsa-p256\"]\n"),
              HasSubstr("warning: server.listener.smtp.tls: no cipher suite of TLS 1.2 is left for the key-type "
                        "ecdsa-p256 of acme.le: its certificate is served to nobody"));
  // Where TLS 1.3 stands beside it, whose ciphers go with any key, those without it are locked out.
  const std::string both =
      smtpAcme + "server.tls.ciphers = [\"TLS13_AES_128_GCM_SHA256\", \"TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256\"]\n";
  EXPECT_THAT(saidAbout(both),
              HasSubstr("warning: server.listener.smtp.tls: no cipher suite of TLS 1.2 is left for the "
                        "key-type ecdsa-p256 of acme.le: every handshake of a client without TLSv1.3"));
  EXPECT_EQ(saidAbout(both + "acme.le.key-type = [\"ecdsa-p256\", \"rsa-2048\"]\n"), "");
  EXPECT_EQ(saidAbout(both + "acme.le.key-type = \"rsa-2048\"\n"), "");
}

TEST(Provider, ExportsForAGroupThatIsThere) {
  Surroundings around = surroundings();
  around.groupExists = [](const std::string& name) { return name == "tls"; };
  const std::string text = smtpAcme + "acme.le.export = \"/etc/tls\"\n";
  EXPECT_EQ(providerOf(text + "acme.le.export-group = \"tls\"\n", around).exportGroup, "tls");
  EXPECT_THAT(saidAbout(text + "acme.le.export-group = \"tsl\"\n", around), HasSubstr("the system has no such group"));
  EXPECT_THAT(saidAbout(smtpAcme + "acme.le.export-group = \"tsl\"\n", around),
              HasSubstr("warning: acme.le.export-group = \"tsl\": has no meaning without export"));
  EXPECT_TRUE(ofThisProcess().groupExists("root"));
  EXPECT_FALSE(ofThisProcess().groupExists("no-such-group-here"));
}

TEST(Provider, TakesOrdersFromOneToAThousand) {
  EXPECT_EQ(providerOf(smtpAcme + "acme.le.orders = 1000\n").orders, 1000);
  expectSaid(smtpAcme, {{"acme.le.orders = 1", ""},
                        {"acme.le.orders = 0", "expected a whole number from 1 to 1000"},
                        {"acme.le.orders = 1001", "expected a whole number from 1 to 1000"}});
}

const std::string three = smtpAcme + "acme.zero.cache = \"z\"\nacme.backup.cache = \"b\"\n";

TEST(Fallback, NamesOtherSectionsEachOnce) {
  EXPECT_EQ(providerOf(three + "acme.le.fallback = [\"zero\", \"backup\"]\n").fallback,
            (std::vector<std::string>{"zero", "backup"}));
  expectSaid(three,
             {{"acme.le.fallback = \"zeor\"", "there is no section [acme.<name>] of this name; did you mean zero?"},
              {"acme.le.fallback = \"le\"", "a provider cannot be its own fallback"},
              {"acme.le.fallback = [\"zero\", \"zero\"]", "named twice"}});
}

TEST(Fallback, DoesNotGoInACircleAndSaysSoOnce) {
  EXPECT_EQ(saidAbout(three + "acme.backup.fallback = \"le\"\nacme.le.fallback = \"zero\"\n"), "");
  const std::string said = saidAbout(
      three + "acme.backup.fallback = \"le\"\nacme.le.fallback = \"zero\"\nacme.zero.fallback = \"backup\"\n");
  EXPECT_EQ(said,
            "postern.toml:8: error: acme.backup.fallback = \"le\": falls back in a circle: backup -> le -> zero -> "
            "backup; take one of them out\n");
}

TEST(Fallback, MustBeAbleToCertifyTheNamesToo) {
  const std::string text = "server.hostname = [\"mail.example.org\", \"*.example.org\"]\n" +
                           three.substr(server.size()) + hook + "acme.le.fallback = [\"backup\", \"zero\"]\n";
  const std::string said = saidAbout(text);
  EXPECT_THAT(said,
              HasSubstr("server.hostname = \"*.example.org\": acme.backup, the fallback of acme.le, cannot certify "
                        "it: a CA certifies a wildcard by dns-01 alone"));
  EXPECT_THAT(said, HasSubstr("acme.zero, the fallback of acme.le, cannot certify it"));
  const std::string able =
      "acme.backup.challenge = \"dns-01\"\nacme.backup.dns.provider = \"hook\"\n"
      "acme.backup.dns.hook = \"/bin/true\"\n";
  EXPECT_THAT(saidAbout(text + able), AllOf(Not(HasSubstr("acme.backup, the")), HasSubstr("acme.zero, the")));
  EXPECT_THAT(
      saidAbout("server.hostname = \"mail\"\n" + three.substr(server.size()) +
                "acme.le.ca-file = \"" POSTERN_TEST_DATA "/ca.pem\"\nacme.le.fallback = \"zero\"\n"),
      HasSubstr("acme.zero, the fallback of acme.le, cannot certify it: no public CA certifies a name without"));
}

TEST(Fallback, ToTheSameDirectoryAndCacheIsWarnedOf) {
  EXPECT_THAT(saidAbout(smtpAcme + "acme.twin.cache = \"/var/cache/acme/\"\nacme.le.fallback = \"twin\"\n"),
              HasSubstr("warning: acme.le.fallback = \"twin\": has this section's directory and cache"));
}

TEST(Provider, OfTheSameDirectoryAndCacheIsWarnedOfWhereItDiffers) {
  const std::string twin = smtpAcme + "acme.twin.cache = \"/var/cache/./acme\"\n";
  EXPECT_EQ(saidAbout(twin + "acme.twin.domains = \"more.example.org\"\nacme.twin.key-type = \"rsa-2048\"\n"), "");
  EXPECT_THAT(
      saidAbout(twin + "acme.twin.challenge = \"http-01\"\nacme.twin.reuse-key = true\n"),
      HasSubstr("warning: acme.twin: has the directory and the cache of acme.le, so they are one, and what that one "
                "says holds for both; these keys differ: challenge, reuse-key; give it a cache of its own"));
  EXPECT_EQ(saidAbout(twin + "acme.twin.challenge = \"http-01\"\nacme.twin.directory = \"https://ca.example/\"\n"), "");
}

TEST(Staging, IsASectionOrADirectorysUrl) {
  EXPECT_EQ(providerOf(three + "acme.le.staging = \"https://ca.example/staging\"\n").staging,
            "https://ca.example/staging");
  expectSaid(three,
             {{"acme.le.staging = \"zero\"", ""},
              {"acme.le.staging = \"zeroo\"", "expected the name of an [acme.<name>] section or an https URL; did"},
              {"acme.le.staging = \"le\"", "a provider cannot be its own staging"},
              {"acme.le.staging = \"http://ca.example/\"", "expected an https URL"},
              {"acme.le.staging = \"https://acme-v02.api.letsencrypt.org/directory\"", "own directory"}});
}

TEST(EventsHook, IsAProgramThatCanBeRun) {
  EXPECT_EQ(settingsOf(smtp + "events.hook = \"/bin/true\"\n").eventsHook, "/bin/true");
  EXPECT_EQ(settingsOf(smtp).eventsHook, "");
  EXPECT_THAT(saidAbout(smtp + "events.hook = \"/nonexistent\"\n"),
              HasSubstr("error: events.hook = \"/nonexistent\": expected a program: No such file"));
}

}  // namespace
}  // namespace postern::config
