// HTTP requests: fed whole and in pieces, the session says the same, takes bounded input, and says nothing after it
// closed. The first byte of the input decides the size of the pieces.
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <string>
#include <string_view>

#include "listeners/http/session.h"

using namespace postern;

namespace {

struct Outcome {
  std::string said;
  bool closed = false;
};

Outcome converse(std::string_view bytes, std::size_t pieces) {
  http::Session session({}, {}, [](const http::Request& request) {
    if (request.method != "GET" && request.method != "HEAD") std::abort();
    if (request.path.empty() || request.path.size() > http::Session::maxHeader) std::abort();
    return http::Response{200, "text/plain", request.path + "\n" + request.host};
  });
  Outcome outcome;
  while (!bytes.empty() && !outcome.closed) {
    const auto piece = bytes.substr(0, pieces);
    bytes.remove_prefix(piece.size());
    auto step = session.received(piece);
    for (;;) {
      outcome.said += step.reply;
      outcome.closed = step.then == listeners::Action::Close;
      if (!step.work || outcome.closed) break;
      step.work();
      step = session.resumed();
    }
  }
  return outcome;
}

// The time of day is not the session's doing.
std::string withoutDates(std::string text) {
  for (auto at = text.find("\r\nDate: "); at != std::string::npos; at = text.find("\r\nDate: ", at)) {
    text.erase(at, text.find("\r\n", at + 2) - at);
  }
  return text;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size < 2) return 0;
  const std::string_view bytes(reinterpret_cast<const char*>(data + 1), size - 1);
  const auto whole = converse(bytes, bytes.size()), cut = converse(bytes, std::size_t{data[0]} + 1);
  if (whole.closed != cut.closed || withoutDates(whole.said) != withoutDates(cut.said)) std::abort();
  return 0;
}
