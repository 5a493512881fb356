#include "tests/crash/pipe_transport.h"

#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <memory>
#include <optional>

#include "acme/error.h"

namespace postern::test {
namespace {

std::optional<std::string> readLine(int socket, std::string& buffer) {
  for (;;) {
    if (const auto end = buffer.find('\n'); end != std::string::npos) {
      std::string line = buffer.substr(0, end);
      buffer.erase(0, end + 1);
      return line;
    }
    std::array<char, 16384> bytes;
    const ssize_t got = read(socket, bytes.data(), bytes.size());
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) return std::nullopt;
    buffer.append(bytes.data(), static_cast<std::size_t>(got));
  }
}

bool writeLine(int socket, const Json& json) {
  const std::string line = json.dump() + "\n";
  for (std::size_t done = 0; done < line.size();) {
    const ssize_t sent = send(socket, line.data() + done, line.size() - done, MSG_NOSIGNAL);
    if (sent < 0 && errno == EINTR) continue;
    if (sent <= 0) return false;
    done += static_cast<std::size_t>(sent);
  }
  return true;
}

struct PipeTransport : acme::Transport {
  PipeTransport(Pipe& p, const Clock& c) : pipe(p), clock(c) {}

  acme::HttpResponse send(const acme::HttpRequest& request, std::stop_token stop) override {
    if (stop.stop_requested()) throw acme::Stopped();
    const Json answer = pipe.exchange(Json::Object{{"method", request.method},
                                                   {"url", request.url},
                                                   {"body", request.body},
                                                   {"now", clock.now().time_since_epoch().count()}});
    if (!answer["error"].isNull()) {
      throw acme::Error(acme::makeProblem(answer["error"].string(), answer["detail"].string()));
    }
    acme::HttpResponse response;
    response.status = static_cast<int>(answer["status"].integer());
    response.body = answer["body"].string();
    for (const auto& pair : answer["headers"].array()) {
      response.headers.emplace(pair.array().front().string(), pair.array().back().string());
    }
    return response;
  }

  Pipe& pipe;
  const Clock& clock;
};

Json answered(const Json& asked, FakeCa& ca) {
  Json json;
  try {
    acme::HttpRequest request;
    request.method = asked["method"].string();
    request.url = asked["url"].string();
    request.body = asked["body"].string();
    const acme::HttpResponse response = ca.send(request, {});
    Json::Array headers;
    for (const auto& [name, value] : response.headers) headers.push_back(Json::strings({name, value}));
    json["status"] = response.status;
    json["headers"] = std::move(headers);
    json["body"] = response.body;
  } catch (const acme::Error& error) {
    json["error"] = error.problem.type;
    json["detail"] = error.problem.detail;
  }
  return json;
}

}  // namespace

Json Pipe::exchange(const Json& line) {
  std::lock_guard lock(mutex_);
  if (writeLine(socket_, line)) {
    if (const auto answer = readLine(socket_, buffer_)) {
      if (auto json = Json::parse(*answer)) return *std::move(json);
    }
  }
  _exit(4);  // the parent is gone
}

acme::TransportFactory pipeTransports(Pipe& pipe, const Clock& clock) {
  return [&](const acme::Provider&) { return std::make_unique<PipeTransport>(pipe, clock); };
}

Json serve(int socket, FakeCa& ca, testing::FakeClock& clock) {
  Json report;
  std::string buffer;
  while (const auto line = readLine(socket, buffer)) {
    const Json asked = Json::parse(*line).value_or(Json());
    clock.set(Time(Duration(asked["now"].integer())));
    Json answer;
    if (asked["report"].isObject()) {
      report = asked["report"];
      answer["status"] = 200;
    } else {
      answer = answered(asked, ca);
    }
    if (!writeLine(socket, answer)) break;  // killed meanwhile
  }
  return report;
}

}  // namespace postern::test
