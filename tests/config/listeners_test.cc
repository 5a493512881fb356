// Defaults of listeners, inheritance, names, addresses.
#include <gmock/gmock.h>

#include "loading.h"

namespace postern::config {
namespace {

using listeners::Role;
using listeners::TlsMode;
using testing::HasSubstr;
using testing::Not;
using namespace std::chrono_literals;

std::string listener(const std::string& protocol, const std::string& bind, const std::string& more = "") {
  return "[server.listener.x]\nprotocol = \"" + protocol + "\"\nbind = " + bind + "\n" + more;
}
ListenerConfig one(const std::string& protocol, const std::string& bind = "\"127.0.0.1:0\"",
                   const std::string& more = "", const std::string& before = server) {
  return listenerOf(settingsOf(before + listener(protocol, bind, more)), "x");
}

TEST(Listeners, HaveTheDefaultsOfTheContract) {
  const ListenerConfig smtpListener = one("smtp");
  listeners::ListenerSettings expected;
  expected.id = "x";
  expected.bind = {{"127.0.0.1", 0}};
  expected.hostnames = {"mail.example.org"};
  EXPECT_TRUE(smtpListener.listener == expected);
  EXPECT_EQ(smtpListener.policy, tls::intermediatePolicy());
  EXPECT_EQ(smtpListener.decidedBy, "");
  EXPECT_EQ(smtpListener.listener.idleTimeout, 5min);
  EXPECT_EQ(one("imap").listener.idleTimeout, 31min);
  EXPECT_EQ(one("imap").listener.loginTimeout, 3min);
  const Settings settings = settingsOf(smtp);
  EXPECT_EQ(settings.threads, 3);
  EXPECT_EQ(settings.shutdownTimeout, 10s);
  EXPECT_EQ(settings.controlSocket, "/run/postern/control.sock");
  EXPECT_EQ(settings.shared, (listeners::SharedSettings{8192, 0, 512, {}}));
  EXPECT_EQ(settings.maildir, "");
  EXPECT_EQ(settings.log, LogSettings());
}

TEST(Listeners, AShortIdleTimeoutBoundsTheTimeBeforeLoginToo) {
  EXPECT_EQ(one("imap", "\"127.0.0.1:0\"", "idle-timeout = \"20s\"\n").listener.loginTimeout, 20s);
  EXPECT_EQ(one("imap", "\"127.0.0.1:0\"", "idle-timeout = \"40m\"\n").listener.loginTimeout, 3min);
}

TEST(Listeners, TheControlSocketStandsInTheRuntimeDirectory) {
  Surroundings around = surroundings();
  around.runtimeDirectory = "/run/user/7";
  EXPECT_EQ(settingsOf(smtp, around).controlSocket, "/run/user/7/control.sock");
}

TEST(Listeners, RoleFollowsPortAndImplicitTls) {
  EXPECT_EQ(one("smtp", "\"[::]:25\"").listener.role, Role::Mx);
  EXPECT_EQ(one("smtp", "\"[::]:587\"").listener.role, Role::Submission);
  EXPECT_EQ(one("smtp", "[\"[::]:25\", \"[::]:465\"]").listener.role, Role::Submission);
  EXPECT_EQ(one("smtp", "\"[::]:2525\"", "tls.implicit = true\n").listener.role, Role::Submission);
  EXPECT_EQ(one("smtp", "\"[::]:587\"", "role = \"mx\"\n").listener.role, Role::Mx);
  EXPECT_EQ(one("smtp", "\"[::]:25\"", "role = \"submission\"\n").listener.role, Role::Submission);
}

TEST(Listeners, RequireTlsForLoginButNotForMail) {
  EXPECT_TRUE(one("smtp", "\"[::]:587\"").listener.tlsRequired);
  EXPECT_TRUE(one("imap").listener.tlsRequired);
  EXPECT_FALSE(one("smtp", "\"[::]:25\"").listener.tlsRequired);
  EXPECT_FALSE(one("imap", "\"[::]:143\"", "allow-plain-text = true\n").listener.tlsRequired);
  EXPECT_TRUE(one("imap", "\"[::]:143\"", "allow-plain-text = true\ntls.required = true\n").listener.tlsRequired);
  EXPECT_FALSE(one("imap", "\"[::]:143\"", "tls.required = false\n").listener.tlsRequired);
  EXPECT_THAT(saidAbout(server + listener("imap", "\"[::]:143\"")),
              HasSubstr("warning: server.listener.x: nobody can log in"));
}

TEST(Listeners, MetricsAreOnWhereEveryAddressIsLoopback) {
  EXPECT_TRUE(one("http", "[\"127.0.0.1:0\", \"[::1]:0\"]").listener.metrics);
  EXPECT_FALSE(one("http", "[\"127.0.0.1:0\", \"0.0.0.0:0\"]").listener.metrics);
  EXPECT_TRUE(one("http", "\"0.0.0.0:0\"", "metrics = true\n").listener.metrics);
  EXPECT_FALSE(one("http", "\"127.0.0.1:0\"", "metrics = false\n").listener.metrics);
  EXPECT_FALSE(one("smtp").listener.metrics);
}

TEST(Listeners, TlsIsOnWhereASourceOrImplicitIsDecided) {
  const std::string acme = server + provider;
  EXPECT_EQ(one("smtp").listener.tls, TlsMode::Off);
  EXPECT_EQ(one("smtp", "\"[::]:25\"", "tls.acme = \"le\"\n", acme).listener.tls, TlsMode::StartTls);
  EXPECT_EQ(one("smtp", "\"[::]:25\"", "tls.implicit = true\n").listener.tls, TlsMode::Implicit);
  EXPECT_EQ(one("smtp", "\"[::]:25\"", "tls.acme = \"le\"\ntls.enable = false\n", acme).listener.tls, TlsMode::Off);
  EXPECT_EQ(one("smtp", "\"[::]:25\"", "tls.enable = true\n").listener.tls, TlsMode::StartTls);
}

TEST(Listeners, HttpHasTlsExactlyWhenImplicit) {
  const std::string acme = server + provider + "server.tls.acme = \"le\"\nserver.tls.enable = true\n";
  EXPECT_EQ(one("http", "\"[::]:80\"", "", acme).listener.tls, TlsMode::Off);
  EXPECT_EQ(one("http", "\"[::]:80\"", "", acme).acme, "");
  EXPECT_EQ(one("http", "\"[::]:443\"", "tls.implicit = true\n", acme).listener.tls, TlsMode::Implicit);
  EXPECT_EQ(one("http", "\"[::]:443\"", "tls.implicit = true\ntls.enable = false\n", acme).listener.tls,
            TlsMode::Implicit);
}

TEST(Listeners, ImplicitAndDisabledContradictEachOther) {
  EXPECT_THAT(
      saidAbout(server + "server.tls.enable = false\n" + listener("imap", "\"[::]:993\"", "tls.implicit = true\n")),
      HasSubstr("error: server.listener.x.tls.implicit = \"true\": contradicts enable = false at postern.toml:2"));
}

TEST(Listeners, TheEmptyTextAndListSwitchOffWhatTheServerSays) {
  const std::string before =
      server +
      "server.proxy.trusted-networks = \"10.0.0.0/8\"\nserver.tls.timeout = \"5s\"\n"
      "server.socket.ttl = 9\nserver.max-connections = 3\nserver.tls.ciphers = \"TLS13_AES_256_GCM_SHA384\"\n";
  const ListenerConfig inherited = one("smtp", "\"[::]:25\"", "", before);
  EXPECT_EQ(inherited.listener.trustedNetworks.size(), 1U);
  EXPECT_EQ(inherited.listener.tlsTimeout, 5s);
  for (const std::string& off : {std::string("\"\""), std::string("[]")}) {
    const ListenerConfig got =
        one("smtp", "\"[::]:25\"",
            "proxy.trusted-networks = " + off + "\ntls.timeout = " + off + "\nsocket.ttl = " + off +
                "\nmax-connections = " + off + "\ntls.ciphers = " + off + "\n",
            before);
    EXPECT_TRUE(got.listener.trustedNetworks.empty());
    EXPECT_EQ(got.listener.tlsTimeout, 1min);
    EXPECT_EQ(got.listener.socket.ttl, std::nullopt);
    EXPECT_EQ(got.listener.maxConnections, 8192U);
    EXPECT_EQ(got.policy.ciphers, tls::intermediatePolicy().ciphers);
  }
}

TEST(Listeners, ALimitOfItsOwnIsNotCutByTheSharedOne) {
  const Settings settings =
      settingsOf(smtp +
                 "server.max-connections = 10\nserver.max-connections-per-ip = 2\n"
                 "server.listener.smtp.max-connections = 50\nserver.listener.smtp.max-connections-per-ip = 0\n");
  EXPECT_EQ(settings.shared, (listeners::SharedSettings{50, 0, 512, {}}));
}

TEST(Listeners, TrustedNetworksAreReadUnderTheirOlderName) {
  const std::string older = server + "server.proxy-trusted-networks = \"10.0.0.0/8\"\n";
  EXPECT_EQ(one("smtp", "\"[::]:25\"", "", older).listener.trustedNetworks.size(), 1U);
  EXPECT_EQ(one("smtp", "\"[::]:25\"", "proxy.trusted-networks = []\n", older).listener.trustedNetworks.size(), 0U);
  EXPECT_THAT(saidAbout(older + "server.proxy.trusted-networks = \"::1\"\n"), HasSubstr("set twice"));
}

TEST(Listeners, AddressesBoundTwiceNameBothPlaces) {
  const std::string said = saidAbout(server + listener("smtp", "[\"127.0.0.1:25\", \"[::1]:26\"]") +
                                     "[server.listener.y]\nprotocol = \"imap\"\nbind = \"[0:0::1]:26\"\n");
  EXPECT_THAT(said, HasSubstr("postern.toml:7: error: server.listener.y.bind = \"[0:0::1]:26\": bound twice; "
                              "server.listener.x.bind at postern.toml:4"));
  EXPECT_THAT(saidAbout(server + listener("smtp", "[\"127.0.0.1:25\", \"127.0.0.1:25\"]")), HasSubstr("bound twice"));
  EXPECT_THAT(saidAbout(server + listener("smtp", "[\"127.0.0.1:0\", \"127.0.0.1:0\", \"[::]:25\", \"0.0.0.0:25\"]")),
              Not(HasSubstr("error")));
}

TEST(Listeners, OfOtherServersAreReadAsFarAsPossible) {
  const auto saidOf = [](const std::string& protocol) {
    return saidAbout(smtp + listener(protocol, "\"127.0.0.1:0\""));
  };
  EXPECT_THAT(saidOf("jmap"), HasSubstr("warning: server.listener.x.protocol = \"jmap\": read as http"));
  EXPECT_EQ(one("jmap").listener.protocol, listeners::Protocol::Http);
  EXPECT_EQ(one("https").listener.protocol, listeners::Protocol::Http);
  EXPECT_THAT(saidOf("managesieve"), HasSubstr("warning: server.listener.x.protocol = \"managesieve\": not opened"));
  EXPECT_EQ(settingsOf(smtp + listener("managesieve", "\"127.0.0.1:0\"")).listeners.size(), 1U);
  EXPECT_THAT(saidOf("pop3"), HasSubstr("not yet in effect"));
  EXPECT_THAT(saidOf("lmtp"), HasSubstr("not yet in effect"));
  EXPECT_THAT(saidAbout(smtp + listener("managesieve", "\"127.0.0.1:0\"", "upstream = \"127.0.0.1:4190\"\n")),
              HasSubstr("not yet in effect"));
}

TEST(Listeners, ComeInTheOrderOfTheirIdsWithTheirPlaces) {
  const Loaded result =
      loaded(server +
             "[server.listener.\"z.z\"]\nbind = \"[::]:1\"\nprotocol = \"smtp\"\n"
             "[server.listener.a]\nbind = \"[::]:2\"\nprotocol = \"smtp\"\n[acme.\"b.c\"]\ncache = \"x\"\n");
  ASSERT_TRUE(result.settings) << result.diagnostics.text();
  EXPECT_EQ(result.settings->listeners.at(0).listener.id, "a");
  EXPECT_EQ(result.settings->listeners.at(1).listener.id, "z.z");
  EXPECT_EQ(result.places.at("listener/z.z").line, 2);
  EXPECT_EQ(result.places.at("acme/b.c").line, 8);
}

TEST(Listeners, LogFilesFollowMethodPathAndPrefix) {
  const auto file = [](const std::string& lines) { return settingsOf(smtp + "[global.tracing]\n" + lines).log.file; };
  EXPECT_EQ(file(""), "");
  EXPECT_EQ(file("path = \"/var/log/postern\"\n"), "/var/log/postern");
  EXPECT_EQ(file("method = \"log\"\npath = \"/var/log\"\nprefix = \"p.log\"\n"), "/var/log/p.log");
  EXPECT_EQ(file("method = \"log\"\npath = \"/var/log/\"\n"), "/var/log/postern.log");
  EXPECT_EQ(file("method = \"stderr\"\n"), "");
  EXPECT_EQ(file("method = \"journal\"\n"), "");
  for (const auto& level :
       {std::pair("trace", LogLevel::Trace), std::pair("debug", LogLevel::Debug), std::pair("info", LogLevel::Info),
        std::pair("warn", LogLevel::Warn), std::pair("error", LogLevel::Error)}) {
    EXPECT_EQ(settingsOf(smtp + "global.tracing.level = \"" + level.first + "\"\n").log.level, level.second);
  }
}

}  // namespace
}  // namespace postern::config
