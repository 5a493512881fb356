#include "acme/objects.h"

#include <gtest/gtest.h>

#include <chrono>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include "acme/answer.h"
#include "acme/nonce_pool.h"
#include "acme/retry_after.h"

namespace postern::acme {
namespace {

using namespace std::chrono_literals;

Json read(std::string_view text) {
  auto json = Json::parse(text);
  EXPECT_TRUE(json) << text;
  return json.value_or(Json());
}

template <class Parse>
std::string complaint(Parse parse, std::string_view text) {
  try {
    parse(read(text));
  } catch (const Error& error) {
    EXPECT_EQ(error.problem.type, "postern:malformed");
    return error.problem.detail;
  }
  return "no complaint";
}

TEST(Objects, ReadsTheAccountOfRfc8555AndOneThatSaysLess) {
  const AccountObject account = parseAccount(read(R"({
    "status": "valid", "contact": ["mailto:cert-admin@example.org", "mailto:admin@example.org"],
    "termsOfServiceAgreed": true, "orders": "https://example.com/acme/orders/rzGoeA"})"));
  EXPECT_EQ(account.status, "valid");
  EXPECT_EQ(account.contact.size(), 2U);
  EXPECT_EQ(account.orders, "https://example.com/acme/orders/rzGoeA");
  EXPECT_TRUE(account.termsOfServiceAgreed);
  EXPECT_EQ(parseAccount(read(R"({"status":"resting"})")).status, "resting");
  EXPECT_NE(complaint(parseAccount, R"({"contact":[]})").find("status"), std::string::npos);
}

TEST(Objects, ReadsTheDirectoryOfRfc8555AndKeepsItsMeta) {
  Directory directory = parseDirectory(read(R"({
    "newNonce": "https://example.com/acme/new-nonce", "newAccount": "https://example.com/acme/new-account",
    "newOrder": "https://example.com/acme/new-order", "newAuthz": "https://example.com/acme/new-authz",
    "revokeCert": "https://example.com/acme/revoke-cert", "keyChange": "https://example.com/acme/key-change",
    "meta": {"termsOfService": "https://example.com/acme/terms", "caaIdentities": ["example.com"],
             "externalAccountRequired": true}})"));
  EXPECT_EQ(directory.newNonce, "https://example.com/acme/new-nonce");
  EXPECT_EQ(directory.newAccount, "https://example.com/acme/new-account");
  EXPECT_EQ(directory.newOrder, "https://example.com/acme/new-order");
  EXPECT_EQ(directory.revokeCert, "https://example.com/acme/revoke-cert");
  EXPECT_EQ(directory.keyChange, "https://example.com/acme/key-change");
  EXPECT_EQ(directory.renewalInfo, "");
  EXPECT_TRUE(directory.meta["externalAccountRequired"].boolean());
}

TEST(Objects, NamesTheMemberOfADirectoryThatIsMissing) {
  EXPECT_NE(complaint(parseDirectory, R"({"newNonce":"a","newAccount":"b"})").find("newOrder"), std::string::npos);
  EXPECT_NE(complaint(parseDirectory, R"({"newNonce":7,"newAccount":"b","newOrder":"c"})").find("newNonce"),
            std::string::npos);
  EXPECT_NE(complaint(parseDirectory, "[]").find("not a JSON object"), std::string::npos);
}

TEST(Objects, ReadsAnOrderWithMembersAndStatusesNobodyKnowsYet) {
  Order order = parseOrder(read(R"({"status":"pondering","expires":"2026-01-05T14:09:07.99Z","mood":{"a":[1,null]},
    "authorizations":["https://ca/a/1",7,"https://ca/a/2"],"finalize":"https://ca/f"})"));
  EXPECT_EQ(order.status, "pondering");
  EXPECT_EQ(order.authorizations, (std::vector<std::string>{"https://ca/a/1", "https://ca/a/2"}));
  EXPECT_EQ(order.finalize, "https://ca/f");
  ASSERT_TRUE(order.expires);
  EXPECT_EQ(rfc3339(*order.expires), "2026-01-05T14:09:07Z");
  EXPECT_FALSE(order.error);
}

TEST(Objects, DemandsOfAnOrderOnlyWhatItsNextStepNeeds) {
  EXPECT_NE(complaint(parseOrder, R"({"authorizations":["a"],"finalize":"f"})").find("status"), std::string::npos);
  EXPECT_NE(complaint(parseOrder, R"({"status":"ready"})").find("finalize"), std::string::npos);
  EXPECT_NE(complaint(parseOrder, R"({"status":"pending","finalize":"f"})").find("authorizations"), std::string::npos);
  EXPECT_NE(complaint(parseOrder, R"({"status":"valid","finalize":"f"})").find("certificate"), std::string::npos);
  EXPECT_EQ(parseOrder(read(R"({"status":"invalid"})")).status, "invalid");
  EXPECT_EQ(parseOrder(read(R"({"status":"processing"})")).status, "processing");
}

TEST(Objects, PassesOverChallengesOfShapesItDoesNotKnow) {
  Authorization authorization = parseAuthorization(read(R"({"status":"pending","wildcard":true,
    "identifier":{"type":"dns","value":"example.org"},
    "challenges":["text",7,{"type":"dns-persist-01","url":"https://ca/c/1","status":"sleeping"},{"type":5,"url":"u"},
      {"type":"tls-alpn-01","url":"https://ca/c/2","token":"t0k","status":"pending"},{"type":"no-url-01"}]})"));
  EXPECT_EQ(authorization.identifier, "example.org");
  EXPECT_TRUE(authorization.wildcard);
  ASSERT_EQ(authorization.challenges.size(), 2U);
  EXPECT_EQ(authorization.challenges[0].token, "");
  EXPECT_EQ(authorization.challenges[1].type, "tls-alpn-01");
  EXPECT_EQ(authorization.challenges[1].token, "t0k");
}

TEST(Objects, RefusesAnAuthorizationWithoutIdentifier) {
  EXPECT_NE(complaint(parseAuthorization, R"({"status":"pending"})").find("identifier"), std::string::npos);
}

TEST(Objects, ReadsAProblemWithItsSubproblems) {
  Problem problem = parseProblem(read(R"({"type":"urn:ietf:params:acme:error:malformed","detail":"Some refused",
    "status":400,"subproblems":[
      {"type":"urn:ietf:params:acme:error:malformed","detail":"underscore","identifier":{"type":"dns","value":"_a.org"}},
      "nonsense",
      {"type":"urn:ietf:params:acme:error:rejectedIdentifier","identifier":{"type":"dns","value":"b.org"}}]})"));
  EXPECT_EQ(problem.shortType(), "malformed");
  EXPECT_EQ(problem.status, 400);
  ASSERT_EQ(problem.subproblems.size(), 2U);
  EXPECT_EQ(problem.subproblems[0].name, "_a.org");
  EXPECT_EQ(problem.subproblems[1].shortType(), "rejectedIdentifier");
  EXPECT_EQ(problem.name, "");
}

TEST(Objects, BlamesTheNameOfTheOnlySubproblem) {
  Problem problem = parseProblem(read(R"({"type":"urn:ietf:params:acme:error:caa","detail":"no",
    "subproblems":[{"type":"urn:ietf:params:acme:error:caa","identifier":{"type":"dns","value":"b.org"}}]})"));
  EXPECT_EQ(problem.name, "b.org");
  EXPECT_STREQ(Error(problem).what(), "caa: no (b.org)");
}

TEST(Objects, MakesAProblemOfAnythingAndBoundsIt) {
  EXPECT_EQ(parseProblem(Json()).type, "about:blank");
  EXPECT_EQ(parseProblem(read(R"({"type":{},"status":"x","subproblems":{}})")).status, 0);
  Json huge;
  huge["detail"] = std::string(100'000, 'x');
  huge["subproblems"] = Json::Array(5000, Json::Object{{"type", "t"}});
  Problem problem = parseProblem(huge);
  EXPECT_LT(problem.detail.size(), 5000U);
  EXPECT_LE(problem.subproblems.size(), 100U);
}

TEST(Objects, KeepsTheStatusOfAGatewaysHtmlAsAnError) {
  HttpResponse response;
  response.status = 429;
  response.headers = {{"content-type", "text/html"}, {"retry-after", "120"}};
  response.body = "<html>slow down</html>";
  Error error = refusal(response, "newOrder", Time(1000s));
  EXPECT_EQ(error.problem.type, "postern:http");
  EXPECT_EQ(error.problem.status, 429);
  EXPECT_EQ(error.retryAfter, Time(1120s));
}

TEST(Objects, KeepsTheStatusOfAnAnswerThatIsNoJson) {
  HttpResponse response;
  response.status = 200;
  response.body = R"({"status":"pend)";
  try {
    jsonObject(response, "the order");
    FAIL() << "half an object was taken";
  } catch (const Error& error) {
    EXPECT_EQ(error.problem.type, "postern:malformed");
    EXPECT_EQ(error.problem.status, 200);
  }
}

struct RetryAfterCase {
  const char* header;
  int status;
  std::optional<Duration> after;
};

TEST(RetryAfter, IsReadInBothFormsAndKeptWithinBounds) {
  const Time now = *parseRfc3339("2026-03-01T12:00:00Z");
  const RetryAfterCase cases[] = {
      {"5", 200, 5s},
      {" 5 ", 200, 5s},
      {"0", 200, 1s},
      {"Sun, 01 Mar 2026 12:10:00 GMT", 200, 10min},
      {"Sun, 01 Mar 2026 11:00:00 GMT", 200, 1s},
      {"172800", 200, 24h},
      {"172800", 503, 48h},
      {"172800", 429, 48h},
      {"99999999", 429, 24h * 7},
      {"99999999999999999999", 429, 24h * 7},
      {"Fri, 01 Jan 2038 00:00:00 GMT", 429, 24h * 7},
      {"", 429, std::nullopt},
      {"-5", 429, std::nullopt},
      {"soon", 429, std::nullopt},
      {"5.5", 429, std::nullopt},
      {"Sun, 31 Feb 2026 12:00:00 GMT", 429, std::nullopt},
      {"Sun, 01 Mar 2026 25:00:00 GMT", 429, std::nullopt},
      {"Sunday, 01-Mar-26 12:00:00 GMT", 429, std::nullopt},
      {"Sun, 01 Mar 2026 12:00:00 UTC", 429, std::nullopt},
      {"Sun, 01 Mar 2026 1a:00:00 GMT", 429, std::nullopt},
  };
  for (const RetryAfterCase& one : cases) {
    HttpResponse response;
    response.status = one.status;
    response.headers.emplace("retry-after", one.header);
    std::optional<Time> expected;
    if (one.after) expected = now + *one.after;
    EXPECT_EQ(retryAfter(response, now), expected) << one.header << " with " << one.status;
  }
}

TEST(RetryAfter, TellsNothingAboutPollingWhereItsTimeHasCome) {
  const Time now = *parseHttpDate("Sun, 06 Nov 1994 08:49:37 GMT");
  const auto told = [&](const char* header) {
    HttpResponse response;
    response.status = 200;
    response.headers.emplace("retry-after", header);
    return pollAfter(response, now);
  };
  for (const char* past : {"0", "000", "Sun, 06 Nov 1994 08:49:37 GMT", "Sun, 06 Nov 1994 08:40:00 GMT", "soon", ""}) {
    EXPECT_EQ(told(past), std::nullopt) << past;
  }
  EXPECT_EQ(told("3"), now + 3s);
  EXPECT_EQ(told("Sun, 06 Nov 1994 08:49:42 GMT"), now + 5s);
  EXPECT_EQ(told("99999999999999"), now + 24h);
}

TEST(NoncePool, GivesTheNewestFirstAndEachOnce) {
  NoncePool pool;
  pool.put("one");
  pool.put("two");
  EXPECT_EQ(pool.take(), "two");
  EXPECT_EQ(pool.take(), "one");
  EXPECT_EQ(pool.take(), std::nullopt);
}

TEST(NoncePool, WaitsForTheNonceOfAnAnswerThatIsOnItsWay) {
  NoncePool pool;
  const NoncePool::Awaited own(pool);
  auto answer = std::make_unique<NoncePool::Awaited>(pool);
  std::jthread other([&] {
    pool.put("brought");
    answer.reset();
  });
  EXPECT_EQ(pool.take(std::chrono::hours(1), {}), "brought");
}

TEST(NoncePool, WaitsForNobodyWhereNoAnswerIsOnItsWayOrTheLastBroughtNone) {
  NoncePool pool;
  const NoncePool::Awaited own(pool);
  EXPECT_EQ(pool.take(std::chrono::hours(1), {}), std::nullopt);
  auto answer = std::make_unique<NoncePool::Awaited>(pool);
  std::jthread other([&] { answer.reset(); });
  EXPECT_EQ(pool.take(std::chrono::hours(1), {}), std::nullopt);
}

TEST(NoncePool, SendsOneAfterAnotherToFetchANonceWhereAnswersAreSlowAndNotAllAtOnce) {
  constexpr auto patience = 50ms;
  NoncePool pool;
  const NoncePool::Awaited slow(pool);
  const auto begun = std::chrono::steady_clock::now();
  std::mutex mutex;
  std::vector<std::chrono::steady_clock::duration> waited;
  {
    std::vector<std::jthread> threads;
    for (int i = 0; i < 4; ++i) {
      threads.emplace_back([&] {
        const NoncePool::Awaited own(pool);
        EXPECT_EQ(pool.take(patience, {}), std::nullopt);
        std::lock_guard lock(mutex);
        waited.push_back(std::chrono::steady_clock::now() - begun);
      });
    }
  }
  for (std::size_t i = 0; i < waited.size(); ++i) EXPECT_GE(waited[i], static_cast<int>(i + 1) * patience) << i;
}

TEST(NoncePool, PassesOverWhatIsNoNonce) {
  NoncePool pool;
  for (const char* bad : {"", "white space", "a+b", "a=", "a\r\nb"}) pool.put(bad);
  EXPECT_EQ(pool.size(), 0U);
}

TEST(NoncePool, StaysBoundedAndDropsTheOldest) {
  NoncePool pool;
  for (int i = 0; i < 1000; ++i) pool.put("n" + std::to_string(i));
  EXPECT_EQ(pool.size(), NoncePool::limit);
  EXPECT_EQ(pool.take(), "n999");
}

TEST(Authorization, OfAWildcardIsForTheNameBelowItHoweverTheCaSpellsIt) {
  for (const char* text : {R"({"status": "pending", "identifier": {"type": "dns", "value": "*.example.org"}})",
                           R"({"status": "pending", "identifier": {"type": "dns", "value": "*.example.org"},
                               "wildcard": true})",
                           R"({"status": "pending", "identifier": {"type": "dns", "value": "example.org"},
                               "wildcard": true})"}) {
    const acme::Authorization authorization = parseAuthorization(*Json::parse(text));
    EXPECT_EQ(authorization.identifier, "example.org") << text;
    EXPECT_EQ(orderedName(authorization), "*.example.org") << text;
  }
}

TEST(Problem, SaysWhereAPersonFindsWhatToDo) {
  const auto detailOf = [](const char* text) { return parseProblem(*Json::parse(text)).detail; };
  EXPECT_EQ(detailOf(R"({"type": "urn:ietf:params:acme:error:userActionRequired", "detail": "Terms have changed",
                         "instance": "https://ca.test/agreement?token=W8Ih3"})"),
            "Terms have changed; see https://ca.test/agreement?token=W8Ih3");
  EXPECT_EQ(detailOf(R"({"type": "urn:ietf:params:acme:error:userActionRequired", "detail": "Visit https://ca.test/a",
                         "instance": "https://ca.test/a"})"),
            "Visit https://ca.test/a");
  EXPECT_EQ(detailOf(R"({"type": "urn:ietf:params:acme:error:userActionRequired", "detail": "no",
                         "instance": "javascript:alert"
})"),
            "no");
  EXPECT_EQ(detailOf(R"({"type": "urn:ietf:params:acme:error:rateLimited", "detail": "no",
                         "instance": "https://ca.test/a"})"),
            "no");
}

}  // namespace
}  // namespace postern::acme
