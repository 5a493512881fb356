#include "listeners/channel.h"

#include <event2/buffer.h>
#include <event2/bufferevent_ssl.h>
#include <openssl/err.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <utility>

#include "base/error.h"

namespace postern::listeners {

namespace {
constexpr int streamOptions = BEV_OPT_CLOSE_ON_FREE | BEV_OPT_DEFER_CALLBACKS;
}

Channel::Channel(event_base* base, int descriptor, Watcher& watcher)
    : base_(base), descriptor_(descriptor), watcher_(watcher) {}

Channel::~Channel() {
  ready_.reset();
  // close() with a linger time blocks even a non-blocking socket. The connection has lingered by itself.
  linger set{};
  socklen_t length = sizeof set;
  if (::getsockopt(descriptor_, SOL_SOCKET, SO_LINGER, &set, &length) == 0 && set.l_onoff != 0 && set.l_linger != 0) {
    set = {};
    ::setsockopt(descriptor_, SOL_SOCKET, SO_LINGER, &set, sizeof set);
  }
  if (!stream_) {
    ::close(descriptor_);
    return;
  }
  // Off the loop now; libevent closes the descriptor when its last deferred callback has gone.
  bufferevent_disable(stream_.get(), EV_READ | EV_WRITE);
  bufferevent_setcb(stream_.get(), nullptr, nullptr, nullptr, nullptr);
}

void Channel::onReady(evutil_socket_t, short what, void* self) noexcept {
  auto& watcher = static_cast<Channel*>(self)->watcher_;
  if (what & EV_WRITE) {
    watcher.sent();
  } else {
    watcher.readable();
  }
}
void Channel::onRead(bufferevent*, void* self) noexcept {
  static_cast<Channel*>(self)->watcher_.received();
}
void Channel::onWrite(bufferevent*, void* self) noexcept {
  static_cast<Channel*>(self)->watcher_.sent();
}
void Channel::onEvent(bufferevent*, short what, void* self) noexcept {
  static_cast<Channel*>(self)->happened(what);
}

bool Channel::await(short what) {
  ready_.reset(event_new(base_, descriptor_, what, onReady, this));
  return ready_ && event_add(ready_.get(), nullptr) == 0;
}

bool Channel::awaitBytes() {
  return await(EV_READ);
}

bool Channel::discardFromKernel() {
  std::array<char, 16384> scratch;
  for (int turn = 0; turn < 16; ++turn) {  // a peer that sends as fast as we read does not hold the loop
    const auto got = ::recv(descriptor_, scratch.data(), scratch.size(), MSG_DONTWAIT);
    if (got == 0) return false;
    if (got < 0) return errno == EAGAIN || errno == EINTR;
  }
  return true;
}

bool Channel::adopt(BufferEventPtr stream) {
  if (!stream) return false;
  ready_.reset();
  stream_ = std::move(stream);
  bufferevent_setcb(stream_.get(), onRead, onWrite, onEvent, this);
  bufferevent_setwatermark(stream_.get(), EV_WRITE, lowWater, 0);
  reading_ = true;
  return bufferevent_enable(stream_.get(), EV_READ | EV_WRITE) == 0;
}

bool Channel::openPlain() {
  return adopt(BufferEventPtr(bufferevent_socket_new(base_, descriptor_, streamOptions)));
}

void Channel::leavePlain() {
  bufferevent_disable(stream_.get(), EV_READ | EV_WRITE);
  bufferevent_setcb(stream_.get(), nullptr, nullptr, nullptr, nullptr);
  bufferevent_setfd(stream_.get(), -1);  // the descriptor stays ours
  stream_.reset();
}

bool Channel::openTls(tls::SslPtr ssl) {
  SSL* const borrowed = ssl.get();
  // libevent waits for the kernel, and does not see records that OpenSSL has read ahead. Without AUTO_RETRY, SSL_read
  // comes back after each message that is no data, so that a flood of KeyUpdates cannot keep the loop inside it until
  // tls/ has had enough of them.
  SSL_set_read_ahead(borrowed, 0);
  SSL_clear_mode(borrowed, SSL_MODE_AUTO_RETRY);
  auto* stream = bufferevent_openssl_socket_new(base_, descriptor_, borrowed, BUFFEREVENT_SSL_ACCEPTING, streamOptions);
  // On failure libevent 2.1.12 has freed the SSL already where the option says that it owns it.
  [[maybe_unused]] SSL* const given = ssl.release();
  if (!stream) return false;
  ssl_ = borrowed;
  bufferevent_openssl_set_allow_dirty_shutdown(stream, 1);  // a peer that just closes is an end, not an error
  return adopt(BufferEventPtr(stream));
}

std::string Channel::reasonOf(short what) {
  std::string reason;
  if (ssl_) {
    while (const unsigned long error = bufferevent_get_openssl_error(stream_.get())) {
      if (!reason.empty()) continue;
      const char* const text = ERR_reason_error_string(error);
      reason = text ? text : "TLS error " + std::to_string(error);
    }
  }
  if (!reason.empty()) return reason;
  if (what & BEV_EVENT_EOF) return "the peer closed the connection";
  const int error = EVUTIL_SOCKET_ERROR();
  return error != 0 ? errnoText(error) : "the connection broke";
}

void Channel::happened(short what) {
  if (what & BEV_EVENT_CONNECTED) return watcher_.encrypted();
  if (what & BEV_EVENT_ERROR) return watcher_.broken(reasonOf(what));
  if (what & BEV_EVENT_EOF) {
    // With dirty shutdowns allowed, libevent calls a failed write an end too, and would try it for ever.
    if (what & BEV_EVENT_WRITING) return watcher_.broken(reasonOf(what));
    if (ssl_ && !SSL_is_init_finished(ssl_)) return watcher_.broken(reasonOf(what));
    reading_ = false;
    bufferevent_disable(stream_.get(), EV_READ);
    bufferevent_enable(stream_.get(), EV_WRITE);  // libevent's TLS stops both directions; the other one may go on
    watcher_.ended();
  }
}

std::string_view Channel::input(std::size_t atMost) {
  evbuffer* const buffer = bufferevent_get_input(stream_.get());
  const std::size_t size = std::min(evbuffer_get_length(buffer), atMost);
  if (size == 0) return {};
  const unsigned char* const bytes = evbuffer_pullup(buffer, static_cast<ev_ssize_t>(size));
  if (!bytes) return {};
  return {reinterpret_cast<const char*>(bytes), size};
}

std::size_t Channel::inputSize() const {
  return evbuffer_get_length(bufferevent_get_input(stream_.get()));
}

void Channel::consume(std::size_t bytes) {
  evbuffer_drain(bufferevent_get_input(stream_.get()), bytes);
}

void Channel::setReading(bool on) {
  if (on == reading_) return;
  reading_ = on;
  if (on) {
    bufferevent_enable(stream_.get(), EV_READ);
  } else {
    bufferevent_disable(stream_.get(), EV_READ);
  }
}

void Channel::write(std::string_view bytes) {
  // In the clear straight to the kernel: libevent would wait until the loop says that the socket can be written. What
  // the kernel does not take, and errors, are libevent's.
  if (!ssl_ && !bytes.empty() && unsent() == 0) {
    const auto sent = ::send(descriptor_, bytes.data(), bytes.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
    if (sent > 0) bytes.remove_prefix(static_cast<std::size_t>(sent));
  }
  if (!bytes.empty()) bufferevent_write(stream_.get(), bytes.data(), bytes.size());
}

std::size_t Channel::unsent() const {
  return evbuffer_get_length(bufferevent_get_output(stream_.get()));
}

bool Channel::sayGoodbye() {
  if (ssl_) {
    ERR_clear_error();
    const int result = SSL_shutdown(ssl_);
    const bool later = result < 0 && SSL_get_error(ssl_, result) == SSL_ERROR_WANT_WRITE;
    ERR_clear_error();
    if (later && await(EV_WRITE)) return false;
  }
  ::shutdown(descriptor_, SHUT_WR);
  return true;
}

}  // namespace postern::listeners
