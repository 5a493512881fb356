#include "listeners/socket.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <string>

#include "base/error.h"
#include "tests/listeners/client.h"
#include "tests/listeners/stage.h"

namespace postern::listeners {
namespace {

using testing::Client;

int option(int descriptor, int level, int name) {
  int value = -1;
  socklen_t length = sizeof value;
  EXPECT_EQ(::getsockopt(descriptor, level, name, &value, &length), 0);
  return value;
}

linger lingerOf(int descriptor) {
  linger value{};
  socklen_t length = sizeof value;
  ::getsockopt(descriptor, SOL_SOCKET, SO_LINGER, &value, &length);
  return value;
}

// The server's end of a connection to `socket`.
struct Accepted {
  explicit Accepted(const ListeningSocket& socket) : client(socket.bound().port) {
    EXPECT_TRUE(testing::eventually([&] {
      descriptor = ::accept4(socket.descriptor(), nullptr, nullptr, SOCK_CLOEXEC);
      return descriptor >= 0;
    }));
  }
  ~Accepted() { ::close(descriptor); }
  Client client;
  int descriptor = -1;
};

std::string failureOf(const Address& address, const SocketOptions& options = {}) {
  try {
    ListeningSocket socket(address, options, false);
  } catch (const SystemError& error) {
    return error.what();
  }
  return "";
}

const Address loopback{"127.0.0.1", 0};

TEST(ListeningSocket, TellsThePortItTook) {
  ListeningSocket socket(loopback, {}, false);
  EXPECT_EQ(socket.wanted(), loopback);
  EXPECT_NE(socket.bound().port, 0);
  EXPECT_EQ(socket.bound().host, "127.0.0.1");
  Accepted connection(socket);
  EXPECT_GE(connection.descriptor, 0);
}

TEST(ListeningSocket, IsClosedOnExecAndWithItsObject) {
  int descriptor = -1;
  {
    ListeningSocket socket(loopback, {}, false);
    descriptor = socket.descriptor();
    EXPECT_NE(::fcntl(descriptor, F_GETFD) & FD_CLOEXEC, 0);
    EXPECT_NE(::fcntl(descriptor, F_GETFL) & O_NONBLOCK, 0);
  }
  EXPECT_EQ(::fcntl(descriptor, F_GETFD), -1);
}

TEST(ListeningSocket, HandsEveryOptionOnToWhatItAccepts) {
  SocketOptions options;
  options.nodelay = true;
  options.ttl = 33;
  options.linger = std::chrono::seconds(7);
  options.tos = 0x10;
  options.sendBufferSize = 20000;
  options.recvBufferSize = 30000;
  ListeningSocket socket(loopback, options, false);
  Accepted connection(socket);
  EXPECT_EQ(option(connection.descriptor, IPPROTO_TCP, TCP_NODELAY), 1);
  EXPECT_EQ(option(connection.descriptor, IPPROTO_IP, IP_TTL), 33);
  EXPECT_EQ(option(connection.descriptor, IPPROTO_IP, IP_TOS), 0x10);
  EXPECT_EQ(option(connection.descriptor, SOL_SOCKET, SO_SNDBUF), 40000);  // Linux doubles it
  EXPECT_EQ(option(connection.descriptor, SOL_SOCKET, SO_RCVBUF), 60000);
  EXPECT_EQ(lingerOf(connection.descriptor).l_onoff, 1);
  EXPECT_EQ(lingerOf(connection.descriptor).l_linger, 7);
}

TEST(ListeningSocket, LeavesTheSystemsDefaultsWhereNothingIsSet) {
  ListeningSocket socket(loopback, {}, false);
  Accepted connection(socket);
  EXPECT_EQ(option(connection.descriptor, IPPROTO_TCP, TCP_NODELAY), 1);
  EXPECT_EQ(option(connection.descriptor, IPPROTO_IP, IP_TTL), 64);
  EXPECT_EQ(lingerOf(connection.descriptor).l_onoff, 0);
  SocketOptions delayed;
  delayed.nodelay = false;
  ListeningSocket other(loopback, delayed, false);
  EXPECT_EQ(option(other.descriptor(), IPPROTO_TCP, TCP_NODELAY), 0);
}

TEST(ListeningSocket, ObeysReuseAddrAndReusePort) {
  SocketOptions options;
  EXPECT_EQ(option(ListeningSocket(loopback, options, false).descriptor(), SOL_SOCKET, SO_REUSEADDR), 1);
  options.reuseAddr = false;
  options.reusePort = true;
  ListeningSocket first(loopback, options, false);
  EXPECT_EQ(option(first.descriptor(), SOL_SOCKET, SO_REUSEADDR), 0);
  EXPECT_EQ(failureOf(first.bound(), options), "");
}

TEST(ListeningSocket, IsTunedWhileItListens) {
  ListeningSocket socket(loopback, {}, false);
  SocketOptions options;
  options.nodelay = false;
  options.ttl = 12;
  options.linger = std::chrono::seconds(0);
  options.backlog = 3;
  socket.tune(options);
  Accepted connection(socket);
  EXPECT_EQ(option(connection.descriptor, IPPROTO_TCP, TCP_NODELAY), 0);
  EXPECT_EQ(option(connection.descriptor, IPPROTO_IP, IP_TTL), 12);
  EXPECT_EQ(lingerOf(connection.descriptor).l_onoff, 1);
  tcp_info info{};
  socklen_t length = sizeof info;
  ASSERT_EQ(::getsockopt(socket.descriptor(), IPPROTO_TCP, TCP_INFO, &info, &length), 0);
  EXPECT_EQ(info.tcpi_sacked, 3u);  // of a listening socket: its backlog
  socket.tune({});
  EXPECT_EQ(option(socket.descriptor(), IPPROTO_IP, IP_TTL), 64);
}

TEST(ListeningSocket, ServesIpv4OnTheUnspecifiedIpv6AddressUnlessTold) {
  const Address any{"::", 0};
  std::unique_ptr<ListeningSocket> both;
  try {
    both = std::make_unique<ListeningSocket>(any, SocketOptions{}, false);
  } catch (const SystemError& error) {
    GTEST_SKIP() << "no IPv6 here: " << error.what();
  }
  Accepted connection(*both);  // dials 127.0.0.1
  EXPECT_GE(connection.descriptor, 0);
  // The port is one that nobody has on IPv4: the other way round, some other program's connection might.
  ListeningSocket four({"0.0.0.0", 0}, {}, false);
  ListeningSocket only({"::", four.bound().port}, {}, true);
  EXPECT_EQ(option(only.descriptor(), IPPROTO_IPV6, IPV6_V6ONLY), 1);
}

TEST(ListeningSocket, SetsBothHalvesOfADualSocket) {
  SocketOptions options;
  options.ttl = 33;
  options.tos = 0x10;
  std::unique_ptr<ListeningSocket> socket;
  try {
    socket = std::make_unique<ListeningSocket>(Address{"::", 0}, options, false);
  } catch (const SystemError& error) {
    GTEST_SKIP() << "no IPv6 here: " << error.what();
  }
  EXPECT_EQ(option(socket->descriptor(), IPPROTO_IPV6, IPV6_UNICAST_HOPS), 33);
  EXPECT_EQ(option(socket->descriptor(), IPPROTO_IPV6, IPV6_TCLASS), 0x10);
  Accepted connection(*socket);
  EXPECT_EQ(option(connection.descriptor, IPPROTO_IP, IP_TTL), 33);
}

TEST(ListeningSocket, SaysWhichAddressIsTakenAndHowToFindByWhom) {
  ListeningSocket socket(loopback, {}, false);
  const auto text = failureOf(socket.bound());
  EXPECT_NE(text.find(socket.bound().text()), std::string::npos) << text;
  EXPECT_NE(text.find("Address already in use"), std::string::npos) << text;
  EXPECT_NE(text.find("ss -ltnp"), std::string::npos) << text;
}

TEST(ListeningSocket, SaysThatTheAddressIsNotThisMachines) {
  const auto text = failureOf({"192.0.2.1", 0});
  EXPECT_NE(text.find("no network interface"), std::string::npos) << text;
  EXPECT_NE(failureOf({"mail.example.org", 0}), "");
}

TEST(ListeningSocket, SaysWhichOptionTheSystemRefused) {
  SocketOptions options;
  options.ttl = 1000;
  const auto text = failureOf(loopback, options);
  EXPECT_NE(text.find("socket.ttl"), std::string::npos) << text;
}

}  // namespace
}  // namespace postern::listeners
