// Names that a CA would refuse, and ports on which it must be answered.
#include <gmock/gmock.h>

#include "loading.h"

namespace postern::config {
namespace {

using testing::HasSubstr;
using testing::Not;

const std::string hook =
    "acme.le.challenge = \"dns-01\"\nacme.le.dns.provider = \"hook\"\nacme.le.dns.hook = \"/bin/true\"\n";

TEST(AcmeNames, WhatACaWouldRefuseIsAnErrorAtLoad) {
  const auto saidOf = [](const std::string& name, const std::string& more = "") {
    return saidAbout("server.hostname = \"" + name + "\"\n" + smtpAcme.substr(server.size()) + more);
  };
  const std::string caFile = "acme.le.ca-file = \"" POSTERN_TEST_DATA "/ca.pem\"\n";
  EXPECT_EQ(saidOf("mail.example.org"), "");
  EXPECT_THAT(
      saidOf("mail"),
      HasSubstr("postern.toml:1: error: server.hostname = \"mail\": no public CA certifies a name without a dot"));
  EXPECT_THAT(saidOf("localhost"), HasSubstr("no public CA certifies localhost"));
  EXPECT_EQ(saidOf("mail", caFile), "");
  EXPECT_EQ(saidOf("localhost", caFile), "");
  EXPECT_THAT(saidAbout("server.hostname = [\"a.b\", \"*.b\"]\n" + smtpAcme.substr(server.size())),
              HasSubstr("wildcard"));
  EXPECT_THAT(saidAbout(smtpAcme + "acme.le.domains = [[\"*.example.org\"], \"single\", \"a b\"]\n"),
              testing::AllOf(HasSubstr("wildcard by dns-01 alone"), HasSubstr("without a dot"), HasSubstr("blanks")));
}

TEST(AcmeNames, AProviderThatDoesNotExistCountsAsOneWithoutCaFile) {
  const std::string said =
      saidAbout("server.hostname = \"localhost\"\nserver.tls.acme = \"none\"\n" + smtp.substr(server.size()));
  EXPECT_THAT(said, HasSubstr("there is no section"));
  EXPECT_THAT(said, HasSubstr("no public CA certifies localhost"));
}

TEST(AcmeNames, WithoutAcmeLocalNamesAndAddressesAreFine) {
  EXPECT_EQ(settingsOf("server.hostname = [\"localhost\", \"192.0.2.1\", \"::1\"]\n" + smtp.substr(server.size()))
                .hostnames.size(),
            3U);
  // A listener without TLS puts no name into an order.
  EXPECT_EQ(saidAbout("server.hostname = \"localhost\"\n" + smtpAcme.substr(server.size()) +
                      "server.listener.smtp.tls.enable = false\n"),
            "");
}

TEST(AcmeNames, WildcardsNeedDns01AndAddressesSomethingElse) {
  const auto saidOf = [](const std::string& names, const std::string& more = "") {
    return saidAbout("server.hostname = " + names + "\n" + smtpAcme.substr(server.size()) + more);
  };
  const std::string wildcard = "[\"mail.example.org\", \"*.example.org\"]", address = "\"192.0.2.1\"";
  const std::string both = hook + "acme.le.domains = [\"*.example.net\", \"2001:DB8::1\"]\n";
  EXPECT_THAT(saidOf(wildcard),
              HasSubstr("a CA certifies a wildcard by dns-01 alone, which challenge does not name; add"));
  EXPECT_EQ(saidOf(wildcard, hook), "");
  EXPECT_EQ(saidOf(address), "");
  EXPECT_EQ(saidOf(address, "acme.le.challenge = \"http-01\"\n"), "");
  EXPECT_THAT(saidOf(address, hook), HasSubstr("a CA certifies no IP address by dns-01"));
  EXPECT_THAT(saidOf("\"a.example.org\"", both), HasSubstr("acme.le.domains = \"2001:DB8::1\": a CA certifies no IP"));
  std::string several = both;
  several.replace(several.find("\"dns-01\""), 8, "[\"dns-01\", \"http-01\"]");
  EXPECT_EQ(saidOf(address, several), "");
}

TEST(AcmeNames, AWildcardAndAnAddressAreNeverOfOneCertificate) {
  std::string several = hook;
  several.replace(several.find("\"dns-01\""), 8, "[\"dns-01\", \"http-01\"]");
  const std::string problem = "\"192.0.2.1\": no challenge validates an IP address and a wildcard";
  EXPECT_THAT(
      saidAbout("server.hostname = [\"a.b\", \"*.b\", \"192.0.2.1\"]\n" + smtpAcme.substr(server.size()) + several),
      HasSubstr("error: server.hostname = " + problem));
  EXPECT_THAT(saidAbout(smtpAcme + several + "acme.le.domains = [[\"192.0.2.1\", \"*.b.c\"]]\n"),
              HasSubstr("error: acme.le.domains = " + problem));
  EXPECT_EQ(saidAbout(smtpAcme + several + "acme.le.domains = [\"192.0.2.1\", \"*.b.c\"]\n"), "");
}

TEST(AcmeNames, AddressesAreSpeltInOneWay) {
  EXPECT_EQ(settingsOf("server.hostname = [\"2001:DB8:0::0:1\", \"2001:db8::1\"]\n" + smtpAcme.substr(server.size()))
                .hostnames,
            (std::vector<std::string>{"2001:db8::1"}));
}

TEST(ChallengePort, AListenerThereThatCannotAnswerIsAnError) {
  const std::string text =
      server + provider +
      "server.tls.acme = \"le\"\n[server.listener.web]\nprotocol = \"http\"\nbind = [\"[::]:80\", \"[::]:443\"]\n";
  EXPECT_THAT(saidAbout(text + "[server.listener.s]\nprotocol = \"smtp\"\nbind = \"[::]:25\"\n"),
              HasSubstr("postern.toml:6: error: server.listener.web.bind = \"[::]:443\": this is the port of the "
                        "TLS-ALPN-01 challenge of acme.le"));
  EXPECT_EQ(saidAbout(text + "tls.implicit = true\n"), "");
  // Nothing is ordered from the provider.
  EXPECT_THAT(saidAbout(text), Not(HasSubstr("error")));
  EXPECT_THAT(saidAbout(server + "acme.le.domains = \"a.b\"\n" + provider +
                        "[server.listener.web]\nprotocol = \"http\"\nbind = [\"[::]:443\"]\n"),
              HasSubstr("challenge"));
}

TEST(ChallengePort, OfHttp01IsForPlainHttpListeners) {
  const std::string text = server + provider + "server.tls.acme = \"le\"\nacme.le.challenge = \"http-01\"\n";
  const std::string mail = "[server.listener.s]\nprotocol = \"smtp\"\nbind = \"[::]:25\"\n";
  const std::string web = "[server.listener.web]\nprotocol = \"http\"\nbind = \"[::]:80\"\n";
  EXPECT_EQ(saidAbout(text + web + mail), "");
  EXPECT_THAT(saidAbout(text + web + "tls.implicit = true\n" + mail),
              HasSubstr("this is the port of the HTTP-01 challenge of acme.le"));
  EXPECT_THAT(saidAbout(text + "acme.le.http-port = 25\n" + mail), HasSubstr("HTTP-01 challenge of acme.le"));
  // Nothing answers TLS-ALPN-01 where the provider does not use it.
  EXPECT_EQ(saidAbout(text + "[server.listener.s]\nprotocol = \"smtp\"\nbind = \"[::]:443\"\n"), "");
}

TEST(ChallengePort, OfAFallbackCountsToo) {
  const std::string text = server + provider + "server.tls.acme = \"le\"\nacme.le.fallback = \"other\"\n" +
                           "acme.other.cache = \"x\"\nacme.other.port = 25\n";
  EXPECT_THAT(saidAbout(text + "[server.listener.s]\nprotocol = \"smtp\"\nbind = \"[::]:25\"\n"),
              HasSubstr("the TLS-ALPN-01 challenge of acme.other"));
}

}  // namespace
}  // namespace postern::config
