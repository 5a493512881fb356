// HttpsServer: a small HTTPS server on 127.0.0.1 for tests of the transport. Its handler answers with raw bytes, so
// that it may misbehave.
//
// Serves each connection on a thread of its own; ends them all in its destructor. The handler is called on those
// threads.
#pragma once

#include <atomic>
#include <functional>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "tls/openssl.h"

namespace postern::test {

struct RawRequest {
  std::string head;  // request line and headers, as they came
  std::string body;
};

class HttpsServer {
 public:
  // What to write. An empty string closes the connection; so does the end of an answer with "Connection: close".
  using Handler = std::function<std::string(const RawRequest&)>;

  // `chain` (PEM) and `key` are shown to every client.
  HttpsServer(const std::string& chain, EVP_PKEY* key, Handler handler);
  ~HttpsServer();
  HttpsServer(const HttpsServer&) = delete;
  HttpsServer& operator=(const HttpsServer&) = delete;

  std::string url(const std::string& path) const;
  int connections() const { return connections_; }  // that completed a handshake
  int requests() const { return requests_; }

 private:
  void acceptAll();
  void serve(int descriptor);
  bool answerOne(SSL* ssl, std::string& buffer);

  tls::SslCtxPtr context_;
  Handler handler_;
  int listening_ = -1, port_ = 0;
  std::atomic<int> connections_{0}, requests_{0};
  std::mutex mutex_;
  std::vector<int> open_;
  bool ending_ = false;
  std::vector<std::thread> threads_;
  std::thread accepting_;
};

// An answer with Content-Length and whatever else is in `headers` ("Name: value\r\n").
std::string httpAnswer(const std::string& status, const std::string& body, const std::string& headers = "");

}  // namespace postern::test
