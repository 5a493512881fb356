// Which certificate a handshake gets: by name, meanwhile, and after a swap.
#include <gtest/gtest.h>

#include <map>
#include <set>
#include <string>
#include <vector>

#include "tests/tls/server_fixture.h"

namespace postern::tls {
namespace {

using testing::shakeHands;
using namespace std::chrono_literals;

class SelectionTest : public ServerFixture {};

TEST_F(SelectionTest, ServesWhatStandsMeanwhileUntilTheOwnCertificateArrives) {
  const auto server = context();
  EXPECT_EQ(serialFor(*server, "imap.example.org"), bootstrap_->serial());
  EXPECT_EQ(server->served().source, "self-signed");
  const auto own = ca_.issue({"imap.example.org"});
  store_.publish(own_, own);
  EXPECT_TRUE(server->refresh());
  EXPECT_EQ(serialFor(*server, "imap.example.org"), own->serial());
  EXPECT_EQ(server->served().source, "acme:le");
  EXPECT_EQ(server->served().certificate, own);
}

TEST_F(SelectionTest, GoesOverToABetterMeanwhileAtOnceButNotFromTheOwnCertificate) {
  const auto server = context();
  const auto cached = ca_.issue({"imap.example.org", "old.example.org"});
  server->serveMeanwhile({cached, "acme:other", {}});
  EXPECT_EQ(serialFor(*server, ""), cached->serial());
  EXPECT_EQ(server->served().source, "acme:other");
  const auto own = ca_.issue({"imap.example.org"});
  store_.publish(own_, own);
  server->refresh();
  server->serveMeanwhile({bootstrap_, "self-signed", {}});
  EXPECT_EQ(serialFor(*server, ""), own->serial());
}

TEST_F(SelectionTest, GoesOnServingAnOwnCertificateThatHasExpired) {
  testing::IssueOptions expired;
  expired.notBefore = testing::machineTime() - 48h;
  expired.notAfter = testing::machineTime() - 24h;
  const auto own = ca_.issue({"imap.example.org"}, expired);
  store_.publish(own_, own);
  EXPECT_EQ(serialFor(*context(), "imap.example.org"), own->serial());
}

TEST_F(SelectionTest, GivesUnknownAndAbsentNamesTheOwnCertificate) {
  const auto own = ca_.issue({"imap.example.org"});
  const auto other = ca_.issue({"shop.example.net"});
  store_.publish(own_, own);
  store_.publish(acmeCertificate("le", {"shop.example.net"}), other);  // another listener's
  const auto server = context();
  EXPECT_EQ(serialFor(*server, ""), own->serial());
  EXPECT_EQ(serialFor(*server, "unknown.example.org"), own->serial());
  EXPECT_EQ(serialFor(*server, "shop.example.net"), own->serial());
}

TEST_F(SelectionTest, PrefersRulesThenTheOwnCertificateThenTheProvidersDomains) {
  const auto rule = ca_.issue({"whatever.example.org"});
  const auto own = ca_.issue({"imap.example.org", "both.example.org"});
  const auto domain = ca_.issue({"both.example.org", "only.example.org", "ruled.example.org"});
  const auto pair = staticCertificate("shop");
  const auto domainId = acmeCertificate("le", domain->names());
  store_.publish({{pair, rule}, {own_, own}, {domainId, domain}});
  auto made = plan();
  made.sni = {{"ruled.example.org", pair}};
  made.domains = {{domainId}};
  const auto server = context(made);
  EXPECT_EQ(serialFor(*server, "ruled.example.org"), rule->serial());
  EXPECT_EQ(serialFor(*server, "RULED.example.org"), rule->serial());
  EXPECT_EQ(serialFor(*server, "both.example.org"), own->serial());
  EXPECT_EQ(serialFor(*server, "only.example.org"), domain->serial());
}

TEST_F(SelectionTest, PrefersAnExactNameOfALaterKindToAWildcardOfAnEarlierOne) {
  const auto rule = ca_.issue({"*.example.org"});
  const auto own = ca_.issue({"imap.example.org", "*.example.net"});
  const auto domain = ca_.issue({"a.example.org", "*.example.net"});
  const auto pair = staticCertificate("wild");
  const auto domainId = acmeCertificate("le", domain->names());
  store_.publish({{pair, rule}, {own_, own}, {domainId, domain}});
  auto made = plan();
  made.sni = {{"*.example.org", pair}};
  made.domains = {{domainId}};
  const auto server = context(made);
  EXPECT_EQ(serialFor(*server, "a.example.org"), domain->serial());
  EXPECT_EQ(serialFor(*server, "b.example.org"), rule->serial());
  EXPECT_EQ(serialFor(*server, "imap.example.org"), own->serial());
  EXPECT_EQ(serialFor(*server, "x.example.net"), own->serial());
}

TEST_F(SelectionTest, MatchesAWildcardForOneLabelOnly) {
  const auto wild = ca_.issue({"*.example.net"});
  const auto id = acmeCertificate("le", wild->names());
  const auto own = ca_.issue({"imap.example.org"});
  store_.publish({{own_, own}, {id, wild}});
  auto made = plan();
  made.domains = {{id}};
  const auto server = context(made);
  EXPECT_EQ(serialFor(*server, "a.example.net"), wild->serial());
  EXPECT_EQ(serialFor(*server, "b.a.example.net"), own->serial());
  EXPECT_EQ(serialFor(*server, "example.net"), own->serial());
  EXPECT_EQ(serialFor(*server, "*.example.net"), own->serial());
}

TEST_F(SelectionTest, TakesANameWhoseCertificateDoesNotExistYetForNoMatch) {
  const auto own = ca_.issue({"imap.example.org"});
  const auto wild = ca_.issue({"*.example.org"});
  const auto missing = staticCertificate("missing");
  const auto wildId = acmeCertificate("le", wild->names());
  store_.publish({{own_, own}, {wildId, wild}});
  auto made = plan();
  made.sni = {{"late.example.org", missing}};
  made.domains = {{wildId}};
  const auto server = context(made);
  EXPECT_EQ(serialFor(*server, "late.example.org"), wild->serial());
  const auto late = ca_.issue({"late.example.org"});
  store_.publish(missing, late);
  EXPECT_TRUE(server->refresh());
  EXPECT_EQ(serialFor(*server, "late.example.org"), late->serial());
}

TEST_F(SelectionTest, DoesNotLetWhatIsServedMeanwhileHideACertificateThatExists) {
  const auto domain = ca_.issue({"imap.example.org", "www.example.org"});
  const auto id = acmeCertificate("le", domain->names());
  store_.publish(id, domain);
  auto made = plan();
  made.domains = {{id}};
  EXPECT_EQ(serialFor(*context(made), "imap.example.org"), domain->serial());
}

TEST_F(SelectionTest, ShowsOnlyTheSelectedCertificateWhateverKeyTypeTheClientLikes) {
  testing::IssueOptions rsa;
  rsa.keyType = KeyType::Rsa2048;
  const auto own = ca_.issue({"imap.example.org"});
  const auto domain = ca_.issue({"www.example.org"}, rsa);
  const auto id = acmeCertificate("le", domain->names());
  store_.publish({{own_, own}, {id, domain}});
  auto made = plan();
  made.domains = {{id}};
  const auto server = context(made);
  for (const int version : {TLS1_2_VERSION, TLS1_3_VERSION}) {
    auto options = to("www.example.org");
    options.oldest = options.newest = version;
    EXPECT_EQ(shakeHands(*server, options).serial, domain->serial());
    options.serverName = "imap.example.org";
    EXPECT_EQ(shakeHands(*server, options).serial, own->serial());
  }
}

TEST_F(SelectionTest, TellsFurtherNamesWithWhatIsShownForThem) {
  const auto rule = staticCertificate("rule"), missing = staticCertificate("missing");
  const auto wild = acmeCertificate("le", {"*.example.net"});
  store_.publish({{own_, ca_.issue({"imap.example.org", "more.example.org"})},
                  {rule, ca_.issue({"rule.example.org"})},
                  {wild, ca_.issue({"*.example.net"})}});
  auto made = plan();
  made.sni = {{"more.example.org", rule}, {"late.example.org", missing}};
  made.domains = {{wild}};
  const auto server = context(made);
  std::map<std::string, std::string> shown;
  for (const auto& one : server->furtherNames(100, 1)) {
    ASSERT_EQ(one.certificates.size(), 1u);
    shown[one.name] = one.certificates.front()->serial();
    EXPECT_EQ(serialFor(*server, one.name), one.certificates.front()->serial());
  }
  const auto current = store_.current();
  EXPECT_EQ(shown, (std::map<std::string, std::string>{{"more.example.org", current->find(rule)->serial()},
                                                       {"any.example.net", current->find(wild)->serial()}}));
}

TEST_F(SelectionTest, TellsOfManyFurtherNamesSoManyAndOthersByAnotherChoice) {
  const auto rule = staticCertificate("rule");
  store_.publish(rule, ca_.issue({"rule.example.org"}));
  auto made = plan();
  for (int i = 0; i < 500; ++i) made.sni.push_back({"host-" + std::to_string(i) + ".example.org", rule});
  const auto server = context(made);
  const auto names = [&](std::uint64_t choice) {
    std::set<std::string> chosen;
    for (const auto& one : server->furtherNames(100, choice)) chosen.insert(one.name);
    return chosen;
  };
  EXPECT_EQ(names(1).size(), 100u);
  EXPECT_EQ(names(1), names(1));
  EXPECT_NE(names(1), names(2));
}

TEST_F(SelectionTest, ServesAStaticPairFoundInTheStore) {
  for (const auto type : {KeyType::EcdsaP256, KeyType::Rsa2048}) {
    testing::IssueOptions options;
    options.keyType = type;
    const auto pair = ca_.issue({"imap.example.org"}, options);
    store_.publish(staticCertificate("pair"), pair);
    auto made = plan();
    made.own = {staticCertificate("pair")};
    const auto server = context(made);
    auto client = to("imap.example.org");
    client.trusted = ca_.root();
    const auto done = shakeHands(*server, client);
    EXPECT_TRUE(done.completed) << done.error;
    EXPECT_EQ(done.serial, pair->serial());
    EXPECT_EQ(server->served().source, "certificate:pair");
  }
}

TEST_F(SelectionTest, SendsTheChainThatAClientNeedsToVerify) {
  const auto own = ca_.issue({"imap.example.org"});
  const auto domain = ca_.issue({"www.example.org"});
  const auto id = acmeCertificate("le", domain->names());
  store_.publish({{own_, own}, {id, domain}});
  auto made = plan();
  made.domains = {{id}};
  const auto server = context(made);
  for (const char* name : {"imap.example.org", "www.example.org"}) {
    auto options = to(name);
    options.trusted = ca_.root();
    const auto done = shakeHands(*server, options);
    EXPECT_TRUE(done.completed) << done.error;
    EXPECT_EQ(done.chainLength, 2u);
  }
}

TEST_F(SelectionTest, RebuildsOnlyWhenACertificateItShowsHasChanged) {
  const auto server = context();
  EXPECT_FALSE(server->refresh());
  store_.publish(acmeCertificate("le", {"www.example.org"}), ca_.issue({"www.example.org"}));
  EXPECT_FALSE(server->refresh());
  store_.publish(own_, ca_.issue({"imap.example.org"}));
  EXPECT_TRUE(server->refresh());
  EXPECT_FALSE(server->refresh());
}

TEST_F(SelectionTest, FallsBackToWhatStandsMeanwhileWhenTheOwnCertificateIsWithdrawn) {
  store_.publish(own_, ca_.issue({"imap.example.org"}));
  const auto server = context();
  store_.withdraw({own_});
  EXPECT_TRUE(server->refresh());
  EXPECT_EQ(server->served().certificate, bootstrap_);
}

TEST_F(SelectionTest, KeepsWhatItServedWhenTheNextPlanCannotBeBuilt) {
  const auto server = context();
  auto broken = plan();
  broken.policy.groups = {"no such group"};
  EXPECT_THROW(server->serve(broken), Error);
  broken = plan();
  broken.meanwhile = {};
  EXPECT_THROW(server->serve(broken), Error);
  EXPECT_EQ(serialFor(*server, ""), bootstrap_->serial());
  EXPECT_EQ(server->plan()->policy, intermediatePolicy());
}

TEST_F(SelectionTest, LeavesRunningHandshakesAndConnectionsOnTheServingTheyBeganWith) {
  const auto first = ca_.issue({"imap.example.org"});
  store_.publish(own_, first);
  const auto server = context();
  auto begun = server->newConnection();
  auto running = shakeHands(*server, to("imap.example.org"));
  store_.publish(own_, ca_.issue({"imap.example.org"}));
  ASSERT_TRUE(server->refresh());
  EXPECT_EQ(shakeHands(std::move(begun), to("imap.example.org")).serial, first->serial());
  EXPECT_EQ(running.clientToServer("a NOOP"), "a NOOP");
  EXPECT_EQ(running.serverToClient("a OK"), "a OK");
}

TEST_F(SelectionTest, FreesAReplacedServingAtALaterChangeAndNotWhenItsLastConnectionEnds) {
  const auto server = context();
  auto first = ca_.issue({"imap.example.org"});
  const std::weak_ptr<const CertifiedKey> watched = first;
  store_.publish(own_, std::move(first));
  server->refresh();
  {
    const auto running = shakeHands(*server, to("imap.example.org"));
    store_.publish(own_, ca_.issue({"imap.example.org"}));
    ASSERT_TRUE(server->refresh());
  }
  EXPECT_FALSE(watched.expired());
  server->serveMeanwhile({bootstrap_, "self-signed", {}});
  EXPECT_TRUE(watched.expired());
}

TEST_F(SelectionTest, LetsAConnectionOutliveItsContext) {
  auto server = context();
  auto running = shakeHands(*server, to("Imap.Example.org."));
  server.reset();
  EXPECT_EQ(serverName(running.server.get()), "imap.example.org");
  EXPECT_FALSE(isChallenge(running.server.get()));
  EXPECT_EQ(running.clientToServer("still here"), "still here");
}

class BestMeanwhileTest : public ServerFixture {
 protected:
  CertifiedKeyRef until(std::vector<std::string> names, Duration left) {
    testing::IssueOptions options;
    options.notBefore = now_ - 24h * 30;
    options.notAfter = now_ + left;
    return ca_.issue(names, options);
  }
  const Time now_ = testing::machineTime();
  const std::vector<std::string> hostnames_{"a.example.org", "b.example.org", "c.example.org"};
};

TEST_F(BestMeanwhileTest, NeedsThePrimaryName) {
  EXPECT_EQ(bestMeanwhile(hostnames_, {until({"b.example.org", "c.example.org"}, 24h), nullptr}, now_), nullptr);
  EXPECT_EQ(bestMeanwhile({}, {until({"b.example.org"}, 24h)}, now_), nullptr);
}

TEST_F(BestMeanwhileTest, TakesValidBeforeExpiredThenMoreNamesThenTheLongerLife) {
  const auto expiredAll = until(hostnames_, -1h);
  const auto one = until({"a.example.org"}, 48h);
  const auto two = until({"a.example.org", "b.example.org"}, 24h);
  const auto wildcard = until({"*.example.org", "unrelated.example.net"}, 12h);  // covers all three
  EXPECT_EQ(bestMeanwhile(hostnames_, {expiredAll}, now_), expiredAll);
  EXPECT_EQ(bestMeanwhile(hostnames_, {expiredAll, one}, now_), one);
  EXPECT_EQ(bestMeanwhile(hostnames_, {two, one, expiredAll}, now_), two);
  EXPECT_EQ(bestMeanwhile(hostnames_, {two, wildcard}, now_), wildcard);
  const auto oneLonger = until({"a.example.org"}, 72h);
  EXPECT_EQ(bestMeanwhile(hostnames_, {one, oneLonger}, now_), oneLonger);
}

}  // namespace
}  // namespace postern::tls
