// Which certificate a listener uses, TLS policies, static certificates, accounts.
#include <gmock/gmock.h>

#include "loading.h"

namespace postern::config {
namespace {

using testing::HasSubstr;
using testing::Not;

const std::string pem = "cert = \"-----BEGIN CERTIFICATE-----\"\nprivate-key = \"-----BEGIN PRIVATE KEY-----\"\n";
const std::string sources =
    "[acme.a]\ncache = \"x\"\n[acme.b]\ncache = \"x\"\n[certificate.c]\n" + pem + "[certificate.d]\n" + pem;

TEST(WhichCertificate, TheMostSpecificSettingWinsAndAcmeGoesFirstInOnePlace) {
  const struct {
    std::string serverTls, listenerTls, source, decidedBy;
  } cases[] = {
      {"", "", "self-signed", "default"},
      {"certificate = \"c\"", "", "c", "server.tls.certificate"},
      {"acme = \"a\"", "", "a", "server.tls.acme"},
      {"acme = \"a\"\ncertificate = \"c\"", "", "a", "server.tls.acme"},
      {"acme = \"a\"\ncertificate = \"c\"", "certificate = \"d\"", "d", "server.listener.x.tls.certificate"},
      {"acme = \"a\"\ncertificate = \"c\"", "acme = \"b\"", "b", "server.listener.x.tls.acme"},
      {"acme = \"a\"\ncertificate = \"c\"", "acme = \"b\"\ncertificate = \"d\"", "b", "server.listener.x.tls.acme"},
      {"acme = \"a\"\ncertificate = \"c\"", "acme = \"\"", "c", "server.tls.certificate"},
      {"acme = \"a\"\ncertificate = \"c\"", "certificate = \"\"", "a", "server.tls.acme"},
      {"acme = \"a\"\ncertificate = \"c\"", "acme = \"\"\ncertificate = \"\"", "self-signed", "default"},
      {"acme = \"a\"\ncertificate = \"c\"", "acme = []\ncertificate = \"d\"", "d", "server.listener.x.tls.certificate"},
      {"acme = \"\"\ncertificate = \"c\"", "", "c", "server.tls.certificate"},
      {"certificate = \"c\"", "acme = \"b\"", "b", "server.listener.x.tls.acme"},
  };
  for (const auto& one : cases) {
    const std::string text =
        server + "[server.tls]\nenable = true\n" + one.serverTls +
        "\n[server.listener.x]\nbind = \"[::]:25\"\nprotocol = \"smtp\"\n[server.listener.x.tls]\n" + one.listenerTls +
        "\n" + sources;
    const ListenerConfig got = listenerOf(settingsOf(text), "x");
    EXPECT_EQ(got.decidedBy, one.decidedBy) << text;
    EXPECT_EQ(got.acme.empty() ? (got.certificate.empty() ? "self-signed" : got.certificate) : got.acme, one.source)
        << text;
    EXPECT_TRUE(got.acme.empty() || got.certificate.empty()) << text;
  }
}

TEST(WhichCertificate, WithNeitherIsSelfSignedWithAWarning) {
  EXPECT_THAT(saidAbout(smtp + "server.tls.enable = true\n"),
              HasSubstr("warning: server.listener.smtp: TLS is on without tls.acme or tls.certificate"));
}

TEST(WhichCertificate, DecidedByQuotesIdsThatNeedIt) {
  const Settings settings = settingsOf(
      server + provider + "[server.listener.\"a.b\"]\nbind = \"[::]:25\"\nprotocol = \"smtp\"\ntls.acme = \"le\"\n");
  EXPECT_EQ(settings.listeners.at(0).decidedBy, "server.listener.\"a.b\".tls.acme");
}

TEST(WhichCertificate, ANameWithoutSectionIsAnErrorWithTheNearest) {
  EXPECT_THAT(saidAbout(smtp + "acme.letsencrypt.cache = \"x\"\nserver.tls.acme = \"letsencrpyt\"\n"),
              HasSubstr("postern.toml:5: error: server.tls.acme = \"letsencrpyt\": there is no section [acme.<name>] "
                        "of this name; did you mean letsencrypt?"));
  EXPECT_THAT(saidAbout(smtp + "server.listener.smtp.tls.certificate = \"x\"\n"),
              HasSubstr("error: server.listener.smtp.tls.certificate"));
  // Also where another place decides.
  EXPECT_THAT(saidAbout(smtpAcme + "server.tls.certificate = \"x\"\n"), HasSubstr("error: server.tls.certificate"));
  EXPECT_THAT(saidAbout(smtpAcme + "server.tls.sni = [{subject = \"a.b\", certificate = \"x\"}]\n"),
              HasSubstr("error: server.tls.sni.certificate"));
}

TEST(Policy, TheMoreSpecificPlaceWinsAndInOnePlaceAListWinsOverThePolicy) {
  const std::vector<std::string> modern = tls::modernPolicy().ciphers, intermediate = tls::intermediatePolicy().ciphers;
  const std::vector<std::string> one{"TLS13_AES_256_GCM_SHA384"}, two{"TLS13_AES_128_GCM_SHA256"};
  const std::string cipherOne = "ciphers = \"TLS13_AES_256_GCM_SHA384\"\n",
                    cipherTwo = "ciphers = [\"TLS13_AES_128_GCM_SHA256\"]\n";
  const struct {
    std::string serverTls, listenerTls;
    std::vector<std::string> ciphers;
  } cases[] = {{"", "", intermediate},
               {"policy = \"modern\"\n", "", modern},
               {"policy = \"modern\"\n" + cipherOne, "", one},
               {cipherOne, "policy = \"modern\"\n", modern},
               {"policy = \"modern\"\n", cipherTwo, two},
               {cipherOne, "policy = \"modern\"\n" + cipherTwo, two},
               {"policy = \"modern\"\n" + cipherOne, "ciphers = []\n", modern},
               {"policy = \"modern\"\n" + cipherOne, "policy = \"\"\n", one},
               {"policy = \"modern\"\n" + cipherOne, "ciphers = []\npolicy = \"\"\n", intermediate}};
  for (const auto& c : cases) {
    std::string flat = smtp + provider + "server.tls.acme = \"le\"\n";
    for (const auto& part : {std::pair<std::string, std::string>("server.tls.", c.serverTls),
                             {"server.listener.smtp.tls.", c.listenerTls}}) {
      std::istringstream lines(part.second);
      for (std::string line; std::getline(lines, line);) flat += part.first + line + "\n";
    }
    EXPECT_EQ(listenerOf(settingsOf(flat), "smtp").policy.ciphers, c.ciphers) << flat;
  }
}

TEST(Policy, UnknownNamesAreErrorsWithTheNearest) {
  EXPECT_THAT(saidAbout(smtp + "server.tls.ciphers = \"TLS13_AES_128_GCM_SHA265\"\n"),
              HasSubstr("did you mean TLS13_AES_128_GCM_SHA256?"));
  EXPECT_THAT(saidAbout(smtp + "server.tls.groups = [\"P-265\"]\n"), HasSubstr("did you mean P-256?"));
  EXPECT_THAT(saidAbout(smtp + "server.listener.smtp.tls.protocols = [\"TLSv1.1\"]\n"),
              HasSubstr("expected the name of a protocol"));
}

TEST(Policy, CiphersWithoutAProtocolAreAnError) {
  EXPECT_THAT(
      saidAbout(smtpAcme + "server.tls.policy = \"modern\"\nserver.listener.smtp.tls.protocols = \"TLSv1.2\"\n"),
      HasSubstr("no cipher suite is left"));
}

TEST(Sni, EntriesAreNormalisedAndTheListenersListReplacesTheServers) {
  const std::string text = smtpAcme +
                           "certificate.c.cert = \"-----BEGIN CERTIFICATE-----\"\ncertificate.c.private-key = "
                           "\"-----BEGIN PRIVATE KEY-----\"\n";
  const Settings settings = settingsOf(text +
                                       "server.tls.sni = [{subject = \"A.Example.org\", certificate = \"c\"}, {subject "
                                       "= \"*.example.org\", certificate = \"c\"}]\n");
  EXPECT_EQ(settings.listeners.at(0).sni, (std::vector<SniEntry>{{"a.example.org", "c"}, {"*.example.org", "c"}}));
  EXPECT_TRUE(
      settingsOf(text +
                 "server.tls.sni = [{subject = \"a.b\", certificate = \"c\"}]\nserver.listener.smtp.tls.sni = []\n")
          .listeners.at(0)
          .sni.empty());
  EXPECT_THAT(saidAbout(text + "server.tls.sni = [{subject = \"a.b\"}]\n"),
              HasSubstr("error: server.tls.sni.certificate: required"));
  EXPECT_THAT(
      saidAbout(
          text +
          "server.tls.sni = [{subject = \"a.b\", certificate = \"c\"}, {subject = \"A.b\", certificate = \"c\"}]\n"),
      HasSubstr("set twice"));
}

TEST(StaticCertificates, TakePemOrFiles) {
  const Folder folder;
  const std::string cert = folder.write("cert.pem", "-----BEGIN CERTIFICATE-----\nAA\n-----END CERTIFICATE-----\n");
  const std::string key = folder.write("key.pem", "-----BEGIN PRIVATE KEY-----\nAA\n-----END PRIVATE KEY-----\n");
  const Settings settings = settingsOf(
      smtp + "[certificate.\"mail.example.org\"]\ncert = \"file://" + cert + "\"\nprivate-key = \"file://" + key +
      "\"\n[certificate.inline]\ncert = \"\"\"\n-----BEGIN CERTIFICATE-----\nBB\n\"\"\"\nprivate-key = \"-----BEGIN EC "
      "PRIVATE KEY-----\"\n");
  ASSERT_EQ(settings.certificates.size(), 2U);
  EXPECT_EQ(settings.certificates[0].certificatePem, "-----BEGIN CERTIFICATE-----\nBB\n");
  EXPECT_EQ(settings.certificates[0].certificateFile, "");
  EXPECT_EQ(settings.certificates[1].name, "mail.example.org");
  EXPECT_EQ(settings.certificates[1].certificateFile, cert);
  EXPECT_EQ(settings.certificates[1].keyFile, key);
  EXPECT_EQ(settings.certificates[1].keyPem.reveal(), "-----BEGIN PRIVATE KEY-----\nAA\n-----END PRIVATE KEY-----\n");
  EXPECT_THAT(settings.files, testing::IsSupersetOf({cert, key}));
}

TEST(StaticCertificates, ThatCannotBeReadAreErrorsAlsoWhenNobodyUsesThem) {
  const std::string said = saidAbout(smtp +
                                     "[certificate.x]\ncert = \"file:///nonexistent/cert\"\nprivate-key = "
                                     "\"/etc/key.pem\"\n[certificate.y]\ncert = \"\"\n");
  EXPECT_THAT(said, HasSubstr("postern.toml:5: error: certificate.x.cert = \"file:///nonexistent/cert\": the file "
                              "cannot be read: No such file"));
  EXPECT_THAT(said, HasSubstr("postern.toml:6: error: certificate.x.private-key = (hidden): expected PEM"));
  EXPECT_THAT(said, HasSubstr("write file:// before the path"));
  EXPECT_THAT(said, HasSubstr("postern.toml:8: error: certificate.y.cert: required"));
  EXPECT_THAT(said, HasSubstr("certificate.y.private-key: required"));
}

TEST(StaticCertificates, AKeyUnderAnotherNameIsNotShown) {
  const std::string said = saidAbout(
      smtp + "certificate.x.cert = \"-----BEGIN PRIVATE KEY----- hunter2\"\ncertificate.x.private-key = \"hunter2\"\n");
  EXPECT_THAT(said, Not(HasSubstr("hunter2")));
  EXPECT_THAT(said, HasSubstr("error: certificate.x.cert = (hidden)"));
}

const std::string head = smtp + "[[directory.memory.principals]]\n";

TEST(AccountsOfTheConfiguration, AreReadWithSecretAndAddresses) {
  const Folder folder;
  const std::string file = folder.write("secret", "from a file\n");
  const Settings settings =
      settingsOf(head +
                 "name = \"alice\"\nsecret = \"$6$hash\"\nemail = [\"Alice@Example.org\", \"a@example.org\"]\n"
                 "[[directory.memory.principals]]\nname = \"bob\"\nsecret = \"file://" +
                 file + "\"\nemail = \"bob@example.org\"\n");
  ASSERT_EQ(settings.accounts.size(), 2U);
  EXPECT_EQ(settings.accounts[0].name, "alice");
  EXPECT_EQ(settings.accounts[0].secret.reveal(), "$6$hash");
  EXPECT_EQ(settings.accounts[0].emails, (std::vector<std::string>{"Alice@example.org", "a@example.org"}));
  EXPECT_EQ(settings.accounts[1].secret.reveal(), "from a file");
  EXPECT_EQ(settings.accounts[1].emails, (std::vector<std::string>{"bob@example.org"}));
}

TEST(AccountsOfTheConfiguration, AreToldOnceThatTheyGetNoMailWithoutAFolderForIt) {
  const std::string two =
      head + "name = \"a\"\nsecret = \"x\"\n[[directory.memory.principals]]\nname = \"b\"\nsecret = \"x\"\n";
  const std::string note = ": note: directory.memory.principals: without storage.maildir";
  const std::string said = saidAbout(two);
  EXPECT_THAT(said, HasSubstr(note));
  EXPECT_EQ(said.find(note), said.rfind(note)) << said;
  EXPECT_THAT(saidAbout("storage.maildir = \"/var/lib/postern/mail\"\n" + two), Not(HasSubstr(note)));
}

TEST(AccountsOfTheConfiguration, NeedNamesThatCanBeFolders) {
  EXPECT_THAT(saidAbout(head + "name = \"../x\"\nsecret = \"a\"\n"), HasSubstr("also a folder"));
  EXPECT_THAT(saidAbout(head + "name = \"a/b\"\nsecret = \"a\"\n"), HasSubstr("also a folder"));
  EXPECT_THAT(saidAbout(head + "name = \".a\"\nsecret = \"a\"\n"), HasSubstr("also a folder"));
  EXPECT_THAT(saidAbout(head + "secret = \"a\"\n"), HasSubstr("principals.name: required"));
  EXPECT_THAT(saidAbout(head + "name = \"a\"\n"), HasSubstr("principals.secret: required"));
  EXPECT_THAT(saidAbout(head + "name = \"a\"\nsecret = \"\"\n"), HasSubstr("required"));
}

TEST(AccountsOfTheConfiguration, SetTwiceNameBothPlaces) {
  const std::string said =
      saidAbout(head +
                "name = \"a\"\nsecret = \"x\"\nemail = \"m@b.c\"\n[[directory.memory.principals]]\nname = "
                "\"a\"\nsecret = \"x\"\nemail = \"m@B.c\"\n");
  EXPECT_THAT(said, HasSubstr("postern.toml:9: error: directory.memory.principals.name = \"a\": set twice; the first "
                              "account of this name stands at postern.toml:5"));
  EXPECT_THAT(said, HasSubstr("postern.toml:11: error: directory.memory.principals.email = \"m@B.c\": set twice"));
}

TEST(AccountsOfTheConfiguration, SecretsAreNeverShown) {
  for (const char* bad :
       {"secret = [\"hunter2\"]", "secret = 4711", "secret = { a = \"hunter2\" }", "secret = \"file:///hunter2\""}) {
    const std::string said = saidAbout(head + "name = \"a\"\n" + bad + "\n");
    EXPECT_THAT(said, HasSubstr("error: directory.memory.principals.secret = (hidden)")) << bad;
    EXPECT_THAT(said, Not(HasSubstr("hunter2"))) << bad;
    EXPECT_THAT(said, Not(HasSubstr("4711"))) << bad;
  }
}

TEST(AccountsOfTheConfiguration, DisableIsObeyed) {
  EXPECT_TRUE(
      settingsOf(smtp +
                 "directory.memory.disable = true\n[[directory.memory.principals]]\nname = \"a\"\nsecret = \"x\"\n")
          .accounts.empty());
}

}  // namespace
}  // namespace postern::config
