// http::Session: HTTP/1.0 and 1.1 for small answers that a program made: health, metrics, challenges.
//
// GET and HEAD only; a request with a body is refused and the connection closed, because nothing here wants one.
// Requests may be pipelined. What is answered comes from the handler, which is called on the connection's loop and must
// not block. RFC 9110, RFC 9112.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "listeners/session.h"
#include "listeners/settings.h"

namespace postern::http {

struct Request {
  std::string method;       // "GET" or "HEAD"
  std::string path;         // without the query, as sent: not percent-decoded
  std::string query;        // behind the "?", or empty
  std::string host;         // as sent, perhaps with a port; empty for HTTP/1.0 without one
  std::string peerAddress;  // the client's
};

struct Response {
  int status = 200;
  std::string contentType = "text/plain; charset=utf-8";
  std::string body;
};

// A HEAD request is answered from what it makes for GET.
using Handler = std::function<Response(const Request& request)>;

class Session final : public listeners::Session {
 public:
  Session(const listeners::ListenerSettings& settings, const listeners::Peer& peer, Handler handler);
  ~Session() override;

  listeners::Step greet() override { return {}; }
  listeners::Step received(std::string_view bytes) override;
  listeners::Step encrypted(const listeners::TlsFacts&) override { return {}; }
  listeners::Step resumed() override;
  std::string farewell(Farewell) override { return {}; }
  // A request that has begun must be whole within the login deadline, however slowly its bytes drip in.
  bool loginPending() const override;

  static constexpr std::size_t maxHeader = 8 * 1024;  // request line and header fields

 private:
  struct Parser;
  listeners::Step proceed();
  void answer(std::string& reply);

  std::unique_ptr<Parser> parser_;
  std::string input_;  // not looked at yet
  Handler handler_;
  std::string peerAddress_;
};

}  // namespace postern::http
