#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <stdexcept>

#include "listeners/http/response.h"
#include "listeners/http/session.h"
#include "tests/listeners/client.h"
#include "tests/listeners/stage.h"
#include "tests/support/session_driver.h"

namespace postern::http {
namespace {

using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

Response route(const Request& request) {
  if (request.path == "/throw") throw std::runtime_error("x");
  if (request.path == "/big") return {200, "text/plain", std::string(30000, 'b')};
  if (request.path == "/missing") return {404, "text/plain", "no such thing\n"};
  return {200, "text/plain",
          request.method + " " + request.path + " " + request.query + " " + request.host + " " + request.peerAddress +
              "\n"};
}

struct Http : ::testing::Test {
  support::SessionDriver driver{std::make_shared<Session>(listeners::ListenerSettings{},
                                                          listeners::Peer{"192.0.2.7", 1, "127.0.0.1", 80}, route)};
  std::string ask(std::string_view bytes) { return driver.send(bytes); }
};

std::string bodyOf(const std::string& answer) {
  const auto at = answer.find("\r\n\r\n");
  return at == std::string::npos ? "no header end" : answer.substr(at + 4);
}

std::size_t countOf(const std::string& text, const std::string& word) {
  std::size_t count = 0;
  for (auto at = text.find(word); at != std::string::npos; at = text.find(word, at + 1)) ++count;
  return count;
}

TEST_F(Http, AnswersAGetWithWhatTheHandlerMade) {
  const auto answer = ask("GET /healthz?full=1 HTTP/1.1\r\nHost: mail.example.org:80\r\n\r\n");
  EXPECT_THAT(answer, StartsWith("HTTP/1.1 200 OK\r\n"));
  EXPECT_EQ(bodyOf(answer), "GET /healthz full=1 mail.example.org:80 192.0.2.7\n");
  EXPECT_THAT(answer, HasSubstr("Content-Length: 50\r\n"));
  EXPECT_THAT(answer, HasSubstr("Content-Type: text/plain\r\n"));
  EXPECT_THAT(answer, HasSubstr(" GMT\r\n"));
  EXPECT_THAT(answer, Not(HasSubstr("Server:")));
  EXPECT_THAT(answer, Not(HasSubstr("Connection:")));
  EXPECT_FALSE(driver.closed());
}

TEST_F(Http, AnswersAHeadWithTheHeaderOfTheGet) {
  const auto answer = ask("HEAD / HTTP/1.1\r\nHost: a\r\n\r\n");
  EXPECT_THAT(answer, HasSubstr("Content-Length: 20\r\n"));
  EXPECT_EQ(bodyOf(answer), "");
}

TEST_F(Http, SaysNothingFirst) {
  EXPECT_EQ(driver.start(), "");
}

TEST_F(Http, TakesARequestThatComesByteByByte) {
  EXPECT_THAT(driver.sendBytewise("GET /x HTTP/1.1\r\nHost: a\r\nX-Long: folded\r\n\r\n"), HasSubstr("GET /x  a"));
}

TEST_F(Http, AnswersPipelinedRequestsInOrder) {
  const auto answer =
      ask("GET /1 HTTP/1.1\r\nHost: a\r\n\r\nGET /missing HTTP/1.1\r\nHost: a\r\n\r\nGET /3 HTTP/1.1\r\nHo");
  EXPECT_LT(answer.find("GET /1"), answer.find("404 Not Found"));
  EXPECT_EQ(countOf(answer, "HTTP/1.1 "), 2u);
  EXPECT_THAT(ask("st: b\r\n\r\n"), HasSubstr("GET /3  b"));
}

TEST_F(Http, MakesAFloodOfPipelinedRequestsWaitForItsReader) {
  std::string flood;
  for (int i = 0; i < 20; ++i) flood += "GET /big HTTP/1.1\r\nHost: a\r\n\r\n";
  const auto answer = ask(flood);
  EXPECT_EQ(countOf(answer, "200 OK"), 20u);
  EXPECT_GE(driver.works(), 5);  // pauses in which the output could drain
}

TEST_F(Http, ClosesWhenToldTo) {
  const auto answer = ask("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n");
  EXPECT_THAT(answer, HasSubstr("Connection: close\r\n"));
  EXPECT_EQ(countOf(answer, "200 OK"), 1u);
  EXPECT_TRUE(driver.closed());
}

TEST_F(Http, ClosesAfterAnHttp10RequestUnlessAsked) {
  EXPECT_THAT(ask("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n"), HasSubstr("Connection: keep-alive\r\n"));
  EXPECT_FALSE(driver.closed());
  EXPECT_THAT(ask("GET / HTTP/1.0\r\n\r\n"), HasSubstr("Connection: close\r\n"));
  EXPECT_TRUE(driver.closed());
}

TEST_F(Http, NamesTheMethodsItTakes) {
  const auto answer = ask("DELETE /x HTTP/1.1\r\nHost: a\r\n\r\n");
  EXPECT_THAT(answer, StartsWith("HTTP/1.1 405 Method Not Allowed\r\n"));
  EXPECT_THAT(answer, HasSubstr("Allow: GET, HEAD\r\n"));
  EXPECT_FALSE(driver.closed());
  EXPECT_THAT(ask("CONNECT a:25 HTTP/1.1\r\nHost: a\r\n\r\nEHLO x\r\n"), StartsWith("HTTP/1.1 405 "));
  EXPECT_TRUE(driver.closed());
}

TEST_F(Http, TakesTheAbsoluteForm) {
  EXPECT_THAT(ask("GET http://mail.example.org/x?y HTTP/1.1\r\nHost: a\r\n\r\n"), HasSubstr("GET /x y a"));
}

TEST_F(Http, SaysThatSomethingFailedInside) {
  EXPECT_THAT(ask("GET /throw HTTP/1.1\r\nHost: a\r\n\r\n"), StartsWith("HTTP/1.1 500 "));
}

TEST_F(Http, TakesAHeaderOfEightKibibytesAndNoMore) {
  const std::string start = "GET / HTTP/1.1\r\nHost: a\r\nX: ";
  const std::string fits = start + std::string(Session::maxHeader - start.size() - 4, 'x') + "\r\n\r\n";
  ASSERT_EQ(fits.size(), Session::maxHeader);
  EXPECT_THAT(ask(fits), StartsWith("HTTP/1.1 200 "));
  EXPECT_THAT(ask(start + std::string(Session::maxHeader, 'x')), StartsWith("HTTP/1.1 431 "));
  EXPECT_TRUE(driver.closed());
}

struct Refused {
  const char* what;
  const char* request;
  const char* status;
};

TEST(HttpSession, RefusesAndClosesOnWhatItCannotTake) {
  const std::vector<Refused> cases{
      {"no Host", "GET / HTTP/1.1\r\n\r\n", "400"},
      {"two Hosts", "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", "400"},
      {"no HTTP", "EHLO mail.example.org\r\n\r\n", "400"},
      {"TLS", "\x16\x03\x01\x02\x01", "400"},
      {"a broken header", "GET / HTTP/1.1\r\nHost: a\r\nno colon\r\n\r\n", "400"},
      {"a body", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc", "413"},
      {"a body with GET", "GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc", "413"},
      {"a chunked body", "GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n", "413"},
      {"smuggling", "GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n", "400"},
      {"another version", "GET / HTTP/2.0\r\nHost: a\r\n\r\n", "505"},
      {"HTTP/2", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "400"},
  };
  for (const auto& one : cases) {
    support::SessionDriver driver(std::make_shared<Session>(listeners::ListenerSettings{}, listeners::Peer{}, route));
    const auto answer = driver.send(one.request);
    EXPECT_THAT(answer, StartsWith(std::string("HTTP/1.1 ") + one.status + " ")) << one.what;
    EXPECT_THAT(answer, HasSubstr("Connection: close\r\n")) << one.what;
    EXPECT_THAT(answer, Not(HasSubstr("abc"))) << one.what;
    EXPECT_TRUE(driver.closed()) << one.what;
    EXPECT_EQ(countOf(answer, "HTTP/1.1 "), 1u) << one.what;
  }
}

TEST_F(Http, GivesARequestThatHasBegunALoginsTime) {
  EXPECT_FALSE(driver.session().loginPending());
  ask("GET / HT");
  EXPECT_TRUE(driver.session().loginPending());
  ask("TP/1.1\r\nHost: a\r\n\r\n");
  EXPECT_FALSE(driver.session().loginPending());
}

TEST(HttpResponse, WritesDatesAsRfc9110Wants) {
  EXPECT_EQ(httpDate(784111777), "Sun, 06 Nov 1994 08:49:37 GMT");
}

TEST(HttpResponse, LetsNoContentTypeBeginAnotherLine) {
  const auto text = serialized({200, "text/plain\r\nX-Injected: 1", ""}, {}, 0);
  EXPECT_THAT(text, Not(HasSubstr("\r\nX-Injected")));
  EXPECT_THAT(serialized({204, "text/plain", "x"}, {}, 0), EndsWith("GMT\r\n\r\n"));
}

TEST(HttpListener, ServesOverARealConnectionUntilItIsIdle) {
  for (auto timeout = std::chrono::milliseconds(100);; timeout *= 2) {
    auto settings = listeners::testing::plainSettings(listeners::Protocol::Http);
    settings.idleTimeout = timeout;
    listeners::testing::Stage stage(settings, nullptr, [settings](const listeners::Peer& peer) {
      return std::make_shared<Session>(settings, peer, route);
    });
    const auto begin = std::chrono::steady_clock::now();
    listeners::testing::Client client(stage.port());
    client.send("GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n");
    const auto asked = std::chrono::steady_clock::now();
    const std::string answer = client.readAll();
    if (answer.empty() && asked - begin >= timeout) continue;  // a machine that is busy has asked too late
    EXPECT_THAT(answer, EndsWith("GET /healthz  a 127.0.0.1\n"));
    EXPECT_TRUE(client.endedWell());
    return;
  }
}

TEST(HttpListener, EndsARequestThatDripsIn) {
  auto settings = listeners::testing::plainSettings(listeners::Protocol::Http);
  settings.loginTimeout = std::chrono::milliseconds(100);
  listeners::testing::Stage stage(settings, nullptr, [settings](const listeners::Peer& peer) {
    return std::make_shared<Session>(settings, peer, route);
  });
  listeners::testing::Client client(stage.port());
  client.send("GET / HTTP/1.1\r\nX: ");
  std::size_t sent = 0;
  while (client.staysSilent(1) && sent < 8000) {
    client.send("x");
    ++sent;
  }
  EXPECT_EQ(client.readAll(), "");
  EXPECT_LT(sent, 8000u);
}

}  // namespace
}  // namespace postern::http
