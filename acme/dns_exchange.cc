#include "acme/dns_exchange.h"

#include <arpa/inet.h>
#include <netdb.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <memory>

#include "acme/error.h"
#include "base/error.h"

namespace postern::acme {
namespace {

using std::chrono::milliseconds;
using Steady = std::chrono::steady_clock;

constexpr milliseconds slice(200);  // how soon a stop request is noticed
constexpr std::array<milliseconds, 2> udpTimeouts{milliseconds(1500), milliseconds(3000)};
constexpr milliseconds tcpTimeout(5000);

struct Descriptor {
  explicit Descriptor(int n) : number(n) {}
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  ~Descriptor() {
    if (number >= 0) ::close(number);
  }
  const int number;
};

struct FreeAddresses {
  void operator()(addrinfo* all) const noexcept { ::freeaddrinfo(all); }
};

bool isNoRoute(int error) {
  return error == ENETUNREACH || error == EHOSTUNREACH || error == EAFNOSUPPORT || error == EADDRNOTAVAIL ||
         error == EACCES || error == EPERM;
}

class Exchange {
 public:
  Exchange(const DnsEndpoint& server, DnsOver over, Duration timeout, std::stop_token stop)
      : stop_(std::move(stop)), until_(Steady::now() + timeout) {
    addrinfo hints{};
    hints.ai_flags = AI_NUMERICHOST | AI_NUMERICSERV;
    hints.ai_socktype = over == DnsOver::Udp ? SOCK_DGRAM : SOCK_STREAM;
    addrinfo* found = nullptr;
    if (::getaddrinfo(server.address.c_str(), std::to_string(server.port).c_str(), &hints, &found) != 0) {
      throw NoDnsAnswer("not an IP address", false);
    }
    const std::unique_ptr<addrinfo, FreeAddresses> address(found);
    socket_ = std::make_unique<Descriptor>(
        ::socket(address->ai_family, address->ai_socktype | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    if (socket_->number < 0) failed(errno);
    if (::connect(socket_->number, address->ai_addr, address->ai_addrlen) == 0) return;
    if (errno != EINPROGRESS) failed(errno);
    await(POLLOUT);
    int error = 0;
    socklen_t size = sizeof error;
    ::getsockopt(socket_->number, SOL_SOCKET, SO_ERROR, &error, &size);
    if (error != 0) failed(error);
  }

  void send(std::string_view bytes) {
    while (!bytes.empty()) {
      const ssize_t done = ::send(socket_->number, bytes.data(), bytes.size(), MSG_NOSIGNAL);
      if (done < 0 && (errno == EAGAIN || errno == EINTR)) {
        await(POLLOUT);
      } else if (done < 0) {
        failed(errno);
      } else {
        sent_ = true;
        bytes.remove_prefix(static_cast<std::size_t>(done));
      }
    }
  }

  // A datagram, or what a stream has.
  std::string receive(std::size_t atMost) {
    std::string bytes(atMost, '\0');
    for (;;) {
      const ssize_t done = ::recv(socket_->number, bytes.data(), bytes.size(), 0);
      if (done >= 0) {
        bytes.resize(static_cast<std::size_t>(done));
        return bytes;
      }
      if (errno != EAGAIN && errno != EINTR) failed(errno);
      await(POLLIN);
    }
  }

  std::string receiveExactly(std::size_t size) {
    std::string all;
    while (all.size() < size) {
      const std::string more = receive(size - all.size());
      if (more.empty()) throw NoDnsAnswer("the connection was closed before the answer", sent_);
      all += more;
    }
    return all;
  }

 private:
  [[noreturn]] void failed(int error) const { throw NoDnsAnswer(errnoText(error), sent_, isNoRoute(error)); }

  void await(short events) {
    for (;;) {
      if (stop_.stop_requested()) throw Stopped();
      const auto left = std::chrono::duration_cast<milliseconds>(until_ - Steady::now());
      if (left <= milliseconds(0)) throw NoDnsAnswer("no answer in time", sent_);
      pollfd waiting{socket_->number, events, 0};
      if (::poll(&waiting, 1, static_cast<int>(std::min(left + milliseconds(1), slice).count())) > 0) return;
    }
  }

  std::stop_token stop_;
  Steady::time_point until_;
  std::unique_ptr<Descriptor> socket_;
  bool sent_ = false;
};

}  // namespace

std::string DnsEndpoint::text() const {
  if (port == 53) return address;
  return (address.find(':') == std::string::npos ? address : "[" + address + "]") + ":" + std::to_string(port);
}

std::string dnsExchange(const DnsEndpoint& server, const std::string& message, DnsOver over, Duration timeout,
                        std::stop_token stop) {
  Exchange exchange(server, over, timeout, std::move(stop));
  const std::string id = message.substr(0, 2);
  if (over == DnsOver::Udp) {
    exchange.send(message);
    for (;;) {
      std::string answer = exchange.receive(65535);
      if (answer.substr(0, 2) == id) return answer;  // else a late answer, or somebody guessing
    }
  }
  const auto size = message.size();
  exchange.send(std::string{static_cast<char>(size >> 8 & 0xff), static_cast<char>(size & 0xff)} + message);
  const std::string length = exchange.receiveExactly(2);
  const auto high = static_cast<unsigned char>(length[0]), low = static_cast<unsigned char>(length[1]);
  std::string answer = exchange.receiveExactly(static_cast<std::size_t>(high) << 8 | low);
  if (answer.substr(0, 2) != id) throw NoDnsAnswer("the answer is to another message", true);
  return answer;
}

DnsMessage askDns(const DnsEndpoint& server, const std::string& name, DnsType type, bool recursionDesired,
                  std::stop_token stop) {
  const auto ask = [&](DnsOver over, Duration timeout) {
    const std::string query = encodeQuery(randomDnsId(), name, type, recursionDesired);
    const auto answer = decodeDns(dnsExchange(server, query, over, timeout, stop));
    if (!answer || !answer->response) throw NoDnsAnswer("what came is no DNS answer", true);
    const bool same = answer->questionName == name && answer->questionType == static_cast<std::uint16_t>(type);
    // Servers leave the question out of some refusals.
    if (!same && (answer->rcode == DnsRcode::NoError || answer->rcode == DnsRcode::NxDomain)) {
      throw NoDnsAnswer("the answer is to another question", true);
    }
    return *answer;
  };
  for (std::size_t attempt = 0;; ++attempt) {
    try {
      DnsMessage answer = ask(DnsOver::Udp, udpTimeouts[attempt]);
      return answer.truncated ? ask(DnsOver::Tcp, tcpTimeout) : answer;
    } catch (const NoDnsAnswer& error) {
      if (error.noRoute || attempt + 1 == udpTimeouts.size()) throw;
    }
  }
}

}  // namespace postern::acme
