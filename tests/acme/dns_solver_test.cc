#include "acme/dns_solver.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <fstream>
#include <optional>
#include <thread>

#include "acme/error.h"
#include "base/encoding.h"
#include "tests/support/dns_server.h"
#include "tests/support/fake_clock.h"
#include "tests/support/temporary_folder.h"

namespace postern::acme {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::SizeIs;

const std::string recordName = "_acme-challenge.example.org";

// A primary and a secondary on two loopback addresses and one port; the primary stands for the system's resolver too.
struct DnsSolverTest : ::testing::Test {
  DnsSolverTest() {
    for (test::DnsServer* server : {&primary, &secondary}) {
      server->holdZone("example.org");
      server->addRecord("example.org. 60 IN NS ns1.example.org.");
      server->addRecord("example.org. 60 IN NS ns2.example.org.");
      server->addRecord("ns1.example.org. 60 IN A 127.0.0.1");
      server->addRecord("ns2.example.org. 60 IN A 127.0.0.2");
    }
    secondary.follow(primary, 0);
    primary.takeUpdatesWith("acme-key", base64("secret"));
    provider.name = "le";
    provider.dns.method = DnsSettings::Method::Rfc2136;
    provider.dns.server = primary.text();
    provider.dns.key = "acme-key";
    provider.dns.secret = Secret("secret");
  }

  DnsSolver solver() {
    return DnsSolver(provider, clock, log, [this] {
      DnsSurroundings surroundings;
      surroundings.resolvers = {
          {resolver ? resolver->address() : primary.address(), resolver ? resolver->port() : primary.port()}};
      surroundings.authoritativePort = primary.port();
      surroundings.hostsFile = "/dev/null";
      return surroundings;
    });
  }
  Problem problemOf(const std::string& identifier) {
    DnsSolver one = solver();
    try {
      auto presented = one.present({identifier, "token", "token.print"}, {});
      presented->awaitVisible({});
    } catch (const Error& error) {
      return error.problem;
    }
    return {};
  }

  testing::FakeClock clock;
  support::TemporaryFolder folder;
  Log log{LogSettings{LogLevel::Debug, LogFormat::Text, (folder.path() / "log").string()}};
  test::DnsServer primary{"127.0.0.1", 0, "127.0.0.2"};
  test::DnsServer secondary{"127.0.0.2", primary.port()};
  test::DnsServer* resolver = nullptr;
  Provider provider;
};

TEST_F(DnsSolverTest, ShowsTheDigestOfTheKeyAuthorizationBelowTheNameAndTakesItDown) {
  DnsSolver one = solver();
  auto presented = one.present({"example.org", "token", "token.print"}, {});
  // printf token.print | openssl dgst -sha256 -binary | basenc --base64url | tr -d =
  EXPECT_EQ(dnsChallengeValue("token.print"), "geGXac0jpnr_GBoGGXIb8nnygzls1TYLC3imeqgZSLw");
  EXPECT_THAT(primary.txt(recordName), ElementsAre(dnsChallengeValue("token.print")));
  presented.reset();
  EXPECT_THAT(primary.txt(recordName), IsEmpty());
}

TEST_F(DnsSolverTest, KeepsTheValuesOfANameAndItsWildcardBesideEachOther) {
  DnsSolver one = solver();
  auto name = one.present({"example.org", "a", "a.print"}, {});
  auto wildcard = one.present({"*.example.org", "b", "b.print"}, {});
  EXPECT_THAT(primary.txt(recordName), SizeIs(2));
  name->awaitVisible({});
  wildcard->awaitVisible({});
  name.reset();
  EXPECT_THAT(primary.txt(recordName), ElementsAre(dnsChallengeValue("b.print")));
}

TEST_F(DnsSolverTest, KeepsAValueThatTwoOrdersShareUntilBothAreDone) {
  DnsSolver one = solver();
  auto first = one.present({"example.org", "token", "token.print"}, {});
  auto second = one.present({"example.org", "token", "token.print"}, {});
  first.reset();
  EXPECT_THAT(primary.txt(recordName), SizeIs(1));
  second.reset();
  EXPECT_THAT(primary.txt(recordName), IsEmpty());
}

TEST_F(DnsSolverTest, WaitsForTheServerThatLags) {
  secondary.follow(primary, 3);
  DnsSolver one = solver();
  auto presented = one.present({"example.org", "token", "token.print"}, {});
  presented->awaitVisible({});
  EXPECT_THAT(clock.waits(), ElementsAre(Duration(5000), Duration(5000), Duration(5000)));
  EXPECT_EQ(secondary.questions("TXT"), 4);
  EXPECT_EQ(primary.questions("TXT"), 1);  // which has shown it
}

TEST_F(DnsSolverTest, PausesForThePollingInterval) {
  provider.dns.pollingInterval = std::chrono::milliseconds(700);
  secondary.follow(primary, 1);
  DnsSolver one = solver();
  one.present({"example.org", "token", "token.print"}, {})->awaitVisible({});
  EXPECT_THAT(clock.waits(), ElementsAre(Duration(700)));
}

TEST_F(DnsSolverTest, GivesUpAfterThePropagationTimeoutNamingTheServerThatLagsAndCleansUp) {
  provider.dns.propagationTimeout = std::chrono::seconds(60);
  secondary.follow(primary, 1000);
  const Time begun = clock.now();
  const Problem problem = problemOf("example.org");
  EXPECT_EQ(problem.type, "postern:dns");
  EXPECT_THAT(problem.detail, AllOf(HasSubstr(recordName), HasSubstr("127.0.0.2"), HasSubstr("no such record")));
  EXPECT_THAT(problem.detail, Not(HasSubstr("127.0.0.1")));
  EXPECT_LE(clock.now() - begun, std::chrono::seconds(60));
  EXPECT_GE(clock.now() - begun, std::chrono::seconds(50));
  EXPECT_THAT(primary.txt(recordName), IsEmpty());
}

TEST_F(DnsSolverTest, EndsTheWaitAtAStopRequestAndCleansUpAllTheSame) {
  secondary.follow(primary, 1000);
  std::stop_source stop;
  clock.onWait([&](Duration) { stop.request_stop(); });
  DnsSolver one = solver();
  auto presented = one.present({"example.org", "token", "token.print"}, stop.get_token());
  EXPECT_THROW(presented->awaitVisible(stop.get_token()), Stopped);
  presented.reset();
  EXPECT_THAT(primary.txt(recordName), IsEmpty());
}

TEST_F(DnsSolverTest, FollowsTheDelegationOfTheChallengeNameIntoAnotherZone) {
  primary.holdZone("acme.test");
  primary.addRecord("acme.test. 60 IN NS ns1.example.org.");
  primary.addRecord(recordName + ". 60 IN CNAME example-org.alias.acme.test.");
  primary.addRecord("example-org.alias.acme.test. 60 IN CNAME target.acme.test.");
  DnsSolver one = solver();
  auto presented = one.present({"example.org", "token", "token.print"}, {});
  EXPECT_THAT(primary.txt("target.acme.test"), ElementsAre(dnsChallengeValue("token.print")));
  presented->awaitVisible({});
  presented.reset();
  EXPECT_THAT(primary.txt("target.acme.test"), IsEmpty());
}

TEST_F(DnsSolverTest, AsksTheResolverForADelegationThatItsServerDoesNotHold) {
  test::DnsServer elsewhere;  // holds the names; the server of the updates holds only where they point
  elsewhere.holdZone("example.net");
  elsewhere.addRecord("_acme-challenge.example.net. 60 IN CNAME target.example.org.");
  resolver = &elsewhere;
  DnsSolver one = solver();
  auto presented = one.present({"example.net", "token", "token.print"}, {});
  EXPECT_THAT(primary.txt("target.example.org"), SizeIs(1));
}

TEST_F(DnsSolverTest, RefusesDelegationsThatGoInACircleOrOnForEver) {
  primary.addRecord(recordName + ". 60 IN CNAME a.example.org.");
  primary.addRecord("a.example.org. 60 IN CNAME " + recordName + ".");
  EXPECT_THAT(problemOf("example.org").detail, HasSubstr("circle"));
  for (int i = 0; i < 20; ++i) {
    primary.addRecord((i == 0 ? "_acme-challenge.b" : "b" + std::to_string(i)) + ".example.org. 60 IN CNAME b" +
                      std::to_string(i + 1) + ".example.org.");
  }
  EXPECT_THAT(problemOf("b.example.org").detail, HasSubstr("too many"));
  EXPECT_EQ(primary.updates(), 0);
}

TEST_F(DnsSolverTest, LooksAtItsOwnServerWhereNoNameServerCanBeResolved) {
  primary.holdZone("bare.test");
  primary.addRecord("bare.test. 60 IN NS ns.nowhere.test.");
  DnsSolver one = solver();
  auto presented = one.present({"bare.test", "token", "token.print"}, {});
  presented->awaitVisible({});
  EXPECT_EQ(primary.questions("TXT"), 1);
}

TEST_F(DnsSolverTest, PassesOverNameServersToWhichThereIsNoWay) {
  primary.addRecord("ns2.example.org. 60 IN A 255.255.255.255");  // no datagram gets out to it
  DnsSolver one = solver();
  one.present({"example.org", "token", "token.print"}, {})->awaitVisible({});
  EXPECT_EQ(secondary.questions("TXT"), 1);
}

TEST_F(DnsSolverTest, FindsItsServerByNameInTheDns) {
  primary.failFor("AAAA");  // which must not hide that there is an A
  provider.dns.server = "ns1.example.org:" + std::to_string(primary.port());
  DnsSolver one = solver();
  auto presented = one.present({"example.org", "token", "token.print"}, {});
  EXPECT_THAT(primary.txt(recordName), SizeIs(1));
}

TEST_F(DnsSolverTest, CleansUpWhenTheAnswerToTheUpdateWasLost) {
  primary.swallowUpdateAnswers(true);
  std::stop_source stop;
  std::jthread stopping([&] {
    while (primary.updates() == 0) std::this_thread::yield();
    primary.swallowUpdateAnswers(false);
    stop.request_stop();
  });
  DnsSolver one = solver();
  EXPECT_THROW(one.present({"example.org", "token", "token.print"}, stop.get_token()), Stopped);
  EXPECT_THAT(primary.txt(recordName), IsEmpty());
}

TEST_F(DnsSolverTest, NamesTheRecordInAWarningWhenItCannotBeRemoved) {
  DnsSolver one = solver();
  auto presented = one.present({"example.org", "token", "token.print"}, {});
  primary.refuseUpdates(5);
  presented.reset();
  const std::string text = support::contentOf(folder / "log");
  EXPECT_THAT(text, AllOf(HasSubstr("acme.dns.record.left"), HasSubstr(recordName)));
  EXPECT_THAT(text, Not(HasSubstr(dnsChallengeValue("token.print"))));
}

TEST_F(DnsSolverTest, NamesTheIdentifierInTheErrorOfAnOrder) {
  primary.refuseUpdates(5);
  EXPECT_EQ(problemOf("example.org").name, "example.org");
}

TEST_F(DnsSolverTest, RefusesAddressesAndAProviderWithoutAMethod) {
  EXPECT_EQ(problemOf("192.0.2.1").type, "postern:challenge");
  EXPECT_EQ(problemOf("2001:db8::1").type, "postern:challenge");
  provider.dns.method = DnsSettings::Method::None;
  EXPECT_THAT(problemOf("example.org").detail, HasSubstr("dns.provider of acme.le"));
}

TEST_F(DnsSolverTest, CallsTheHookWithTheNameAtTheEndOfTheDelegation) {
  const std::string hook = (folder / "hook").string();
  std::ofstream(hook) << "#!/bin/sh\necho $1 $2 $POSTERN_IDENTIFIER >> " << (folder / "calls").string() << "\n";
  ::chmod(hook.c_str(), 0700);
  primary.addRecord(recordName + ". 60 IN CNAME target.example.org.");
  provider.dns.method = DnsSettings::Method::Hook;
  provider.dns.server.clear();
  provider.dns.hook = hook;
  DnsSolver one = solver();
  one.present({"*.example.org", "token", "token.print"}, {}).reset();
  EXPECT_EQ(support::contentOf(folder / "calls"),
            "present target.example.org *.example.org\n"
            "cleanup target.example.org *.example.org\n");
}

TEST_F(DnsSolverTest, CallsTheHooksCleanupAlsoWhenItsPresentFailed) {
  const std::string hook = (folder / "hook").string();
  std::ofstream(hook) << "#!/bin/sh\necho $1 >> " << (folder / "calls").string() << "\n[ $1 = cleanup ]\n";
  ::chmod(hook.c_str(), 0700);
  provider.dns.method = DnsSettings::Method::Hook;
  provider.dns.hook = hook;
  EXPECT_THAT(problemOf("example.org").detail, HasSubstr("status 1"));
  EXPECT_EQ(support::contentOf(folder / "calls"), "present\ncleanup\n");
}

TEST(DnsServerSetting, TakesNamesAddressesAndPorts) {
  using Parsed = std::pair<std::string, std::uint16_t>;
  EXPECT_EQ(parseDnsServer("ns.example.org"), Parsed("ns.example.org", 53));
  EXPECT_EQ(parseDnsServer("ns.example.org:5353"), Parsed("ns.example.org", 5353));
  EXPECT_EQ(parseDnsServer("192.0.2.1:5353"), Parsed("192.0.2.1", 5353));
  EXPECT_EQ(parseDnsServer("2001:db8::1"), Parsed("2001:db8::1", 53));
  EXPECT_EQ(parseDnsServer("[2001:db8::1]"), Parsed("2001:db8::1", 53));
  EXPECT_EQ(parseDnsServer("[2001:db8::1]:5353"), Parsed("2001:db8::1", 5353));
}

TEST(SystemDns, ReadsTheResolversOfResolvConf) {
  support::TemporaryFolder folder;
  std::ofstream(folder / "resolv.conf") << "# nameserver 192.0.2.9\nsearch example.org\nnameserver 192.0.2.1\n"
                                           "nameserver fe80::1%eth0 ; one\nnameserver nonsense\n";
  const auto found = systemDns((folder / "resolv.conf").string());
  ASSERT_EQ(found.resolvers.size(), 2U);
  EXPECT_EQ(found.resolvers[0], (DnsEndpoint{"192.0.2.1", 53}));
  EXPECT_EQ(found.resolvers[1], (DnsEndpoint{"fe80::1%eth0", 53}));
  EXPECT_EQ(systemDns("/nonexistent").resolvers.front(), (DnsEndpoint{"127.0.0.1", 53}));
}

}  // namespace
}  // namespace postern::acme
