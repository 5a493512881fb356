#include "listeners/http/session.h"

#include <http_parser.h>

#include <algorithm>
#include <ctime>
#include <exception>
#include <utility>

#include "base/text.h"
#include "listeners/http/response.h"

namespace postern::http {

using listeners::Action;
using listeners::Step;

namespace {
constexpr std::size_t enoughAtOnce = 64 * 1024;  // of answers to pipelined requests, before the peer must take some
}

// http_parser with what it has found in the request under way.
struct Session::Parser {
  http_parser engine;
  http_parser_settings callbacks;
  std::string target, host, name;
  int hosts = 0;
  std::size_t header = 0;  // bytes of the request so far
  bool nameEnded = true;
  bool begun = false, headerDone = false, whole = false, hasBody = false, keepAlive = false;

  Parser() {
    http_parser_settings_init(&callbacks);
    callbacks.on_url = [](http_parser* p, const char* at, size_t length) { return of(p).target.append(at, length), 0; };
    callbacks.on_header_field = [](http_parser* p, const char* at, size_t length) {
      of(p).addToName({at, length});
      return 0;
    };
    callbacks.on_header_value = [](http_parser* p, const char* at, size_t length) {
      of(p).addToValue({at, length});
      return 0;
    };
    callbacks.on_headers_complete = [](http_parser* p) { return of(p).headerComplete(); };
    callbacks.on_message_complete = [](http_parser* p) {
      of(p).whole = true;
      http_parser_pause(p, 1);  // the next request waits until this one is answered
      return 0;
    };
    restart();
  }

  static Parser& of(http_parser* p) { return *static_cast<Parser*>(p->data); }

  void restart() {
    http_parser_init(&engine, HTTP_REQUEST);
    engine.data = this;
    target.clear();
    host.clear();
    name.clear();
    hosts = 0;
    header = 0;
    nameEnded = true;
    begun = headerDone = whole = hasBody = keepAlive = false;
  }

  void addToName(std::string_view piece) {
    if (std::exchange(nameEnded, false)) name.clear();
    name += piece;
  }
  void addToValue(std::string_view piece) {
    const bool first = !std::exchange(nameEnded, true);
    if (!equalsIgnoringCase(name, "host")) return;
    if (first) ++hosts;
    host += piece;
  }
  int headerComplete() {
    headerDone = true;
    keepAlive = http_should_keep_alive(&engine) != 0;
    hasBody = (engine.flags & F_CHUNKED) != 0 || ((engine.flags & F_CONTENTLENGTH) != 0 && engine.content_length != 0);
    // A body would only be thrown away: end here, and what follows is not looked at.
    return hasBody ? 1 : 0;
  }

  bool versionKnown() const { return engine.http_major == 1 && engine.http_minor <= 1; }
};

Session::Session(const listeners::ListenerSettings&, const listeners::Peer& peer, Handler handler)
    : parser_(std::make_unique<Parser>()), handler_(std::move(handler)), peerAddress_(peer.address) {}

Session::~Session() = default;

bool Session::loginPending() const {
  return parser_->begun;
}

Step Session::received(std::string_view bytes) {
  input_ += bytes;
  return proceed();
}

Step Session::resumed() {
  return proceed();
}

Step Session::proceed() {
  Step step;
  std::size_t used = 0;
  const auto refuse = [&](int status) {
    step.reply += serialized({status, "text/plain; charset=utf-8", std::string(reasonPhrase(status)) + "\n"},
                             {.keepAlive = false}, std::time(nullptr));
    step.then = Action::Close;
    input_.clear();
    return std::move(step);
  };
  while (used < input_.size()) {
    Parser& parser = *parser_;
    const std::size_t room = maxHeader + 1 - parser.header;
    const std::size_t piece = std::min(input_.size() - used, room);
    const std::size_t parsed = http_parser_execute(&parser.engine, &parser.callbacks, input_.data() + used, piece);
    used += parsed;
    parser.header += parsed;
    parser.begun = true;
    if (parser.headerDone && !parser.versionKnown()) return refuse(505);
    if (parser.hasBody) return refuse(413);
    const auto error = HTTP_PARSER_ERRNO(&parser.engine);
    if (error != HPE_OK && error != HPE_PAUSED) return refuse(error == HPE_HEADER_OVERFLOW ? 431 : 400);
    if (parser.header > maxHeader) return refuse(431);
    if (!parser.whole) continue;

    answer(step.reply);
    // A step that closes is not asked for more; one that is told to wait goes on in resumed().
    if (!parser.keepAlive) {
      step.then = Action::Close;
      input_.clear();
      return step;
    }
    parser.restart();
    if (step.reply.size() >= enoughAtOnce && used < input_.size()) {
      step.work = [] {};
      break;
    }
  }
  input_.erase(0, used);
  return step;
}

// Clears the parser's keepAlive where the connection cannot go on.
void Session::answer(std::string& reply) {
  Parser& parser = *parser_;
  const bool http10 = parser.engine.http_minor == 0;
  Request request{http_method_str(static_cast<http_method>(parser.engine.method)), {}, {}, parser.host, peerAddress_};
  Response response;
  http_parser_url url;
  http_parser_url_init(&url);
  const auto part = [&](http_parser_url_fields field) {
    if ((url.field_set & (1 << field)) == 0) return std::string();
    return parser.target.substr(url.field_data[field].off, url.field_data[field].len);
  };
  const auto problem = [&](int status) {
    response = {status, "text/plain; charset=utf-8", std::string(reasonPhrase(status)) + "\n"};
  };
  const bool isConnect = parser.engine.method == HTTP_CONNECT;
  if (parser.hosts > 1 || (parser.hosts == 0 && !http10)) {  // RFC 9112 section 3.2
    problem(400);
    parser.keepAlive = false;
  } else if (request.method != "GET" && request.method != "HEAD") {
    problem(405);
    if (isConnect || parser.engine.upgrade) parser.keepAlive = false;
  } else if (http_parser_parse_url(parser.target.data(), parser.target.size(), 0, &url) != 0) {
    problem(400);
    parser.keepAlive = false;
  } else {
    request.path = part(UF_PATH);
    request.query = part(UF_QUERY);
    if (request.path.empty()) request.path = "/";
    try {
      response = handler_(request);
    } catch (const std::exception&) {
      problem(500);
    }
  }
  reply += serialized(response, {parser.keepAlive, request.method == "HEAD", http10}, std::time(nullptr));
}

}  // namespace postern::http
