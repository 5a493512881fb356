#include "tests/listeners/client.h"

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <openssl/err.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <utility>

namespace postern::listeners::testing {

namespace {
sockaddr_in addressOf(const std::string& host, std::uint16_t port) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  inet_pton(AF_INET, host.c_str(), &address.sin_addr);
  return address;
}

// Calls until it was not because the process stood still and went on that nothing came of it: the kernel ends a call on
// a socket that has a limit then.
template <class Call>
auto uninterrupted(const Call& call) {
  for (;;) {
    ERR_clear_error();
    errno = 0;
    const auto result = call();
    if (result > 0 || errno != EINTR) return result;
  }
}
}  // namespace

Client::Client(std::uint16_t port, const std::string& from, const std::function<void(int socket)>& bound)
    : descriptor_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
  if (!from.empty()) {
    const auto source = addressOf(from, 0);
    EXPECT_EQ(::bind(descriptor_, reinterpret_cast<const sockaddr*>(&source), sizeof source), 0);
  }
  if (bound) bound(descriptor_);
  const auto target = addressOf("127.0.0.1", port);
  EXPECT_EQ(::connect(descriptor_, reinterpret_cast<const sockaddr*>(&target), sizeof target), 0) << errno;
  const timeval limit{60, 0};
  ::setsockopt(descriptor_, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
  ::setsockopt(descriptor_, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
}

Client::~Client() {
  ssl_.reset();
  if (descriptor_ >= 0) ::close(descriptor_);
}

void Client::send(std::string_view bytes) {
  while (!bytes.empty()) {
    const auto sent = uninterrupted([&] {
      return ssl_ ? SSL_write(ssl_.get(), bytes.data(), static_cast<int>(bytes.size()))
                  : ::send(descriptor_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    });
    if (sent <= 0) return;  // what follows shows in what is read
    bytes.remove_prefix(static_cast<std::size_t>(sent));
  }
}

long Client::receiveRaw(char* bytes, std::size_t size) {
  return uninterrupted([&] { return ::recv(descriptor_, bytes, size, 0); });
}

long Client::receive(char* bytes, std::size_t size) {
  if (!ssl_) {
    const auto got = receiveRaw(bytes, size);
    endedWell_ = got == 0;
    return got;
  }
  const int got = uninterrupted([&] { return SSL_read(ssl_.get(), bytes, static_cast<int>(size)); });
  endedWell_ = got <= 0 && SSL_get_error(ssl_.get(), got) == SSL_ERROR_ZERO_RETURN;
  return got;
}

std::string Client::readTo(std::string_view end) {
  for (;;) {
    const auto found = buffer_.find(end);
    if (found != std::string::npos) {
      std::string result = buffer_.substr(0, found + end.size());
      buffer_.erase(0, result.size());
      return result;
    }
    char bytes[16384];
    const auto got = receive(bytes, sizeof bytes);
    if (got <= 0) return std::exchange(buffer_, {});
    buffer_.append(bytes, static_cast<std::size_t>(got));
  }
}

std::string Client::readAll() {
  for (;;) {
    char bytes[16384];
    const auto got = receive(bytes, sizeof bytes);
    if (got <= 0) return std::exchange(buffer_, {});
    buffer_.append(bytes, static_cast<std::size_t>(got));
  }
}

std::string Client::closeAndReadAll() {
  if (ssl_) SSL_shutdown(ssl_.get());
  ::shutdown(descriptor_, SHUT_WR);
  return readAll();
}

bool Client::staysSilent(int milliseconds) {
  pollfd wait{descriptor_, POLLIN, 0};
  return buffer_.empty() && ::poll(&wait, 1, milliseconds) == 0;
}

bool Client::handshake(const std::string& serverName, SSL_SESSION* session, const std::vector<unsigned char>& alpn) {
  context_.reset(SSL_CTX_new(TLS_client_method()));
  ssl_.reset(SSL_new(context_.get()));
  if (!serverName.empty()) {  // SSL_set_tlsext_host_name(), whose macro has an old-style cast
    std::string name = serverName;
    SSL_ctrl(ssl_.get(), SSL_CTRL_SET_TLSEXT_HOSTNAME, TLSEXT_NAMETYPE_host_name, name.data());
  }
  if (session) SSL_set_session(ssl_.get(), session);
  if (!alpn.empty()) SSL_set_alpn_protos(ssl_.get(), alpn.data(), static_cast<unsigned>(alpn.size()));
  SSL_set_fd(ssl_.get(), descriptor_);
  return uninterrupted([&] { return SSL_connect(ssl_.get()); }) == 1;
}

void Client::sayCloseNotify() {
  SSL_shutdown(ssl_.get());
}

void Client::reset() {
  const linger now{1, 0};
  ::setsockopt(descriptor_, SOL_SOCKET, SO_LINGER, &now, sizeof now);
  ::close(std::exchange(descriptor_, -1));
}

std::uint16_t Client::ownPort() const {
  sockaddr_in address{};
  socklen_t length = sizeof address;
  ::getsockname(descriptor_, reinterpret_cast<sockaddr*>(&address), &length);
  return ntohs(address.sin_port);
}

std::string someClientHello() {
  tls::SslCtxPtr context(SSL_CTX_new(TLS_client_method()));
  tls::SslPtr ssl(SSL_new(context.get()));
  BIO* const out = BIO_new(BIO_s_mem());
  SSL_set_bio(ssl.get(), BIO_new(BIO_s_mem()), out);
  SSL_connect(ssl.get());
  ERR_clear_error();
  char bytes[4096];
  const int size = BIO_read(out, bytes, sizeof bytes);
  return {bytes, static_cast<std::size_t>(size)};
}

}  // namespace postern::listeners::testing
