#include "tests/bench/visitor.h"

#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <openssl/bn.h>
#include <openssl/err.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <stdexcept>
#include <utility>

namespace postern::bench {
namespace {

int visitorIndex() {
  static const int index = SSL_get_ex_new_index(0, nullptr, nullptr, nullptr, nullptr);
  return index;
}

// 127.1.0.1 to 127.1.3.250 in turn: one address has no ports for more than 28,000 connections.
in_addr nextSource() {
  static std::uint32_t turn = 0;
  const std::uint32_t number = turn++ % 1000;
  in_addr address{};
  address.s_addr = htonl(0x7f010000U | (number / 250) << 8 | (number % 250 + 1));
  return address;
}

std::string serialOf(SSL* ssl) {
  X509* const certificate = SSL_get0_peer_certificate(ssl);
  if (!certificate) return {};
  const tls::Owned<BIGNUM, BN_free> number(ASN1_INTEGER_to_BN(X509_get0_serialNumber(certificate), nullptr));
  const std::unique_ptr<char, void (*)(char*)> hex(BN_bn2hex(number.get()), [](char* p) { OPENSSL_free(p); });
  std::string text = hex ? hex.get() : "";
  for (char& c : text) {
    if (c >= 'A' && c <= 'F') c = static_cast<char>(c - 'A' + 'a');
  }
  return text;
}

}  // namespace

tls::SslCtxPtr clientContext(int version, const std::string& ca) {
  tls::SslCtxPtr context(SSL_CTX_new(TLS_client_method()));
  if (!context) tls::fail("cannot make a client's TLS context");
  SSL_CTX_set_min_proto_version(context.get(), version);
  SSL_CTX_set_max_proto_version(context.get(), version);
  SSL_CTX_set_session_cache_mode(context.get(), SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
  SSL_CTX_sess_set_new_cb(context.get(), Visitor::onNewSession);
  if (!ca.empty()) {
    if (SSL_CTX_load_verify_locations(context.get(), ca.c_str(), nullptr) != 1) tls::fail("cannot read " + ca);
    SSL_CTX_set_verify(context.get(), SSL_VERIFY_PEER, nullptr);
  }
  return context;
}

sockaddr_in localServer(int port) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<std::uint16_t>(port));
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  return address;
}

Visitor::Visitor(int epoll, const Target& target) : epoll_(epoll), target_(target) {}

Visitor::~Visitor() {
  leave();
}

int Visitor::onNewSession(SSL* ssl, SSL_SESSION* session) {
  auto* const visitor = static_cast<Visitor*>(SSL_get_ex_data(ssl, visitorIndex()));
  visitor->session_.reset(session);
  visitor->sessionSince_ = std::chrono::steady_clock::now();
  return 1;  // it is ours now
}

void Visitor::giveSession(SessionPtr session) {
  session_ = std::move(session);
  sessionSince_ = std::chrono::steady_clock::now();
}

void Visitor::leave() {
  if (ssl_) {
    SSL_set_shutdown(ssl_.get(), SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);  // or its session could not be resumed
    ssl_.reset();
  }
  if (fd_ >= 0) ::close(fd_);
  fd_ = -1;
}

Visitor::Progress Visitor::fail(const std::string& why) {
  visit_.ok = false;
  visit_.error = why;
  stage_ = Stage::Away;
  leave();
  return Progress::Over;
}

void Visitor::begin(bool resume, bool stay) {
  leave();
  visit_ = {};
  visit_.began = std::chrono::steady_clock::now();
  stay_ = stay;
  step_ = 0;
  said_ = false;
  heard_.clear();
  fd_ = ::socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd_ < 0) throw std::runtime_error(std::string("no socket: ") + std::strerror(errno));
  const int one = 1;
  ::setsockopt(fd_, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &one, sizeof one);
  sockaddr_in from{};
  from.sin_family = AF_INET;
  from.sin_addr = nextSource();
  if (::bind(fd_, reinterpret_cast<const sockaddr*>(&from), sizeof from) != 0)
    throw std::runtime_error(std::string("cannot bind a source address: ") + std::strerror(errno));
  ssl_.reset(SSL_new(target_.context));
  if (!ssl_ || SSL_set_fd(ssl_.get(), fd_) != 1 || SSL_set_ex_data(ssl_.get(), visitorIndex(), this) != 1)
    tls::fail("cannot make a client's TLS");
  visit_.offered = resume && session_ && SSL_set_session(ssl_.get(), session_.get()) == 1;
  visit_.sessionSince = sessionSince_;
  stage_ = Stage::Connecting;
  epoll_event event{};
  event.events = EPOLLIN | EPOLLOUT | EPOLLET | EPOLLRDHUP;
  event.data.ptr = this;
  // A connect() that fails at once shows as an error event too.
  ::connect(fd_, reinterpret_cast<const sockaddr*>(&target_.address), sizeof target_.address);
  if (::epoll_ctl(epoll_, EPOLL_CTL_ADD, fd_, &event) != 0)
    throw std::runtime_error(std::string("cannot watch a socket: ") + std::strerror(errno));
}

void Visitor::ask(const Exchange& exchange) {
  asked_ = exchange;
  said_ = false;
  heard_.clear();
  visit_.ok = false;
  stage_ = Stage::Asking;
}

bool Visitor::happened() {
  for (;;) {
    switch (advance()) {
      case Progress::More: continue;
      case Progress::Waits: return false;
      case Progress::Over: return true;
    }
  }
}

Visitor::Progress Visitor::advance() {
  switch (stage_) {
    case Stage::Connecting: return connected();
    case Stage::Before: return talk(target_.dialogue.before, Stage::Handshake);
    case Stage::Handshake: return shake();
    case Stage::Greeting: return talk(target_.dialogue.greeting, stay_ ? Stage::Staying : Stage::Leaving);
    case Stage::Leaving: return talk(target_.dialogue.leaving, Stage::Goodbye);
    case Stage::Goodbye: return hearGoodbye();
    case Stage::Asking: {
      const Progress progress = exchange(asked_);
      if (progress != Progress::More) return progress;
      stage_ = Stage::Staying;
      visit_.ok = true;
      return Progress::Over;
    }
    case Stage::Staying:  // a bye of the server, or a ticket that comes late
    case Stage::Away: return Progress::Waits;
  }
  return Progress::Waits;
}

Visitor::Progress Visitor::connected() {
  int error = 0;
  socklen_t size = sizeof error;
  ::getsockopt(fd_, SOL_SOCKET, SO_ERROR, &error, &size);
  if (error != 0) return fail(std::string("connect: ") + std::strerror(error));
  sockaddr_in peer{};
  socklen_t length = sizeof peer;
  if (::getpeername(fd_, reinterpret_cast<sockaddr*>(&peer), &length) != 0) return Progress::Waits;
  const int one = 1;
  ::setsockopt(fd_, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
  stage_ = Stage::Before;
  return Progress::More;
}

Visitor::Progress Visitor::talk(const std::vector<Exchange>& exchanges, Stage next) {
  while (step_ < exchanges.size()) {
    const Progress progress = exchange(exchanges[step_]);
    if (progress != Progress::More) return progress;
    if (stage_ == Stage::Greeting && step_ == 0) visit_.firstReply = std::chrono::steady_clock::now();
    ++step_;
  }
  step_ = 0;
  stage_ = next;
  if (next != Stage::Staying) return Progress::More;
  visit_.ok = true;
  return Progress::Over;
}

Visitor::Progress Visitor::exchange(const Exchange& one) {
  if (!said_) {
    said_ = true;
    if (!one.say.empty() && !say(one.say)) return fail("cannot write");
  }
  for (;;) {
    switch (judge(heard_, one.expect)) {
      case Answer::Expected:
        heard_.clear();
        said_ = false;
        return Progress::More;
      case Answer::Other: return fail("unexpected answer: " + heard_);
      case Answer::Incomplete: break;
    }
    const Progress progress = hear();
    if (progress != Progress::More) return progress;
  }
}

bool Visitor::say(std::string_view text) {
  if (stage_ == Stage::Before)
    return ::send(fd_, text.data(), text.size(), MSG_NOSIGNAL) == static_cast<ssize_t>(text.size());
  ERR_clear_error();
  return SSL_write(ssl_.get(), text.data(), static_cast<int>(text.size())) == static_cast<int>(text.size());
}

Visitor::Progress Visitor::hear() {
  std::array<char, 4096> bytes;
  if (stage_ == Stage::Before) {
    const auto got = ::recv(fd_, bytes.data(), bytes.size(), 0);
    if (got < 0 && errno == EAGAIN) return Progress::Waits;
    if (got <= 0) return fail("the server closed before the handshake");
    heard_.append(bytes.data(), static_cast<std::size_t>(got));
    return Progress::More;
  }
  ERR_clear_error();
  const int got = SSL_read(ssl_.get(), bytes.data(), static_cast<int>(bytes.size()));
  if (got > 0) {
    heard_.append(bytes.data(), static_cast<std::size_t>(got));
    return Progress::More;
  }
  if (SSL_get_error(ssl_.get(), got) == SSL_ERROR_WANT_READ) return Progress::Waits;
  return fail(sslError("reading", got));
}

Visitor::Progress Visitor::shake() {
  if (visit_.connected == Moment()) visit_.connected = std::chrono::steady_clock::now();
  ERR_clear_error();
  const int result = SSL_connect(ssl_.get());
  if (result != 1) {
    const int error = SSL_get_error(ssl_.get(), result);
    if (error == SSL_ERROR_WANT_READ || error == SSL_ERROR_WANT_WRITE) return Progress::Waits;
    return fail(sslError("handshake", result));
  }
  visit_.shook = std::chrono::steady_clock::now();
  visit_.resumed = SSL_session_reused(ssl_.get()) == 1;
  visit_.serial = serialOf(ssl_.get());
  stage_ = Stage::Greeting;
  return Progress::More;
}

Visitor::Progress Visitor::hearGoodbye() {
  char byte;
  ERR_clear_error();
  const int got = SSL_read(ssl_.get(), &byte, 1);
  if (got > 0) return fail("the server speaks after its goodbye");
  const int error = SSL_get_error(ssl_.get(), got);
  if (error == SSL_ERROR_WANT_READ) return Progress::Waits;
  // A peer that closes without close_notify is rude, but has closed.
  if (error == SSL_ERROR_ZERO_RETURN) SSL_shutdown(ssl_.get());
  ERR_clear_error();
  stage_ = Stage::Away;
  visit_.ok = true;
  leave();
  return Progress::Over;
}

bool Visitor::stillConnected() const {
  std::array<char, 4096> bytes;  // tickets that nobody has read
  for (;;) {
    const auto got = ::recv(fd_, bytes.data(), bytes.size(), MSG_DONTWAIT);
    if (got <= 0) return got < 0 && errno == EAGAIN;
  }
}

std::string Visitor::sslError(const std::string& doing, int result) const {
  const int error = SSL_get_error(ssl_.get(), result);
  if (error == SSL_ERROR_ZERO_RETURN) return doing + ": the server said goodbye";
  if (error == SSL_ERROR_SYSCALL) return doing + ": the connection broke";
  return doing + ": " + tls::drainErrors();
}

}  // namespace postern::bench
