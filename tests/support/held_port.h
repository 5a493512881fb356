// HeldPort: a TCP port that is free on every address of this machine, and stays so while the object lives: the system
// gives it to nobody else, and whoever sets SO_REUSEADDR, as servers do, may bind it and listen there all the same.
//
// A port that was free a moment ago, or is free on one address, may be somebody else's by the time it is wanted.
#pragma once

#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstdint>
#include <stdexcept>

namespace postern::support {

class HeldPort {
 public:
  HeldPort() {
    sockaddr_in6 six{};
    six.sin6_family = AF_INET6;  // the unspecified address, of IPv4 too
    sockaddr_in four{};
    four.sin_family = AF_INET;
    if (!hold(AF_INET6, six, six.sin6_port) && !hold(AF_INET, four, four.sin_port)) {
      throw std::runtime_error("no port is free on all addresses");
    }
  }
  ~HeldPort() { ::close(socket_); }
  HeldPort(const HeldPort&) = delete;
  HeldPort& operator=(const HeldPort&) = delete;

  std::uint16_t number() const { return number_; }

 private:
  template <class Address>
  bool hold(int family, Address& address, const in_port_t& port) {
    socket_ = ::socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    const int on = 1, off = 0;
    socklen_t size = sizeof address;
    auto* const where = reinterpret_cast<sockaddr*>(&address);
    if (family == AF_INET6) ::setsockopt(socket_, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof off);
    if (::setsockopt(socket_, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) == 0 && ::bind(socket_, where, size) == 0 &&
        ::getsockname(socket_, where, &size) == 0) {
      number_ = ntohs(port);
      return true;
    }
    if (socket_ >= 0) ::close(socket_);
    return false;
  }

  int socket_ = -1;
  std::uint16_t number_ = 0;
};

}  // namespace postern::support
