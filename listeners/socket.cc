#include "listeners/socket.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <string>
#include <utility>

#include "base/error.h"
#include "listeners/endpoint.h"

namespace postern::listeners {

namespace {

std::string remedy(int error) {
  switch (error) {
    case EADDRINUSE: return " (another program listens there; `ss -ltnp` tells which)";
    case EACCES: return " (ports below 1024 need root or the capability CAP_NET_BIND_SERVICE)";
    case EADDRNOTAVAIL: return " (no network interface of this machine has that address)";
    case EAFNOSUPPORT: return " (this machine has no such address family; where IPv6 is switched off, bind 0.0.0.0)";
    default: return "";
  }
}

[[noreturn]] void refuse(const std::string& doing, const Address& address, int error) {
  throw SystemError(doing + " " + address.text() + remedy(error), error);
}

template <class Value>
bool set(int descriptor, int level, int name, const Value& value) {
  return ::setsockopt(descriptor, level, name, &value, sizeof value) == 0;
}

sockaddr_storage socketAddress(const Address& address, socklen_t& length) {
  sockaddr_storage result{};
  sockaddr_in6 v6{};
  v6.sin6_family = AF_INET6;
  v6.sin6_port = htons(address.port);
  sockaddr_in v4{};
  v4.sin_family = AF_INET;
  v4.sin_port = htons(address.port);
  if (inet_pton(AF_INET6, address.host.c_str(), &v6.sin6_addr) == 1) {
    std::memcpy(&result, &v6, length = sizeof v6);
  } else if (inet_pton(AF_INET, address.host.c_str(), &v4.sin_addr) == 1) {
    std::memcpy(&result, &v4, length = sizeof v4);
  } else {
    refuse("cannot listen on", address, EINVAL);
  }
  return result;
}

// Owns a descriptor while the constructor may still throw.
struct Guard {
  int descriptor;
  ~Guard() {
    if (descriptor >= 0) ::close(descriptor);
  }
};

// What an accepted socket inherits from the one it was accepted on: all of these, on Linux.
void setOptions(int descriptor, const Address& address, const SocketOptions& options) {
  const auto need = [&](bool done, const char* name) {
    if (!done) refuse(std::string("cannot set socket.") + name + " on", address, errno);
  };
  const bool v6 = address.isIpv6();
  need(set(descriptor, IPPROTO_TCP, TCP_NODELAY, int{options.nodelay}), "nodelay");
  // Of a socket that serves both families the IPv4 half is set too. -1 is the system's default again.
  const int hops = options.ttl.value_or(-1), tos = options.tos.value_or(0);
  if (v6) {
    need(set(descriptor, IPPROTO_IPV6, IPV6_UNICAST_HOPS, hops), "ttl");
    need(set(descriptor, IPPROTO_IPV6, IPV6_TCLASS, tos), "tos");
  }
  need(set(descriptor, IPPROTO_IP, IP_TTL, hops) || v6, "ttl");
  need(set(descriptor, IPPROTO_IP, IP_TOS, tos) || v6, "tos");
  linger close{};
  close.l_onoff = options.linger.has_value();
  close.l_linger = static_cast<int>(options.linger.value_or(std::chrono::seconds(0)).count());
  need(set(descriptor, SOL_SOCKET, SO_LINGER, close), "linger");
  if (options.sendBufferSize) {
    need(set(descriptor, SOL_SOCKET, SO_SNDBUF, *options.sendBufferSize), "send-buffer-size");
  }
  if (options.recvBufferSize) {
    need(set(descriptor, SOL_SOCKET, SO_RCVBUF, *options.recvBufferSize), "recv-buffer-size");
  }
}

}  // namespace

ListeningSocket::ListeningSocket(const Address& address, const SocketOptions& options, bool v6Only)
    : wanted_(address), bound_(address), v6Only_(v6Only), descriptor_(-1) {
  socklen_t length = 0;
  const auto target = socketAddress(address, length);
  Guard guard{::socket(target.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0)};
  const int fd = guard.descriptor;
  if (fd < 0) refuse("cannot open a socket for", address, errno);
  if (!set(fd, SOL_SOCKET, SO_REUSEADDR, int{options.reuseAddr}))
    refuse("cannot set socket.reuse-addr on", address, errno);
  if (!set(fd, SOL_SOCKET, SO_REUSEPORT, int{options.reusePort}))
    refuse("cannot set socket.reuse-port on", address, errno);
  if (target.ss_family == AF_INET6 && !set(fd, IPPROTO_IPV6, IPV6_V6ONLY, int{v6Only})) {
    refuse("cannot set IPV6_V6ONLY on", address, errno);
  }
  setOptions(fd, address, options);  // before listen(): the receive buffer decides the window that is offered
  if (::bind(fd, reinterpret_cast<const sockaddr*>(&target), length) != 0) refuse("cannot bind", address, errno);
  if (::listen(fd, options.backlog) != 0) refuse("cannot listen on", address, errno);
  bound_.port = localEndpoint(fd).port;
  descriptor_ = std::exchange(guard.descriptor, -1);
}

ListeningSocket::~ListeningSocket() {
  ::close(descriptor_);
}

void ListeningSocket::tune(const SocketOptions& options) {
  setOptions(descriptor_, bound_, options);
  if (::listen(descriptor_, options.backlog) != 0) refuse("cannot set socket.backlog on", bound_, errno);
}

}  // namespace postern::listeners
