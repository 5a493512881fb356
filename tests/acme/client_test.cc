#include "acme/client.h"

#include <atomic>
#include <thread>

#include "tests/acme/ca_fixture.h"

namespace postern::acme {
namespace {

using namespace std::chrono_literals;
using test::Failure;

// A client that has asked nothing yet; the fixture's has made its account already.
class ClientTest : public WithCa {
 protected:
  std::string newOrderUrl() { return client.newOrder({{"mail.example.org"}, "", ""}, {}).url; }
};

TEST_F(ClientTest, FetchesTheDirectoryOnceForManyRequests) {
  for (int i = 0; i < 5; ++i) newOrderUrl();
  EXPECT_EQ(ca.count("directory"), 1);
}

TEST_F(ClientTest, FetchesTheDirectoryAgainAfterADay) {
  clock.advance(23h);
  newOrderUrl();
  EXPECT_EQ(ca.count("directory"), 1);
  clock.advance(2h);
  newOrderUrl();
  EXPECT_EQ(ca.count("directory"), 2);
}

TEST_F(ClientTest, FollowsADirectoryWhoseUrlsHaveMoved) {
  ca.moveUrls();
  EXPECT_NE(newOrderUrl(), "");
  EXPECT_EQ(ca.count("directory"), 2);
  EXPECT_EQ(ca.count("newOrder"), 2);
}

TEST_F(ClientTest, DoesNotRepeatARefusalWhenTheDirectoryHasNotMoved) {
  ca.refuseNext("malformed", "newOrder");
  EXPECT_EQ(errorOf([&] { newOrderUrl(); }).problem.shortType(), "malformed");
  EXPECT_EQ(ca.count("newOrder"), 1);
}

TEST_F(ClientTest, SharesOneDirectoryFetchAmongThreads) {
  Client fresh(ca.directoryUrl(), ca, clock, log);
  int before = ca.count("directory");
  ca.failNext("directory", Failure::Hang);
  std::atomic<int> got{0};
  std::vector<std::jthread> threads;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&] {
      if (!fresh.directory({}).newOrder.empty()) ++got;
    });
  }
  while (ca.count("directory") == before) std::this_thread::yield();
  ca.release();
  threads.clear();
  EXPECT_EQ(got, 4);
  EXPECT_EQ(ca.count("directory"), before + 1);
}

TEST_F(ClientTest, StopsWhileItWaitsForAnotherThreadsDirectory) {
  Client fresh(ca.directoryUrl(), ca, clock, log);
  int before = ca.count("directory");
  ca.failNext("directory", Failure::Hang);
  std::jthread first([&] { EXPECT_NE(fresh.directory({}).newOrder, ""); });
  while (ca.count("directory") == before) std::this_thread::yield();
  std::stop_source stop;
  std::jthread second([&] { EXPECT_THROW(fresh.directory(stop.get_token()), Stopped); });
  stop.request_stop();
  second.join();
  ca.release();
}

TEST_F(ClientTest, LogsTheTermsOfServiceOnce) {
  clock.advance(48h);
  client.directory({});
  ASSERT_EQ(ca.count("directory"), 2);
  std::string text = logged();
  std::size_t first = text.find("acme.terms");
  ASSERT_NE(first, std::string::npos);
  EXPECT_NE(text.find("https://ca.test/terms", first), std::string::npos);
  EXPECT_EQ(text.find("acme.terms", first + 1), std::string::npos);
}

TEST_F(ClientTest, AsksForANonceOnlyWhenItHasNone) {
  for (int i = 0; i < 5; ++i) newOrderUrl();
  EXPECT_EQ(ca.count("newNonce"), 1);  // for newAccount; every answer since brought the next
}

TEST_F(ClientTest, AsksForANonceAgainAfterAnAnswerThatBroughtNone) {
  ca.failNext("newOrder", Failure::NoNonce);
  newOrderUrl();
  newOrderUrl();
  EXPECT_EQ(ca.count("newNonce"), 2);
}

TEST_F(ClientTest, SendsTheRequestAgainWithTheNonceOfTheBadNonceError) {
  ca.refuseNext("badNonce", "newOrder");
  newOrderUrl();
  EXPECT_EQ(ca.count("newOrder"), 2);
  EXPECT_EQ(ca.count("newNonce"), 1);
  EXPECT_EQ(ca.orders(), 1);
}

TEST_F(ClientTest, GetsThroughACaThatRefusesEverySecondNonce) {
  ca.rejectNonces(0.5, 7);
  for (int i = 0; i < 40; ++i) newOrderUrl();
  EXPECT_EQ(ca.orders(), 40);
  EXPECT_GT(ca.nonceRejections(), 10);
}

TEST_F(ClientTest, GivesUpOnACaThatRefusesEveryNonce) {
  ca.rejectNonces(1);
  EXPECT_EQ(errorOf([&] { newOrderUrl(); }).problem.shortType(), "badNonce");
  EXPECT_EQ(ca.count("newOrder"), 30);
}

TEST_F(ClientTest, DoesNotRepeatAnyOtherRefusal) {
  for (const char* type : {"rateLimited", "rejectedIdentifier", "serverInternal", "userActionRequired"}) {
    int before = ca.count("newOrder");
    ca.refuseNext(type, "newOrder");
    EXPECT_EQ(errorOf([&] { newOrderUrl(); }).problem.shortType(), type);
    EXPECT_EQ(ca.count("newOrder"), before + 1) << type;
  }
}

TEST_F(ClientTest, TellsWhenToComeBackInBothForms) {
  ca.retryAfter(2h);
  for (Failure failure : {Failure::RateLimited, Failure::RateLimitedHtml, Failure::Unavailable}) {
    ca.failNext("newOrder", failure);
    EXPECT_EQ(errorOf([&] { newOrderUrl(); }).retryAfter, clock.now() + 2h);
  }
}

TEST_F(ClientTest, SurvivesA429InHtmlAndKeepsItsStatus) {
  ca.failNext("newOrder", Failure::RateLimitedHtml);
  Error error = errorOf([&] { newOrderUrl(); });
  EXPECT_EQ(error.problem.type, "postern:http");
  EXPECT_EQ(error.problem.status, 429);
}

TEST_F(ClientTest, CallsAnAnswerItCannotReadMalformed) {
  for (Failure failure : {Failure::TruncatedJson, Failure::WrongJson}) {
    ca.failNext("newOrder", failure);
    EXPECT_EQ(errorOf([&] { newOrderUrl(); }).problem.type, "postern:malformed");
  }
}

TEST_F(ClientTest, FindsAnAccountAgainByItsKeyAlone) {
  tls::KeyPtr key = tls::generateKey(tls::KeyType::EcdsaP256);
  client.useAccount(tls::share(key.get()), "");
  std::string made = client.newAccount({}, false, {}, {});
  client.useAccount(tls::share(key.get()), "");
  EXPECT_EQ(client.newAccount({}, true, {}, {}), made);
  EXPECT_EQ(client.accountUrl(), made);
  EXPECT_EQ(ca.accounts(), 2);  // the fixture's and this one
}

TEST_F(ClientTest, SaysThatAKeyHasNoAccount) {
  client.useAccount(tls::generateKey(tls::KeyType::EcdsaP256), "");
  EXPECT_EQ(errorOf([&] { client.newAccount({}, true, {}, {}); }).problem.shortType(), "accountDoesNotExist");
}

TEST_F(ClientTest, ChangesTheContactOfTheAccountThereIs) {
  client.updateContact({"mailto:new@example.org"}, {});
  EXPECT_EQ(ca.contacts(), std::vector<std::string>{"mailto:new@example.org"});
  EXPECT_EQ(ca.accounts(), 1);
}

TEST_F(ClientTest, OrdersAddressesAsIpIdentifiers) {
  EXPECT_EQ(client.newOrder({{"mail.example.org", "192.0.2.1", "2001:db8::1"}, "", ""}, {}).authorizations.size(), 3U);
}

TEST_F(ClientTest, SendsNothingOnceStopWasRequested) {
  std::stop_source stop;
  stop.request_stop();
  int before = ca.total();
  EXPECT_THROW(client.newOrder({{"mail.example.org"}, "", ""}, stop.get_token()), Stopped);
  EXPECT_EQ(ca.total(), before);
}

TEST_F(ClientTest, NeedsAnAccountBeforeItSigns) {
  Client fresh(ca.directoryUrl(), ca, clock, log);
  EXPECT_EQ(errorOf([&] {
              fresh.newOrder({{"mail.example.org"}, "", ""}, {});
            }).problem.shortType(),
            "accountDoesNotExist");
}

TEST_F(ClientTest, ServesManyThreadsWithDistinctNonces) {
  ca.rejectNonces(0.2, 3);
  std::vector<std::jthread> threads;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&] {
      for (int k = 0; k < 10; ++k) newOrderUrl();
    });
  }
  threads.clear();
  EXPECT_EQ(ca.orders(), 40);
}

}  // namespace
}  // namespace postern::acme
