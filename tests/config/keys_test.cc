// Every key of the table: those in effect change the settings, those of later issues are refused, all are documented.
#include "config/keys.h"

#include <gmock/gmock.h>

#include <set>

#include "loading.h"

namespace postern::config {
namespace {

using testing::HasSubstr;

const std::string imap = "server.listener.imap.bind = \"127.0.0.1:1143\"\nserver.listener.imap.protocol = \"imap\"\n";
const std::string web =
    server + "server.listener.web.bind = \"0.0.0.0:8080\"\nserver.listener.web.protocol = \"http\"\n";
const std::string ownCertificate =
    "certificate.own.cert = \"-----BEGIN CERTIFICATE-----\"\ncertificate.own.private-key = \"-----BEGIN PRIVATE "
    "KEY-----\"\n";
// DNS-01 by each of its methods.
const std::string update = smtpAcme +
                           "acme.le.challenge = \"dns-01\"\nacme.le.dns.provider = \"rfc2136-tsig\"\n"
                           "acme.le.dns.server = \"ns.example.org\"\nacme.le.dns.key = \"k\"\n"
                           "acme.le.dns.secret = \"AAEC\"\n";
const std::string hook = smtpAcme +
                         "acme.le.challenge = \"dns-01\"\nacme.le.dns.provider = \"hook\"\n"
                         "acme.le.dns.hook = \"/bin/true\"\n";
const std::string bound = smtpAcme + "acme.le.eab.key-id = \"kid\"\nacme.le.eab.hmac-key = \"AAEC\"\n";
const std::string twoProviders = smtpAcme + "acme.other.cache = \"/var/cache/other\"\n";
const std::string account = "[[directory.memory.principals]]\nname = \"alice\"\nsecret = \"x\"\n";

std::string with(std::string text, const std::string& what, const std::string& other) {
  return text.replace(text.find(what), what.size(), other);
}

// A configuration without the key, and what setting it adds; where a key is required, another value of it.
struct Effect {
  std::string pattern, without, with;
};

const std::vector<Effect>& effects() {
  static const std::vector<Effect> all{
      {"macros.<name>", smtp + "server.listener.smtp.greeting = \"%{g}%\"\nmacros.g = \"a\"\n",
       smtp + "server.listener.smtp.greeting = \"%{g}%\"\nmacros.g = \"b\"\n"},
      {"server.hostname", smtp, "server.hostname = \"other.example.org\"\n" + smtp.substr(server.size())},
      {"server.max-connections", smtp, smtp + "server.max-connections = 12\n"},
      {"server.max-connections-per-ip", smtp, smtp + "server.max-connections-per-ip = 3\n"},
      {"server.shutdown-timeout", smtp, smtp + "server.shutdown-timeout = \"3s\"\n"},
      {"server.run-as.user", smtp, smtp + "server.run-as.user = \"mail\"\n"},
      {"server.run-as.group", smtp + "server.run-as.user = \"mail\"\n",
       smtp + "server.run-as.user = \"mail\"\nserver.run-as.group = \"mail\"\n"},
      {"server.socket.backlog", smtp, smtp + "server.socket.backlog = 5\n"},
      {"server.socket.reuse-addr", smtp, smtp + "server.socket.reuse-addr = false\n"},
      {"server.socket.reuse-port", smtp, smtp + "server.socket.reuse-port = true\n"},
      {"server.socket.nodelay", smtp, smtp + "server.socket.nodelay = false\n"},
      {"server.socket.ttl", smtp, smtp + "server.socket.ttl = 64\n"},
      {"server.socket.linger", smtp, smtp + "server.socket.linger = \"2s\"\n"},
      {"server.socket.tos", smtp, smtp + "server.socket.tos = 16\n"},
      {"server.socket.send-buffer-size", smtp, smtp + "server.socket.send-buffer-size = \"64K\"\n"},
      {"server.socket.recv-buffer-size", smtp, smtp + "server.socket.recv-buffer-size = 65536\n"},
      {"server.proxy.trusted-networks", smtp, smtp + "server.proxy.trusted-networks = \"10.0.0.0/8\"\n"},
      {"server.proxy-trusted-networks", smtp, smtp + "server.proxy-trusted-networks = [\"10.0.0.0/8\"]\n"},
      {"server.tls.enable", smtp, smtp + "server.tls.enable = true\n"},
      {"server.tls.implicit", smtpAcme, smtpAcme + "server.tls.implicit = true\n"},
      {"server.tls.timeout", smtp, smtp + "server.tls.timeout = \"5s\"\n"},
      {"server.tls.acme", smtp + provider, smtpAcme},
      {"server.tls.certificate", smtp + ownCertificate, smtp + ownCertificate + "server.tls.certificate = \"own\"\n"},
      {"server.tls.sni", smtpAcme + ownCertificate,
       smtpAcme + ownCertificate + "server.tls.sni = [{subject = \"a.b\", certificate = \"own\"}]\n"},
      {"server.tls.sni.[].subject",
       smtpAcme + ownCertificate + "server.tls.sni = [{subject = \"a.b\", certificate = \"own\"}]\n",
       smtpAcme + ownCertificate + "server.tls.sni = [{subject = \"*.b.c\", certificate = \"own\"}]\n"},
      {"server.tls.sni.[].certificate",
       smtpAcme + ownCertificate +
           "certificate.z.cert = \"-----BEGIN CERTIFICATE-----\"\ncertificate.z.private-key = \"-----BEGIN PRIVATE "
           "KEY-----\"\n"
           "server.tls.sni = [{subject = \"a.b\", certificate = \"own\"}]\n",
       smtpAcme + ownCertificate +
           "certificate.z.cert = \"-----BEGIN CERTIFICATE-----\"\ncertificate.z.private-key = \"-----BEGIN PRIVATE "
           "KEY-----\"\n"
           "server.tls.sni = [{subject = \"a.b\", certificate = \"z\"}]\n"},
      {"server.tls.policy", smtpAcme, smtpAcme + "server.tls.policy = \"modern\"\n"},
      {"server.tls.protocols", smtpAcme, smtpAcme + "server.tls.protocols = \"TLSv1.3\"\n"},
      {"server.tls.ciphers", smtpAcme, smtpAcme + "server.tls.ciphers = [\"TLS13_AES_256_GCM_SHA384\"]\n"},
      {"server.tls.groups", smtpAcme, smtpAcme + "server.tls.groups = \"P-384\"\n"},
      {"server.tls.ignore-client-order", smtpAcme, smtpAcme + "server.tls.ignore-client-order = false\n"},
      {"server.tls.session-tickets", smtpAcme, smtpAcme + "server.tls.session-tickets = false\n"},
      {"server.tls.required", smtpAcme, smtpAcme + "server.tls.required = true\n"},
      {"server.tls.strict-sni", smtpAcme, smtpAcme + "server.tls.strict-sni = true\n"},
      {"server.tls.client-auth", smtpAcme, smtpAcme + "server.tls.client-auth = \"request\"\n"},
      {"server.tls.client-ca", smtpAcme + "server.tls.client-auth = \"request\"\n",
       smtpAcme + "server.tls.client-auth = \"request\"\nserver.tls.client-ca = \"" POSTERN_TEST_DATA "/ca.pem\"\n"},
      {"server.tls.max-handshakes", smtp, smtp + "server.tls.max-handshakes = 7\n"},
      {"server.tls.handshake-rate-per-ip", smtp, smtp + "server.tls.handshake-rate-per-ip = \"10/1s\"\n"},
      {"server.listener.<id>.bind", smtp,
       smtp.substr(0, smtp.find("2525")) + "2526" + smtp.substr(smtp.find("2525") + 4)},
      {"server.listener.<id>.protocol", web, web.substr(0, web.rfind("http")) + "smtp\"\n"},
      {"server.listener.<id>.role", smtp, smtp + "server.listener.smtp.role = \"submission\"\n"},
      {"server.listener.<id>.greeting", smtp, smtp + "server.listener.smtp.greeting = \"hello\"\n"},
      {"server.listener.<id>.idle-timeout", smtp, smtp + "server.listener.smtp.idle-timeout = \"9m\"\n"},
      {"server.listener.<id>.allow-plain-text", smtp, smtp + "server.listener.smtp.allow-plain-text = true\n"},
      {"server.listener.<id>.metrics", web, web + "server.listener.web.metrics = true\n"},
      {"acme.<name>.directory", smtpAcme, smtpAcme + "acme.le.directory = \"https://ca.example/dir\"\n"},
      {"acme.<name>.contact", smtpAcme, smtpAcme + "acme.le.contact = \"a@example.org\"\n"},
      {"acme.<name>.cache", smtpAcme, smtp + "acme.le.cache = \"/elsewhere\"\nserver.tls.acme = \"le\"\n"},
      {"acme.<name>.port", smtpAcme, smtpAcme + "acme.le.port = 5001\n"},
      {"acme.<name>.renew-before", smtpAcme, smtpAcme + "acme.le.renew-before = \"20d\"\n"},
      {"acme.<name>.domains", smtpAcme, smtpAcme + "acme.le.domains = \"more.example.org\"\n"},
      {"acme.<name>.ca-file", smtpAcme, smtpAcme + "acme.le.ca-file = \"" POSTERN_TEST_DATA "/ca.pem\"\n"},
      {"acme.<name>.challenge-bind", smtpAcme, smtpAcme + "acme.le.challenge-bind = \"127.0.0.1\"\n"},
      {"acme.<name>.challenge", smtpAcme, smtpAcme + "acme.le.challenge = [\"http-01\", \"tls-alpn-01\"]\n"},
      {"acme.<name>.http-port", smtpAcme, smtpAcme + "acme.le.http-port = 8080\n"},
      {"acme.<name>.profile", smtpAcme, smtpAcme + "acme.le.profile = \"shortlived\"\n"},
      {"acme.<name>.preferred-chain", smtpAcme, smtpAcme + "acme.le.preferred-chain = \"ISRG Root X1\"\n"},
      {"acme.<name>.eab.key-id", bound, with(bound, "\"kid\"", "\"other\"")},
      {"acme.<name>.eab.hmac-key", bound, with(bound, "AAEC", "AAED")},
      {"acme.<name>.reuse-key", smtpAcme, smtpAcme + "acme.le.reuse-key = true\n"},
      {"acme.<name>.fallback", twoProviders, twoProviders + "acme.le.fallback = \"other\"\n"},
      {"acme.<name>.staging", twoProviders, twoProviders + "acme.le.staging = \"other\"\n"},
      {"acme.<name>.orders", smtpAcme, smtpAcme + "acme.le.orders = 2\n"},
      {"acme.<name>.export", smtpAcme, smtpAcme + "acme.le.export = \"/etc/tls\"\n"},
      {"acme.<name>.export-group", smtpAcme + "acme.le.export = \"/etc/tls\"\n",
       smtpAcme + "acme.le.export = \"/etc/tls\"\nacme.le.export-group = \"mail\"\n"},
      {"acme.<name>.key-type", smtpAcme, smtpAcme + "acme.le.key-type = \"rsa-2048\"\n"},
      {"acme.<name>.dns.provider", update, hook},
      {"acme.<name>.dns.server", update, with(update, "\"ns.", "\"ns2.")},
      {"acme.<name>.dns.key", update, with(update, "\"k\"", "\"l\"")},
      {"acme.<name>.dns.secret", update, with(update, "AAEC", "AAED")},
      {"acme.<name>.dns.tsig-algorithm", update, update + "acme.le.dns.tsig-algorithm = \"hmac-sha512\"\n"},
      {"acme.<name>.dns.ttl", update, update + "acme.le.dns.ttl = \"2m\"\n"},
      {"acme.<name>.dns.propagation-timeout", update, update + "acme.le.dns.propagation-timeout = \"1h\"\n"},
      {"acme.<name>.dns.polling-interval", update, update + "acme.le.dns.polling-interval = \"500ms\"\n"},
      {"acme.<name>.dns.hook", hook, with(hook, "/bin/true", "/bin/false")},
      {"events.hook", smtp, smtp + "events.hook = \"/bin/true\"\n"},
      {"certificate.<name>.cert", smtp + ownCertificate,
       smtp + "certificate.own.cert = \"-----BEGIN CERTIFICATE----- x\"\ncertificate.own.private-key = \"-----BEGIN "
              "PRIVATE KEY-----\"\n"},
      {"certificate.<name>.private-key", smtp + ownCertificate,
       smtp + "certificate.own.cert = \"-----BEGIN CERTIFICATE-----\"\ncertificate.own.private-key = \"-----BEGIN "
              "PRIVATE KEY----- x\"\n"},
      {"directory.memory.disable", smtp + account, smtp + "directory.memory.disable = true\n" + account},
      {"directory.memory.principals", smtp, smtp + account},
      {"directory.memory.principals.[].name", smtp + account,
       smtp + "[[directory.memory.principals]]\nname = \"bob\"\nsecret = \"x\"\n"},
      {"directory.memory.principals.[].secret", smtp + account,
       smtp + "[[directory.memory.principals]]\nname = \"alice\"\nsecret = \"y\"\n"},
      {"directory.memory.principals.[].email", smtp + account, smtp + account + "email = \"alice@example.org\"\n"},
      {"storage.maildir", smtp, smtp + "storage.maildir = \"/var/mail\"\n"},
      {"control.socket", smtp, smtp + "control.socket = \"/tmp/control\"\n"},
      {"global.thread-pool", smtp, smtp + "global.thread-pool = 9\n"},
      {"global.tracing.level", smtp, smtp + "global.tracing.level = \"debug\"\n"},
      {"global.tracing.format", smtp, smtp + "global.tracing.format = \"json\"\n"},
      {"global.tracing.method", smtp + "global.tracing.path = \"/var/log/x\"\n",
       smtp + "global.tracing.path = \"/var/log/x\"\nglobal.tracing.method = \"log\"\n"},
      {"global.tracing.path", smtp, smtp + "global.tracing.path = \"/var/log/x\"\n"},
      {"global.tracing.prefix", smtp + "global.tracing.path = \"/x\"\nglobal.tracing.method = \"log\"\n",
       smtp + "global.tracing.path = \"/x\"\nglobal.tracing.method = \"log\"\nglobal.tracing.prefix = \"p\"\n"}};
  return all;
}

Settings withoutFiles(const std::string& text) {
  Settings settings = settingsOf(text);
  settings.files.clear();  // each text is a file of its own
  return settings;
}

TEST(Keys, EveryKeyInEffectChangesTheSettings) {
  for (const Effect& effect : effects()) {
    EXPECT_FALSE(withoutFiles(effect.without) == withoutFiles(effect.with)) << effect.pattern << " is ignored";
  }
}

TEST(Keys, EveryKeyOfAListenerChangesThatListenerAlone) {
  const std::string other =
      "server.listener.other.bind = \"127.0.0.1:2527\"\nserver.listener.other.protocol = \"smtp\"\n";
  for (const Effect& effect : effects()) {
    const Key* key = nullptr;
    for (const Key& one : keys()) key = one.pattern == effect.pattern ? &one : key;
    ASSERT_NE(key, nullptr) << effect.pattern;
    if (!key->alsoPerListener || effect.pattern == "server.hostname") continue;
    std::string with = effect.with;
    const std::string name = effect.pattern.substr(7, effect.pattern.find(".[]") - 7);
    const auto at = with.rfind("server." + name);
    ASSERT_NE(at, std::string::npos) << effect.pattern;
    with.replace(at, 7, "server.listener.smtp.");
    const std::string base = effect.pattern.find(".[]") == std::string::npos
                                 ? effect.without
                                 : effect.without.substr(0, effect.without.find("server.tls.sni"));
    const Settings before = withoutFiles(base + other), after = withoutFiles(with + other);
    EXPECT_FALSE(listenerOf(before, "smtp") == listenerOf(after, "smtp"))
        << effect.pattern << " is ignored at the listener";
    EXPECT_TRUE(listenerOf(before, "other") == listenerOf(after, "other"))
        << effect.pattern << " of one listener reached another";
  }
}

TEST(Keys, AListenersHostnameReplacesTheServers) {
  const Settings settings =
      settingsOf(smtp + imap + "server.listener.smtp.hostname = [\"a.example.org\", \"B.example.org\"]\n");
  EXPECT_EQ(listenerOf(settings, "smtp").listener.hostnames,
            (std::vector<std::string>{"a.example.org", "b.example.org"}));
  EXPECT_EQ(listenerOf(settings, "imap").listener.hostnames, (std::vector<std::string>{"mail.example.org"}));
}

TEST(Keys, EveryKeyInEffectHasATest) {
  std::set<std::string> tested{"include.files"};  // sources_test.cc
  for (const Effect& effect : effects()) tested.insert(effect.pattern);
  for (const Key& key : keys()) {
    if (key.issue == Issue::Main) {
      EXPECT_EQ(tested.count(key.pattern), 1U) << key.pattern;
    }
  }
}

// What is left for later issues; whoever brings one into effect takes it out here.
const std::set<std::string> left{"server.listener.<id>.upstream",
                                 "server.listener.<id>.upstream-proxy-protocol",
                                 "server.listener.<id>.upstream-xclient",
                                 "server.listener.<id>.upstream-tls",
                                 "server.listener.<id>.upstream-ca",
                                 "server.listener.<id>.route-by-sni",
                                 "server.listener.<id>.route-by-sni.[].subject",
                                 "server.listener.<id>.route-by-sni.[].upstream",
                                 "server.listener.<id>.status-page"};

// A value of the key's type that is not its default, as TOML.
std::string otherValue(const Key& key) {
  switch (key.type) {
    case Type::Boolean: return key.fallback == "true" ? "false" : "true";
    case Type::Count: return "7";
    case Type::Duration: return "\"77s\"";
    case Type::Rate: return "\"10/1s\"";
    case Type::Word:
    case Type::Words: return "\"" + (key.words.front() == key.fallback ? key.words.back() : key.words.front()) + "\"";
    case Type::Tables: return "[{subject = \"a.b\", upstream = \"x\"}]";
    case Type::Secret: return "\"hunter2\"";
    default: return "\"some-text\"";
  }
}

std::string placed(const Key& key) {
  std::string name = key.pattern;
  const auto put = [&name](const std::string& what, const std::string& with) {
    if (const auto at = name.find(what); at != std::string::npos) name.replace(at, what.size(), with);
  };
  put("<id>", "smtp");
  put("<name>", "le");
  return name;
}

TEST(Keys, ThoseOfLaterIssuesAreTheOnesListed) {
  std::set<std::string> found;
  for (const Key& key : keys()) {
    if (key.issue != Issue::Main) found.insert(key.pattern);
  }
  EXPECT_EQ(found, left);
}

TEST(Keys, ThoseOfLaterIssuesAreRefusedByKeyAndLine) {
  for (const Key& key : keys()) {
    if (key.issue == Issue::Main || key.pattern.find("[]") != std::string::npos) continue;
    const std::string said = saidAbout(smtpAcme + placed(key) + " = " + otherValue(key) + "\n");
    EXPECT_THAT(said, HasSubstr("postern.toml:6: error: " + placed(key))) << key.pattern;
    EXPECT_THAT(said, HasSubstr("not yet in effect")) << key.pattern;
    if (key.type == Type::Secret) {
      EXPECT_THAT(said, testing::Not(HasSubstr("hunter2")));
    }
    if (!key.alsoPerListener) continue;
    const std::string own = "server.listener.smtp." + key.pattern.substr(7);
    EXPECT_THAT(saidAbout(smtpAcme + own + " = " + otherValue(key) + "\n"), HasSubstr("postern.toml:6: error: " + own));
  }
}

TEST(Keys, ThoseOfLaterIssuesMayBeSetToTheirDefaultAndAreTyped) {
  for (const Key& key : keys()) {
    if (key.issue == Issue::Main || key.pattern.find("[]") != std::string::npos) continue;
    std::string standard =
        key.type == Type::Count || key.type == Type::Boolean ? key.fallback : "\"" + key.fallback + "\"";
    if (key.fallback == "none" && key.type != Type::Word) standard = "\"\"";
    EXPECT_EQ(saidAbout(smtpAcme + placed(key) + " = " + standard + "\n"), "") << key.pattern;
    EXPECT_THAT(saidAbout(smtpAcme + placed(key) + " = 1979-05-27\n"), HasSubstr("expected")) << key.pattern;
  }
}

TEST(Keys, EveryKeyRefusesAValueOfAnotherType) {
  for (const Key& key : keys()) {
    if (key.pattern.find("[]") != std::string::npos || key.type == Type::Any || key.pattern == "include.files")
      continue;
    const std::string said = saidAbout(placed(key) + " = 1979-05-27\n");
    EXPECT_THAT(said, HasSubstr("postern.toml:1: error: " + placed(key))) << key.pattern;
    EXPECT_THAT(said, HasSubstr("expected")) << key.pattern;
  }
}

TEST(Keys, AListKeyTakesOneValueAtEveryLevel) {
  for (const std::string& place : {std::string("server."), std::string("server.listener.smtp.")}) {
    for (const std::string& pair :
         {std::string("proxy.trusted-networks|\"10.0.0.0/8\""), std::string("tls.protocols|\"TLSv1.3\""),
          std::string("tls.ciphers|\"TLS13_AES_128_GCM_SHA256\""), std::string("tls.groups|\"X25519\"")}) {
      const std::string key = pair.substr(0, pair.find('|')), value = pair.substr(pair.find('|') + 1);
      EXPECT_TRUE(withoutFiles(smtpAcme + place + key + " = " + value + "\n") ==
                  withoutFiles(smtpAcme + place + key + " = [" + value + "]\n"))
          << place << key;
    }
  }
  EXPECT_EQ(settingsOf("server.hostname = [\"a.b\"]\n").hostnames, settingsOf("server.hostname = \"a.b\"\n").hostnames);
}

TEST(Keys, UnknownOnesWarnWithTheNearestKnownKey) {
  const auto said = [](const std::string& line) { return saidAbout(smtpAcme + line + "\n"); };
  EXPECT_THAT(said("server.tls.timeuot = 1"),
              HasSubstr("warning: server.tls.timeuot: unknown key, passed over; did you mean timeout?"));
  EXPECT_THAT(said("server.listener.smtp.idle-timeot = 1"), HasSubstr("did you mean idle-timeout?"));
  EXPECT_THAT(said("acme.le.renew_before = 1"), HasSubstr("did you mean renew-before?"));
  EXPECT_THAT(said("certificate.x.private_key = \"hunter2\""),
              testing::AllOf(HasSubstr("did you mean private-key?"), testing::Not(HasSubstr("hunter2"))));
  EXPECT_THAT(said("[servr]\na = 1"), HasSubstr("unknown section, passed over; did you mean server?"));
  EXPECT_THAT(said("storage.maildr = \"x\""), HasSubstr("did you mean maildir?"));
  EXPECT_THAT(said("include.flies = \"x\""), HasSubstr("did you mean files?"));
  EXPECT_THAT(said("[[directory.memory.principals]]\nname = \"a\"\nsecret = \"b\"\nemial = \"c\""),
              HasSubstr("did you mean email?"));
  EXPECT_THAT(said("tls.acme = 1"), HasSubstr("warning: tls"));
}

TEST(Keys, SectionsOfOtherServersGetOneNoteEach) {
  const std::string said =
      saidAbout(smtp +
                "[session.ehlo]\na = 1\n[session.auth]\nb = 2\n[queue]\nc = 3\n[directory.ldap]\nsecret = \"x\"\n"
                "[storage]\ndata = \"a\"\nfts = \"b\"\n[store.rocks]\npath = \"x\"\n");
  EXPECT_EQ(said,
            "postern.toml:4: note: session: a section of other mail servers, passed over\n"
            "postern.toml:8: note: queue: a section of other mail servers, passed over\n"
            "postern.toml:10: note: directory.ldap: a section of other mail servers, passed over\n"
            "postern.toml:13: note: storage: keys of other mail servers, passed over; ours is maildir\n"
            "postern.toml:15: note: store: a section of other mail servers, passed over\n");
}

// docs/configuration.md holds one row a key: | `key` | type | default | meaning | in effect |
std::string documentationRow(const Key& key) {
  std::string pattern = key.pattern;
  for (std::size_t at = 0; (at = pattern.find(".[]")) != std::string::npos;) pattern.erase(at, 3);
  std::string meaning = key.meaning;
  for (std::size_t at = 0; (at = meaning.find('|', at)) != std::string::npos; at += 2) meaning.insert(at, "\\");
  return "| `" + pattern + "`" + (key.alsoPerListener ? " (L)" : "") + " | " + typeText(key) + " | " + key.fallback +
         " | " + meaning + " | " +
         (key.issue == Issue::Main ? "yes" : "not yet (" + std::string(issueName(key.issue)) + ")") + " |";
}

TEST(Keys, AreAllDocumentedAndNoOthers) {
  const std::string file = POSTERN_TEST_DATA "/../../../docs/configuration.md";
  std::ifstream in(file);
  ASSERT_TRUE(in) << file;
  std::multiset<std::string> rows;
  for (std::string line; std::getline(in, line);) {
    if (line.rfind("| `", 0) == 0) rows.insert(line);
  }
  for (const Key& key : keys()) {
    const auto at = rows.find(documentationRow(key));
    EXPECT_NE(at, rows.end()) << "missing in docs/configuration.md:\n" << documentationRow(key);
    if (at != rows.end()) rows.erase(at);
  }
  for (const std::string& row : rows) ADD_FAILURE() << "not a key, or said otherwise: " << row;
}

}  // namespace
}  // namespace postern::config
