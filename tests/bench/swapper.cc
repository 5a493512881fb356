#include "tests/bench/swapper.h"

#include <openssl/pem.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <fstream>
#include <iostream>
#include <sstream>
#include <stdexcept>

#include "base/json.h"
#include "base/secret.h"
#include "tls/certified_key.h"

namespace postern::bench {
namespace {

std::string contentOf(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  std::ostringstream text;
  if (!(text << file.rdbuf())) throw std::runtime_error("cannot read " + path);
  return text.str();
}

void replaceFile(const std::string& path, const std::string& content) {
  const std::string next = path + ".next";
  {
    std::ofstream file(next, std::ios::binary | std::ios::trunc);
    if (!(file << content)) throw std::runtime_error("cannot write " + next);
  }
  if (std::rename(next.c_str(), path.c_str()) != 0) throw std::runtime_error("cannot replace " + path);
}

std::string askToReload(const std::string& path) {
  const int fd = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (fd < 0 || path.size() >= sizeof address.sun_path) return "cannot make a socket for " + path;
  std::copy(path.begin(), path.end(), address.sun_path);
  std::string answer;
  constexpr std::string_view request = "{\"command\":\"reload\"}\n";
  if (::connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0 &&
      ::send(fd, request.data(), request.size(), MSG_NOSIGNAL) == static_cast<ssize_t>(request.size())) {
    std::array<char, 4096> bytes;
    while (answer.find('\n') == std::string::npos) {
      const auto got = ::recv(fd, bytes.data(), bytes.size(), 0);
      if (got <= 0) break;
      answer.append(bytes.data(), static_cast<std::size_t>(got));
    }
  }
  ::close(fd);
  const auto parsed = Json::parse(answer).value_or(Json());
  return parsed["ok"].boolean() ? "" : "reload was answered with \"" + answer + "\"";
}

}  // namespace

Swapper::Swapper(const SwapOptions& options) : options_(options) {
  for (const auto& pair : options.pairs) {
    const auto comma = pair.find(',');
    if (comma == std::string::npos) throw std::runtime_error("a pair is CERTIFICATE,KEY, not \"" + pair + "\"");
    Pair read{contentOf(pair.substr(0, comma)), contentOf(pair.substr(comma + 1)), ""};
    read.serial = tls::CertifiedKey::fromPem(read.certificate, Secret(std::string(read.key)))->serial();
    pairs_.push_back(std::move(read));
  }
}

Swapper::~Swapper() = default;

void Swapper::start() {
  thread_ = std::jthread([this](const std::stop_token& stop) { work(stop); });
}

void Swapper::replace(const Pair& pair) {
  replaceFile(options_.key, pair.key);
  replaceFile(options_.certificate, pair.certificate);
}

std::string Swapper::load() {
  if (!options_.control.empty()) return askToReload(options_.control);
  return ::kill(options_.signal, SIGHUP) == 0 ? "" : "the server is gone";
}

void Swapper::work(const std::stop_token& stop) {
  std::vector<Swap> swaps;
  for (int i = 0; i < options_.swaps && !stop.stop_requested(); ++i) {
    const Pair& pair = pairs_[static_cast<std::size_t>(i) % pairs_.size()];
    Swap swap;
    swap.serial = pair.serial;
    {
      std::lock_guard lock(mutex_);
      wanted_ = pair.serial;
      handshakesWithWanted_ = 0;
    }
    try {
      swap.asked = std::chrono::steady_clock::now();  // the files alone may be noticed
      replace(pair);
      const auto called = std::chrono::steady_clock::now();
      swap.error = load();
      swap.call = std::chrono::steady_clock::now() - called;
      swap.returned = std::chrono::steady_clock::now();
    } catch (const std::exception& error) {
      swap.error = error.what();
    }
    if (swap.error.empty()) {
      std::unique_lock lock(mutex_);
      const auto enough = [&] { return handshakesWithWanted_ >= options_.clients; };
      if (!seen_.wait_for(lock, stop, std::chrono::seconds(10), enough))
        swap.error = "the new certificate was not seen";
    }
    swaps.push_back(swap);
    if ((i + 1) % std::max(options_.swaps / 10, 1) == 0) std::cout << "swapped " << i + 1 << std::endl;
  }
  std::lock_guard lock(mutex_);
  swaps_ = std::move(swaps);
  done_ = true;
}

void Swapper::saw(const std::string& serial) {
  std::lock_guard lock(mutex_);
  if (serial != wanted_ || ++handshakesWithWanted_ != options_.clients) return;
  seen_.notify_one();
}

bool Swapper::done() {
  std::lock_guard lock(mutex_);
  return done_;
}

}  // namespace postern::bench
