// Orders that ask for more than names: profile, predecessor, chain; names that are addresses or wildcards; other
// challenges.
#include <array>
#include <functional>
#include <map>
#include <set>
#include <utility>

#include "base/encoding.h"
#include "tests/acme/ca_fixture.h"
#include "tests/support/fake_ca_crypto.h"

namespace postern::acme {
namespace {

using namespace std::chrono_literals;
using test::Failure;
using Names = std::vector<std::string>;

// Puts answers where a test looks for them.
class NotingSolver : public Solver {
 public:
  explicit NotingSolver(ChallengeType type) : type_(type) {}
  ChallengeType type() const override { return type_; }
  std::unique_ptr<Presented> present(const ChallengeAnswer& answer, std::stop_token) override {
    struct Taken : Presented {
      Taken(NotingSolver& noting, ChallengeAnswer what) : solver(noting), answer(std::move(what)) {
        solver.up.emplace(answer.identifier, answer);
      }
      ~Taken() override {
        for (auto each = solver.up.begin(); each != solver.up.end(); ++each) {
          if (each->second.token == answer.token) {
            solver.up.erase(each);
            return;
          }
        }
      }
      void awaitVisible(std::stop_token) override {
        if (solver.whileNotVisible) solver.whileNotVisible();
      }
      NotingSolver& solver;
      ChallengeAnswer answer;
    };
    return std::make_unique<Taken>(*this, answer);
  }

  std::multimap<std::string, ChallengeAnswer> up;
  std::function<void()> whileNotVisible;  // of each answer; then it is

 private:
  ChallengeType type_;
};

class IssuanceOptionsTest : public WithCa {
 protected:
  IssuanceOptionsTest() {
    request.names = {"mail.example.org"};
    request.key = tls::generateKey(tls::KeyType::EcdsaP256);
    ca.offerRenewalInfo(true);
    ca.offerProfiles({{"shortlived", "six days"}});
    ca.profileLifetime("shortlived", 6 * 24h);
    readDirectoryAnew();
  }
  tls::CertifiedKeyRef issue(Solver& with) {
    journal.order.reset();
    IssuanceRequest copy{request.names, tls::share(request.key.get()), request.profile, request.replaces,
                         request.preferredChain};
    return Issuance(client, with, journal, clock, log, std::move(copy)).run({});
  }
  tls::CertifiedKeyRef issue() { return issue(solver); }
  static std::string rootOf(const tls::CertifiedKeyRef& certificate) {
    std::array<char, 100> name{};
    X509_NAME_get_text_by_NID(X509_get_issuer_name(certificate->chain().back().get()), NID_commonName, name.data(),
                              static_cast<int>(name.size()));
    return name.data();
  }
  int timesLogged(const std::string& event) const {
    int times = 0;
    const std::string text = logged();
    for (auto at = text.find(event); at != std::string::npos; at = text.find(event, at + 1)) ++times;
    return times;
  }

  TlsAlpnSolver solver{challenges, clock};
  JournalInMemory journal;
  IssuanceRequest request;
};

TEST_F(IssuanceOptionsTest, OrdersWithTheProfile) {
  request.profile = "shortlived";
  auto certificate = issue();
  EXPECT_EQ(certificate->notAfter() - certificate->notBefore(), 6 * 24h);
  EXPECT_EQ(ca.orderedProfiles().back(), "shortlived");
}

TEST_F(IssuanceOptionsTest, TellsThatTheCaHasNoSuchProfileAndDoesNotOrderWithoutIt) {
  issue();
  request.profile = "gold";
  request.replaces = ca.certificates().back().renewalId;
  const int before = ca.count("newOrder");
  EXPECT_EQ(errorOf([&] { issue(); }).problem.shortType(), "invalidProfile");
  EXPECT_EQ(ca.count("newOrder"), before + 1);
}

TEST_F(IssuanceOptionsTest, TellsTheCaWhatItReplaces) {
  issue();
  request.replaces = ca.certificates().back().renewalId;
  ASSERT_NE(request.replaces, "");
  EXPECT_TRUE(issue());
  EXPECT_EQ(ca.replaced(), std::vector<std::string>{request.replaces});
}

TEST_F(IssuanceOptionsTest, OrdersWithoutReplacesAtOnceWhereTheCaRefusesIt) {
  request.replaces = "aki.serial";
  for (const char* type : {"alreadyReplaced", "malformed", "unauthorized", "conflict", "serverInternal"}) {
    ca.refuseReplaces(type);
    const int orders = ca.orders(), lines = timesLogged("acme.order.replaces-refused");
    const Time begun = clock.now();
    EXPECT_TRUE(issue()) << type;
    EXPECT_EQ(ca.orders(), orders + 1) << type;
    EXPECT_EQ(timesLogged("acme.order.replaces-refused"), lines + 1) << type;
    EXPECT_LT(clock.now() - begun, 1s) << type;
  }
  EXPECT_TRUE(ca.replaced().empty());
}

TEST_F(IssuanceOptionsTest, OrdersWithoutReplacesWhereAnotherOrderReplacedItAlready) {
  issue();
  request.replaces = ca.certificates().back().renewalId;
  issue();
  EXPECT_TRUE(issue());
  EXPECT_EQ(ca.issued(), 3);
  EXPECT_EQ(ca.replaced().size(), 1U);
}

TEST_F(IssuanceOptionsTest, BlamesReplacesForNoRefusalThatHasAnotherReasonOrTellsWhenToCome) {
  request.replaces = "aki.serial";
  for (const char* type : {"rateLimited", "accountDoesNotExist", "userActionRequired", "rejectedIdentifier",
                           "unsupportedIdentifier", "caa", "serverInternal"}) {
    ca.refuseNext(type, "newOrder");
    const int before = ca.count("newOrder");
    EXPECT_EQ(errorOf([&] { issue(); }).problem.shortType(), type);
    EXPECT_EQ(ca.count("newOrder"), before + 1) << type;
  }
}

// --- chains

TEST_F(IssuanceOptionsTest, TakesTheAlternateChainThatEndsAtThePreferredRoot) {
  ca.alternateRoots({"Root B", "Root C"});
  request.preferredChain = "Root C";
  EXPECT_EQ(rootOf(issue()), "Root C");
  EXPECT_EQ(ca.count("certificate"), 3);
  request.preferredChain = "root b";
  EXPECT_EQ(rootOf(issue()), "Root B");
}

TEST_F(IssuanceOptionsTest, AsksForNoAlternateWhereTheDefaultChainHasThatIssuer) {
  ca.alternateRoots({"Root B"});
  for (const char* name : {"Test Root", "Test Intermediate", ""}) {
    request.preferredChain = name;
    const int before = ca.count("certificate");
    EXPECT_EQ(rootOf(issue()), "Test Root");
    EXPECT_EQ(ca.count("certificate"), before + 1) << name;
  }
}

TEST_F(IssuanceOptionsTest, TakesTheDefaultChainAndSaysWhatThereWasWhereNoneIsPreferred) {
  ca.alternateRoots({"Root B"});
  request.preferredChain = "Root Z";
  EXPECT_EQ(rootOf(issue()), "Test Root");
  EXPECT_EQ(timesLogged("acme.chain.not-offered"), 1);
  for (const char* part : {"Root Z", "Root B", "Test Root"}) EXPECT_GT(timesLogged(part), 0) << part;
}

TEST_F(IssuanceOptionsTest, PassesOverAnAlternateThatCannotBeFetchedOrIsUnfit) {
  ca.alternateRoots({"Root B", "Root C"});
  request.preferredChain = "Root C";
  for (Failure failure : {Failure::ServerError, Failure::TruncatedJson}) {
    // The default chain is the first that is asked for; what fails is the alternate after it.
    ca.failNext("certificate", Failure::NoNonce);
    ca.failNext("certificate", failure);
    EXPECT_EQ(rootOf(issue()), "Root C") << nameOf(failure);
  }
  EXPECT_EQ(timesLogged("acme.chain.passed-over"), 2);
}

TEST_F(IssuanceOptionsTest, AsksForTenAlternatesAtMost) {
  std::vector<std::string> roots;
  for (int i = 0; i < 15; ++i) roots.push_back("Root " + std::to_string(i));
  ca.alternateRoots(roots);
  request.preferredChain = "Root Z";
  issue();
  EXPECT_EQ(ca.count("certificate"), 11);
}

// --- names and challenges

TEST_F(IssuanceOptionsTest, GetsACertificateForAddressesInAnySpelling) {
  request.names = {"192.0.2.7", "2001:0DB8:0:0:0:0:0:7", "::ffff:192.0.2.8"};
  auto certificate = issue();
  EXPECT_TRUE(certificate->covers("192.0.2.7"));
  EXPECT_TRUE(certificate->covers("2001:db8::7"));
  EXPECT_EQ(ca.orderedNames().back()[1], "2001:db8::7");
}

TEST_F(IssuanceOptionsTest, ValidatesAnAddressByHttp) {
  NotingSolver http(ChallengeType::Http01);
  ca.fetchHttpWith([&](const std::string& name, const std::string& token) -> std::optional<std::string> {
    for (const auto& [identifier, answer] : http.up) {
      if (identifier == name && answer.token == token) return answer.keyAuthorization + "\n";
    }
    return std::nullopt;
  });
  request.names = {"2001:DB8::9", "mail.example.org"};
  EXPECT_TRUE(issue(http)->covers("2001:db8::9"));
  EXPECT_TRUE(http.up.empty());
}

TEST_F(IssuanceOptionsTest, ValidatesAWildcardAndItsDomainWithTwoRecordsOfOneName) {
  NotingSolver dns(ChallengeType::Dns01);
  std::set<std::size_t> sizes;
  ca.lookUpDnsWith([&](const std::string& record) {
    std::vector<std::string> texts;
    for (const auto& [identifier, answer] : dns.up) {
      if ("_acme-challenge." + identifier != record) continue;
      texts.push_back(base64Url(test::sha256(answer.keyAuthorization)));
    }
    sizes.insert(texts.size());
    return texts;
  });
  request.names = {"*.example.org", "example.org"};
  auto certificate = issue(dns);
  EXPECT_TRUE(certificate->covers("imap.example.org"));
  EXPECT_TRUE(certificate->covers("example.org"));
  EXPECT_TRUE(sizes.contains(2));
  EXPECT_TRUE(dns.up.empty());
}

TEST_F(IssuanceOptionsTest, TellsTheCaOnlyWhenTheRecordShows) {
  NotingSolver dns(ChallengeType::Dns01);
  std::vector<std::size_t> up;
  std::vector<int> told;
  dns.whileNotVisible = [&] {
    up.push_back(dns.up.size());
    told.push_back(ca.count("challenge"));
  };
  request.names = {"*.example.org", "example.org"};
  EXPECT_TRUE(issue(dns));
  EXPECT_EQ(up, (std::vector<std::size_t>{2, 2})) << "both are put up before either is waited for";
  EXPECT_EQ(told, (std::vector<int>{0, 0})) << "the CA was told before both could be seen";
  EXPECT_EQ(ca.count("challenge"), 2);
}

TEST_F(IssuanceOptionsTest, NamesTheWildcardThatTlsAlpnCannotValidate) {
  request.names = {"*.example.org"};
  Error error = errorOf([&] { issue(); });
  EXPECT_EQ(error.problem.type, "postern:challenge");
  EXPECT_EQ(error.problem.name, "*.example.org");
}

}  // namespace
}  // namespace postern::acme
