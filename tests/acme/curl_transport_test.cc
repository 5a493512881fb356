#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <csignal>
#include <cstdio>
#include <memory>
#include <mutex>
#include <thread>

#include "acme/error.h"
#include "acme/provider.h"
#include "acme/transport.h"
#include "tests/support/fake_ca_crypto.h"
#include "tests/support/https_server.h"
#include "tests/support/temporary_folder.h"
#include "tests/support/test_certificates.h"
#include "tests/support/test_issuer.h"
#include "tls/certified_key.h"

namespace postern::acme {
namespace {

using namespace std::chrono_literals;
using test::httpAnswer;
using test::RawRequest;

HttpRequest get(const std::string& url) {
  HttpRequest request;
  request.method = "GET";
  request.url = url;
  request.timeout = 60s;
  return request;
}

// A gate that handlers wait at, until the test opens it.
class Gate {
 public:
  void wait() {
    std::unique_lock lock(mutex_);
    ++waiting_;
    changed_.notify_all();
    changed_.wait(lock, [this] { return open_; });
  }
  void open() {
    std::lock_guard lock(mutex_);
    open_ = true;
    changed_.notify_all();
  }
  void awaitVisitor() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [this] { return waiting_ > 0; });
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  bool open_ = false;
  int waiting_ = 0;
};

class CurlTransportTest : public ::testing::Test {
 protected:
  CurlTransportTest() {
    std::signal(SIGPIPE, SIG_IGN);  // of the server's writes
    support::write(folder / "root.pem", issuer.rootPem());
  }

  std::unique_ptr<test::HttpsServer> serve(test::HttpsServer::Handler handler, const std::string& name = "localhost") {
    Time now = std::chrono::floor<std::chrono::milliseconds>(std::chrono::system_clock::now());
    std::string leaf = test::pemOf(issuer.issue(key.get(), {{name}, now - 1h, now + 1h, true}).get());
    return std::make_unique<test::HttpsServer>(leaf + issuer.intermediatePem(), key.get(), std::move(handler));
  }
  static std::unique_ptr<Transport> transport(const std::string& caFile, const std::string& systemStore = "") {
    Provider provider;
    provider.caFile = caFile;
    return curlTransports("postern/0.1 (+https://postern.example.org/)", systemStore)(provider);
  }
  std::unique_ptr<Transport> trusting() const { return transport((folder / "root.pem").string()); }

  template <class Action>
  static Problem problemOf(Action action) {
    try {
      action();
    } catch (const Error& error) {
      return error.problem;
    }
    ADD_FAILURE() << "no Error was thrown";
    return {};
  }

  support::TemporaryFolder folder;
  test::TestIssuer issuer;
  tls::KeyPtr key = tls::generateKey(tls::KeyType::EcdsaP256);
};

bool contains(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

TEST_F(CurlTransportTest, TrustsACaByItsCaFile) {
  auto server = serve([](const RawRequest&) {
    return httpAnswer("200 OK", "{}", "Replay-Nonce: abc\r\nX-Twice: one\r\nX-TWICE:  two \r\n");
  });
  HttpResponse response = trusting()->send(get(server->url("/directory")), {});
  EXPECT_EQ(response.status, 200);
  EXPECT_EQ(response.body, "{}");
  EXPECT_EQ(response.header("replay-nonce"), "abc");
  EXPECT_EQ(response.headers.count("x-twice"), 2U);
}

TEST_F(CurlTransportTest, RefusesACaThatNobodyNamedAndTellsTheRemedy) {
  auto server = serve([](const RawRequest&) { return httpAnswer("200 OK", "{}"); });
  Problem problem = problemOf([&] { transport("")->send(get(server->url("/")), {}); });
  EXPECT_EQ(problem.type, "postern:connection");
  EXPECT_TRUE(contains(problem.detail, "localhost")) << problem.detail;
  EXPECT_TRUE(contains(problem.detail, "ca-file")) << problem.detail;
  EXPECT_EQ(server->requests(), 0);
}

TEST_F(CurlTransportTest, AsksForALookAtTheClockWhereTheDatesOfTheCasCertificateAreWrong) {
  const Time now = std::chrono::floor<std::chrono::milliseconds>(std::chrono::system_clock::now());
  for (const Duration apart : {Duration(-48h), Duration(48h)}) {  // expired, not yet valid
    const std::string leaf =
        test::pemOf(issuer.issue(key.get(), {{"localhost"}, now + apart - 1h, now + apart + 1h, true}).get());
    test::HttpsServer server(leaf + issuer.intermediatePem(), key.get(),
                             [](const RawRequest&) { return httpAnswer("200 OK", "{}"); });
    const Problem problem = problemOf([&] { trusting()->send(get(server.url("/")), {}); });
    EXPECT_TRUE(contains(problem.detail, "clock")) << problem.detail;
    EXPECT_FALSE(contains(problem.detail, "ca-file")) << problem.detail;
  }
}

// The name under which OpenSSL looks for a root in a folder.
std::string hashName(const std::string& pem) {
  const tls::CertPtr root = test::certificateFromPem(pem);
  std::array<char, 16> name{};
  std::snprintf(name.data(), name.size(), "%08lx.0", X509_subject_name_hash(root.get()));
  return name.data();
}

TEST_F(CurlTransportTest, TrustsTheSystemsStoreBesideACaFile) {
  auto server = serve([](const RawRequest&) { return httpAnswer("200 OK", "{}"); });
  support::write(folder / "own.pem", testing::TestCa("Another CA").rootPem());
  const auto system = folder / "system";
  std::filesystem::create_directory(system);
  const auto ask = [&] {
    return transport((folder / "own.pem").string(), system.string())->send(get(server->url("/")), {});
  };
  // By neither of the two, and then by the store alone.
  EXPECT_EQ(problemOf([&] { ask(); }).type, "postern:connection");
  support::write(system / hashName(issuer.rootPem()), issuer.rootPem());
  EXPECT_EQ(ask().status, 200);
}

TEST_F(CurlTransportTest, RefusesACertificateForAnotherHost) {
  auto server = serve([](const RawRequest&) { return httpAnswer("200 OK", "{}"); }, "other.example.org");
  EXPECT_EQ(problemOf([&] { trusting()->send(get(server->url("/")), {}); }).type, "postern:connection");
  EXPECT_EQ(server->requests(), 0);
}

TEST_F(CurlTransportTest, NamesACaFileThatCannotBeRead) {
  auto server = serve([](const RawRequest&) { return httpAnswer("200 OK", "{}"); });
  std::string missing = (folder / "missing.pem").string();
  Problem problem = problemOf([&] { transport(missing)->send(get(server->url("/")), {}); });
  EXPECT_EQ(problem.type, "postern:connection");
  EXPECT_TRUE(contains(problem.detail, missing)) << problem.detail;
}

TEST_F(CurlTransportTest, SendsWhoItIsAndAPostAsJose) {
  RawRequest seen;
  std::mutex mutex;
  auto server = serve([&](const RawRequest& request) {
    std::lock_guard lock(mutex);
    seen = request;
    return httpAnswer("201 Created", "");
  });
  HttpRequest request = get(server->url("/newOrder"));
  request.method = "POST";
  request.body = std::string(5000, 'x');  // long enough for curl's Expect, which is switched off
  EXPECT_EQ(trusting()->send(request, {}).status, 201);
  std::lock_guard lock(mutex);
  EXPECT_TRUE(contains(seen.head, "POST /newOrder HTTP/1.1\r\n"));
  EXPECT_TRUE(contains(seen.head, "User-Agent: postern/0.1 (+https://postern.example.org/)\r\n")) << seen.head;
  EXPECT_TRUE(contains(seen.head, "Content-Type: application/jose+json\r\n")) << seen.head;
  EXPECT_FALSE(contains(seen.head, "Expect:")) << seen.head;
  EXPECT_EQ(seen.body, request.body);
}

TEST_F(CurlTransportTest, TakesTheHeadersOfAHeadAnswer) {
  auto server = serve([](const RawRequest& request) {
    EXPECT_TRUE(request.head.starts_with("HEAD ")) << request.head;
    return std::string("HTTP/1.1 200 OK\r\nReplay-Nonce: fresh\r\nContent-Length: 100\r\n\r\n");
  });
  HttpRequest request = get(server->url("/newNonce"));
  request.method = "HEAD";
  EXPECT_EQ(trusting()->send(request, {}).header("replay-nonce"), "fresh");
}

TEST_F(CurlTransportTest, ReusesItsConnectionForRequestsOfEveryKind) {
  auto server = serve([](const RawRequest& request) {
    return request.head.starts_with("HEAD ") ? std::string("HTTP/1.1 200 OK\r\n\r\n")
                                             : httpAnswer("404 Not Found", "no");
  });
  auto one = trusting();
  for (const char* method : {"GET", "POST", "HEAD", "POST", "GET"}) {
    HttpRequest request = get(server->url("/"));
    request.method = method;
    one->send(request, {});
  }
  EXPECT_EQ(server->requests(), 5);
  EXPECT_EQ(server->connections(), 1);
}

// A CA closes what is idle without a word; the next request meets it. What may have been taken then has had its nonce.
TEST_F(CurlTransportTest, SendsAgainWhereTheConnectionThatItKeptWasClosedMeanwhile) {
  std::atomic<int> requests = 0;
  auto server = serve([&](const RawRequest&) { return ++requests == 2 ? "" : httpAnswer("200 OK", "{}"); });
  auto one = trusting();
  HttpRequest request = get(server->url("/"));
  request.method = "POST";
  request.body = "{}";
  EXPECT_EQ(one->send(request, {}).status, 200);
  EXPECT_EQ(one->send(request, {}).status, 200);
  EXPECT_EQ(server->requests(), 3);
  EXPECT_EQ(server->connections(), 2);
}

TEST_F(CurlTransportTest, ServesSeveralThreadsAtOnce) {
  Gate gate;
  auto server = serve([&](const RawRequest& request) {
    if (contains(request.head, "/slow")) gate.wait();
    return httpAnswer("200 OK", "{}");
  });
  auto one = trusting();
  std::jthread slow([&] { EXPECT_EQ(one->send(get(server->url("/slow")), {}).status, 200); });
  gate.awaitVisitor();
  EXPECT_EQ(one->send(get(server->url("/fast")), {}).status, 200);  // though the other is still on its way
  gate.open();
}

TEST_F(CurlTransportTest, DoesNotFollowARedirect) {
  auto server = serve([](const RawRequest&) { return httpAnswer("302 Found", "", "Location: /elsewhere\r\n"); });
  HttpResponse response = trusting()->send(get(server->url("/")), {});
  EXPECT_EQ(response.status, 302);
  EXPECT_EQ(response.header("location"), "/elsewhere");
  EXPECT_EQ(server->requests(), 1);
}

TEST_F(CurlTransportTest, TakesAnAnswerOfOneMebibyteAndNotOneByteMore) {
  auto server = serve([](const RawRequest& request) {
    return httpAnswer("200 OK", std::string((1U << 20U) + (contains(request.head, "/more") ? 1U : 0U), 'x'));
  });
  auto one = trusting();
  EXPECT_EQ(one->send(get(server->url("/")), {}).body.size(), 1U << 20U);
  EXPECT_EQ(problemOf([&] { one->send(get(server->url("/more")), {}); }).type, "postern:http");
}

TEST_F(CurlTransportTest, RefusesAnEndlessAnswerThatTellsNoLength) {
  auto server = serve([](const RawRequest&) {
    std::string answer = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
    for (int i = 0; i < 2000; ++i) answer += "400\r\n" + std::string(1024, 'x') + "\r\n";
    return answer;
  });
  EXPECT_EQ(problemOf([&] { trusting()->send(get(server->url("/")), {}); }).type, "postern:http");
}

TEST_F(CurlTransportTest, RefusesEndlessHeaders) {
  auto server = serve([](const RawRequest&) {
    std::string headers;
    for (int i = 0; i < 200; ++i) headers += "X-Filler-" + std::to_string(i) + ": " + std::string(1000, 'x') + "\r\n";
    return httpAnswer("200 OK", "{}", headers);
  });
  EXPECT_EQ(problemOf([&] { trusting()->send(get(server->url("/")), {}); }).type, "postern:http");
}

TEST_F(CurlTransportTest, CallsABrokenAnswerAFailedConnection) {
  auto server = serve([](const RawRequest& request) {
    return contains(request.head, "/none")
               ? std::string()
               : std::string("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 9\r\n\r\nhalf");
  });
  auto one = trusting();
  EXPECT_EQ(problemOf([&] { one->send(get(server->url("/none")), {}); }).type, "postern:connection");
  EXPECT_EQ(problemOf([&] { one->send(get(server->url("/half")), {}); }).type, "postern:connection");
}

TEST_F(CurlTransportTest, TellsHostAndReasonWhereNobodyListens) {
  // A port that is taken, so that nobody else comes to listen on it, and on which nobody listens.
  const int taken = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t length = sizeof address;
  ASSERT_EQ(::bind(taken, reinterpret_cast<const sockaddr*>(&address), length), 0);
  ASSERT_EQ(::getsockname(taken, reinterpret_cast<sockaddr*>(&address), &length), 0);
  const std::string url = "https://localhost:" + std::to_string(ntohs(address.sin_port)) + "/";
  Problem problem = problemOf([&] { trusting()->send(get(url), {}); });
  ::close(taken);
  EXPECT_EQ(problem.type, "postern:connection");
  EXPECT_TRUE(contains(problem.detail, "localhost")) << problem.detail;
  EXPECT_TRUE(contains(problem.detail, "connect")) << problem.detail;
}

TEST_F(CurlTransportTest, EndsARequestWhenItsTimeIsUp) {
  Gate gate;
  auto server = serve([&](const RawRequest&) {
    gate.wait();
    return httpAnswer("200 OK", "");
  });
  HttpRequest request = get(server->url("/"));
  request.timeout = 200ms;
  Problem problem = problemOf([&] { trusting()->send(request, {}); });
  EXPECT_EQ(problem.type, "postern:timeout");
  EXPECT_TRUE(contains(problem.detail, "localhost")) << problem.detail;
  gate.open();
}

TEST_F(CurlTransportTest, EndsWithinASecondOfAStopRequestAndServesTheNext) {
  Gate gate;
  auto server = serve([&](const RawRequest& request) {
    if (contains(request.head, "/slow")) gate.wait();
    return httpAnswer("200 OK", "{}");
  });
  auto one = trusting();
  std::stop_source stop;
  std::chrono::steady_clock::time_point asked;
  std::jthread waiting([&] { EXPECT_THROW(one->send(get(server->url("/slow")), stop.get_token()), Stopped); });
  gate.awaitVisitor();
  asked = std::chrono::steady_clock::now();
  stop.request_stop();
  waiting.join();
  EXPECT_LT(std::chrono::steady_clock::now() - asked, 20s);  // long before its time is up, on a busy machine too
  EXPECT_EQ(one->send(get(server->url("/fast")), {}).status, 200);
  EXPECT_THROW(one->send(get(server->url("/fast")), stop.get_token()), Stopped);
  gate.open();
}

TEST_F(CurlTransportTest, SpeaksHttpsAlone) {
  for (const char* url : {"http://localhost/directory", "file:///etc/passwd", "ftp://localhost/", "directory", ""}) {
    EXPECT_EQ(problemOf([&] { trusting()->send(get(url), {}); }).type, "postern:malformed") << url;
  }
}

}  // namespace
}  // namespace postern::acme
