#include "listeners/channel.h"

#include <openssl/err.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <utility>

#include "base/error.h"
#include "tls/handshake.h"
#include "tls/server_context.h"

namespace postern::listeners {

namespace {
constexpr std::size_t pieceSize = 16 * 1024;
constexpr int piecesATurn = 4;  // a peer that sends as fast as we read does not hold the loop
}  // namespace

Channel::Channel(event_base* base, int descriptor, Watcher& watcher)
    : base_(base),
      descriptor_(descriptor),
      watcher_(watcher),
      readable_(base, descriptor, EV_READ | EV_PERSIST, onReadable, this) {}

Channel::~Channel() {
  // Off the loop before the number may be another socket's.
  readable_.remove();
  writable_.reset();
  later_.reset();
  // close() with a linger time blocks even a non-blocking socket. The connection has lingered by itself.
  linger set{};
  socklen_t length = sizeof set;
  if (::getsockopt(descriptor_, SOL_SOCKET, SO_LINGER, &set, &length) == 0 && set.l_onoff != 0 && set.l_linger != 0) {
    set = {};
    ::setsockopt(descriptor_, SOL_SOCKET, SO_LINGER, &set, sizeof set);
  }
  ::close(descriptor_);
}

// The loop calls

void Channel::onReadable(evutil_socket_t, short, void* self) noexcept {
  static_cast<Channel*>(self)->proceed();
}

void Channel::onWritable(evutil_socket_t, short, void* self) noexcept {
  static_cast<Channel*>(self)->drain();
}

void Channel::onLater(evutil_socket_t, short, void* self) noexcept {
  auto& channel = *static_cast<Channel*>(self);
  if (channel.writeError_ != 0) return channel.breakDown(errnoText(channel.writeError_));
  if (channel.watching_ && channel.stage_ != Stage::Raw) channel.proceed();
}

// The socket can be read, or OpenSSL holds bytes that the kernel will not tell of again. One stage may lead to the next
// in the same turn.
void Channel::proceed() {
  inTurn_ = true;
  drained_ = false;
  if (stage_ == Stage::Raw) watcher_.readable();
  if (stage_ == Stage::Handshake) shakeHands();
  if (watching_ && (stage_ == Stage::Plain || stage_ == Stage::Tls)) readStream();
  endTurn();
}

void Channel::drain() {
  inTurn_ = true;
  blocked_ = false;
  flush(0);
  if (!blocked_) writable_->remove();
  if (writeError_ == 0 && unsent() <= lowWater) watcher_.sent();
  endTurn();
}

void Channel::endTurn() {
  inTurn_ = false;
  flush(0);
}

// A zero timer, and no event_active(): the other sockets have their turn before.
void Channel::later() {
  // Should the timer fail for lack of memory, the connection's own deadline ends it.
  if (!later_) later_ = std::make_unique<Event>(base_, -1, short{0}, onLater, this);
  later_->add(timeval{});
}

bool Channel::watch(bool on) {
  if (on == watching_) return true;
  if (on && !readable_.add()) return false;
  if (!on) readable_.remove();
  watching_ = on;
  return true;
}

void Channel::breakDown(const std::string& reason) {
  watch(false);
  flush(0);  // an alert may be among it
  writable_.reset();
  watcher_.broken(reason);
}

// The raw socket

bool Channel::awaitBytes() {
  return watch(true);
}

bool Channel::discardFromKernel() {
  std::array<char, pieceSize> scratch;
  for (int turn = 0; turn < 16; ++turn) {
    const auto got = ::recv(descriptor_, scratch.data(), scratch.size(), MSG_DONTWAIT);
    if (got == 0) return false;
    if (got < 0) return errno == EAGAIN || errno == EINTR;
    if (static_cast<std::size_t>(got) < scratch.size()) return true;
  }
  return true;
}

bool Channel::openPlain() {
  stage_ = Stage::Plain;
  return watch(true);
}

void Channel::leavePlain() {
  stage_ = Stage::Raw;
  input_.clear();
}

// OpenSSL's way to the wire

BIO_METHOD* Channel::wire() {
  static const tls::Owned<BIO_METHOD, BIO_meth_free> method = [] {
    tls::Owned<BIO_METHOD, BIO_meth_free> made(
        BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "a channel's wire"));
    if (!made || BIO_meth_set_read(made.get(), readWire) != 1 || BIO_meth_set_write(made.get(), writeWire) != 1 ||
        BIO_meth_set_ctrl(made.get(), controlWire) != 1) {
      made.reset();
    }
    return made;
  }();
  return method.get();
}

int Channel::readWire(BIO* bio, char* bytes, int size) noexcept {
  auto& channel = *static_cast<Channel*>(BIO_get_data(bio));
  BIO_clear_retry_flags(bio);
  if (!channel.drained_) {
    const auto got = ::recv(channel.descriptor_, bytes, static_cast<std::size_t>(size), MSG_DONTWAIT);
    channel.drained_ = got < size;
    if (got > 0) return static_cast<int>(got);
    if (got == 0) {
      channel.kernelEnd_ = true;
      return 0;
    }
    if (errno != EAGAIN && errno != EINTR) {
      channel.readError_ = errno;
      return -1;
    }
  }
  channel.starved_ = true;
  BIO_set_retry_read(bio);
  return -1;
}

int Channel::writeWire(BIO* bio, const char* bytes, int size) noexcept {
  BIO_clear_retry_flags(bio);
  static_cast<Channel*>(BIO_get_data(bio))->output_.append({bytes, static_cast<std::size_t>(size)});
  return size;
}

long Channel::controlWire(BIO*, int command, long, void*) noexcept {
  return command == BIO_CTRL_FLUSH ? 1 : 0;
}

bool Channel::openTls(tls::SslPtr ssl) {
  BIO_METHOD* const method = wire();
  BIO* const bio = method ? BIO_new(method) : nullptr;
  if (!bio) return false;
  BIO_set_data(bio, this);
  BIO_set_init(bio, 1);
  SSL_set_bio(ssl.get(), bio, bio);  // which owns it now
  // All that the kernel has, in one call. Nothing that came in the clear can be among it: leavePlain() has forgotten
  // what was read, and SSL_read() is what reads from here on.
  SSL_set_read_ahead(ssl.get(), 1);
  // Without AUTO_RETRY, SSL_read comes back after each message that is no data, so that a flood of KeyUpdates cannot
  // keep the loop inside it until tls/ has had enough of them.
  SSL_clear_mode(ssl.get(), SSL_MODE_AUTO_RETRY);
  ssl_ = std::move(ssl);
  stage_ = Stage::Handshake;
  return watch(true);
}

// Reading

void Channel::shakeHands() {
  Read outcome = Read::More;
  for (int turn = 0; outcome == Read::More; ++turn) {
    if (turn == piecesATurn) return later();
    ERR_clear_error();
    starved_ = false;
    const int result = SSL_do_handshake(ssl_.get());
    if (result == 1) {
      stage_ = Stage::Tls;
      return watcher_.encrypted();
    }
    outcome = whyNothing(result);
  }
  if (outcome != Read::Nothing) breakDown(reasonOfRead());
}

void Channel::readStream() {
  const Stage stage = stage_;
  const std::size_t before = inputSize();
  Read outcome = Read::More;
  for (int piece = 0; outcome == Read::More && piece < piecesATurn; ++piece) {
    outcome = stage == Stage::Tls ? readTls() : readPlain();
  }
  const std::string reason = outcome == Read::Broken ? reasonOfRead() : std::string();
  if (outcome == Read::End) watch(false);
  if (inputSize() > before) watcher_.received();
  if (stage_ != stage) return;
  switch (outcome) {
    case Read::Nothing: return;
    case Read::More:
      if (watching_ && stage == Stage::Tls) later();
      return;
    case Read::End: return watcher_.ended();
    case Read::Broken: return breakDown(reason);
  }
}

Channel::Read Channel::readPlain() {
  std::array<char, pieceSize> piece;
  const auto got = ::recv(descriptor_, piece.data(), piece.size(), MSG_DONTWAIT);
  if (got > 0) {
    const auto size = static_cast<std::size_t>(got);
    input_.append({piece.data(), size});
    return size == piece.size() ? Read::More : Read::Nothing;
  }
  if (got == 0) return Read::End;
  if (errno == EAGAIN || errno == EINTR) return Read::Nothing;
  readError_ = errno;
  return Read::Broken;
}

Channel::Read Channel::readTls() {
  std::array<char, pieceSize> piece;
  ERR_clear_error();
  starved_ = false;
  const int got = SSL_read(ssl_.get(), piece.data(), static_cast<int>(piece.size()));
  if (got <= 0) return whyNothing(got);
  tls::dataCame(ssl_.get());
  input_.append({piece.data(), static_cast<std::size_t>(got)});
  // Also where it is but a part of a record; then OpenSSL asks for the rest, and gets none.
  return SSL_has_pending(ssl_.get()) == 1 ? Read::More : Read::Nothing;
}

// Why OpenSSL gave nothing. WANT_WRITE cannot be: output_ takes everything.
Channel::Read Channel::whyNothing(int result) {
  switch (SSL_get_error(ssl_.get(), result)) {
    case SSL_ERROR_WANT_READ: return starved_ ? Read::Nothing : Read::More;  // More: a message that was no data
    case SSL_ERROR_ZERO_RETURN: return Read::End;
    default: break;
  }
  // Where a peer just closes, without close_notify, that is an end and not an error; but for a handshake.
  return kernelEnd_ && SSL_is_init_finished(ssl_.get()) == 1 ? Read::End : Read::Broken;
}

// And drains OpenSSL's errors.
std::string Channel::reasonOfRead() {
  std::string reason;
  while (const unsigned long error = ERR_get_error()) {
    if (!reason.empty() || kernelEnd_) continue;
    reason = tls::reasonOf(ssl_.get(), error);
  }
  if (readError_ != 0) return errnoText(readError_);
  if (!reason.empty()) return reason;
  return kernelEnd_ || stage_ == Stage::Handshake ? "the peer closed the connection" : "the connection broke";
}

void Channel::setReading(bool on) {
  if (on == watching_) return;
  watch(on);
  if (on && ssl_ && SSL_has_pending(ssl_.get()) == 1) later();
}

// Writing

void Channel::write(std::string_view bytes) {
  if (bytes.empty()) return;
  if (!ssl_) {
    output_.append(bytes);
  } else {
    ERR_clear_error();
    std::size_t written = 0;
    if (SSL_write_ex(ssl_.get(), bytes.data(), bytes.size(), &written) != 1) writeFailed(EPROTO);
    ERR_clear_error();
  }
  if (!inTurn_ || unsent() > lowWater) flush(0);
}

bool Channel::flush(int flags) {
  while (!blocked_ && writeError_ == 0 && !output_.empty()) {
    const auto bytes = output_.view();
    const auto sent = ::send(descriptor_, bytes.data(), bytes.size(), MSG_NOSIGNAL | MSG_DONTWAIT | flags);
    if (sent >= 0) {
      output_.drop(static_cast<std::size_t>(sent));
    } else if (errno == EAGAIN) {
      blocked_ = true;
      if (!writable_) writable_ = std::make_unique<Event>(base_, descriptor_, EV_WRITE | EV_PERSIST, onWritable, this);
      if (!writable_->add()) writeFailed(ENOMEM);
    } else if (errno != EINTR) {
      writeFailed(errno);
    }
  }
  return output_.empty() && writeError_ == 0;
}

// The watcher hears of it soon: it may be the one who is writing.
void Channel::writeFailed(int error) {
  writeError_ = error;
  later();
}

bool Channel::sayGoodbye() {
  if (ssl_ && (SSL_get_shutdown(ssl_.get()) & SSL_SENT_SHUTDOWN) == 0) {
    ERR_clear_error();
    SSL_shutdown(ssl_.get());
    ERR_clear_error();
  }
  if (!flush(MSG_MORE)) return false;  // the FIN that follows goes with it
  ::shutdown(descriptor_, SHUT_WR);
  stage_ = Stage::Raw;
  // Whoever has failed at the handshake may hold the socket a little longer, but not what it has cost.
  if (ssl_ && SSL_is_init_finished(ssl_.get()) == 0) ssl_.reset();
  return true;
}

}  // namespace postern::listeners
