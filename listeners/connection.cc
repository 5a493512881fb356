// The way of a connection up to its session: PROXY header, limits, TLS handshake; and its clock.
#include "listeners/connection.h"

#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <utility>
#include <variant>

#include "listeners/proxy_header.h"
#include "listeners/refusal.h"
#include "tls/client_auth.h"

namespace postern::listeners {

namespace {
constexpr std::chrono::seconds proxyHeaderTime{30};
}

std::string_view nameOf(Ended why) {
  switch (why) {
    case Ended::Finished: return "finished";
    case Ended::PeerLeft: return "peer-left";
    case Ended::TimedOut: return "timed-out";
    case Ended::BadProxyHeader: return "bad-proxy-header";
    case Ended::Refused: return "refused";
    case Ended::HandshakeFailed: return "handshake-failed";
    case Ended::ShutDown: return "shut-down";
    case Ended::Broken: return "broken";
    case Ended::Failed: return "failed";
  }
  return "";
}

Connection::Connection(std::shared_ptr<Household> household, std::shared_ptr<const Terms> terms, std::size_t loop,
                       int descriptor, const Endpoint& remote)
    : household_(std::move(household)),
      terms_(std::move(terms)),
      loop_(loop),
      remote_(remote),
      ours_(household_->environment.isOurs(remote)),
      timer_(eventLoop().base(), -1, 0, onTimer, this) {
  channel_.emplace(eventLoop().base(), descriptor, static_cast<Channel::Watcher&>(*this));
  household_->arrived();
  handshakeDeadline_ = Clock::now() + terms_->settings.tlsTimeout;
}

Connection::~Connection() {
  channel_.reset();
  session_.reset();
  auto& shared = household_->environment.limits;
  leaveHandshake();
  if (counted_) {
    shared.leave(remote_.address);
    household_->limits.leave(remote_.address);
  }
  shared.leave();
  household_->limits.leave();
  // Whoever waits for the household to be empty may free what these refer to.
  pendingWork_ = nullptr;
  terms_.reset();
  household_->departed();
}

void Connection::start() noexcept {
  const auto& trusted = terms_->settings.trustedNetworks;
  const bool viaProxy =
      std::any_of(trusted.begin(), trusted.end(), [this](const Network& n) { return n.contains(remote_.address); });
  if (!viaProxy) return admit();
  deadline_ = std::min(handshakeDeadline_, Clock::now() + proxyHeaderTime);
  if (!channel_->awaitBytes()) return end(Ended::Failed);
  armTimer();
}

// Peeks, and takes what belongs to the header: what follows it is the handshake's or the session's.
void Connection::readProxyHeader() {
  std::array<char, maxProxyHeader> bytes;
  const int fd = channel_->descriptor();
  const auto peeked = ::recv(fd, bytes.data(), bytes.size(), MSG_PEEK | MSG_DONTWAIT);
  if (peeked < 0 && (errno == EAGAIN || errno == EINTR)) return;  // readable() comes again
  const auto refuseHeader = [this](LogLevel level, std::string_view why, Ended ended) {
    if (ended != Ended::PeerLeft) ++household_->refused;
    logStranger(level, "proxy.header.refused", why);
    end(ended);
  };
  if (peeked <= 0) {
    // Load balancers probe by connecting and closing.
    return refuseHeader(LogLevel::Debug, "the peer closed the connection", Ended::PeerLeft);
  }
  const std::size_t before = proxyHeader_.size();
  proxyHeader_.append(bytes.data(), static_cast<std::size_t>(peeked));
  const auto result = parseProxyHeader(proxyHeader_);
  if (const auto* bad = std::get_if<ProxyBad>(&result)) {
    return refuseHeader(LogLevel::Warn, bad->why, Ended::BadProxyHeader);
  }
  const auto* header = std::get_if<ProxyHeader>(&result);
  const std::size_t ours = (header ? header->consumed : proxyHeader_.size()) - before;
  if (::recv(fd, bytes.data(), ours, MSG_DONTWAIT) != static_cast<ssize_t>(ours)) return end(Ended::Broken);
  if (!header) return;
  proxyHeader_ = {};
  if (header->source) {
    remote_ = *header->source;
    local_ = header->destination;
  }
  admit();
}

// The client's true address is known: its places, then TLS or the session.
void Connection::admit() {
  auto& shared = household_->environment.limits;
  if (!shared.enter(remote_.address, ours_)) return refuse("max-connections-per-ip");
  if (!household_->limits.enter(remote_.address, ours_)) {
    shared.leave(remote_.address);
    return refuse("max-connections-per-ip of the listener");
  }
  counted_ = true;
  ++household_->accepted;
  if (terms_->implicitTls()) {
    deadline_ = handshakeDeadline_;
    return awaitHandshake();
  }
  if (!channel_->openPlain()) return end(Ended::Failed);
  beginSession(nullptr);
}

void Connection::refuse(std::string_view limit) {
  ++household_->refused;
  sayTooMany(channel_->descriptor(), *terms_);
  logStranger(LogLevel::Info, "connection.refused", limit);
  end(Ended::Refused);
}

void Connection::awaitHandshake() {
  phase_ = Phase::FirstByte;
  if (!channel_->awaitBytes()) return end(Ended::Failed);
  armTimer();
}

void Connection::beginHandshake() {
  char first;
  const auto got = ::recv(channel_->descriptor(), &first, 1, MSG_PEEK | MSG_DONTWAIT);
  if (got < 0 && (errno == EAGAIN || errno == EINTR)) return;  // readable() comes again
  if (got <= 0) return handshakeFailed("the peer closed the connection", true);
  if (!handshaking_ && !enterHandshake()) {
    // What the client has sent is taken from the kernel before the end, or a reset would be what it sees.
    phase_ = Phase::Farewell;
    endsAs_ = Ended::Refused;
    return linger();
  }
  // The context of now, not that of when the peer came: between the two may lie a reload, and before STARTTLS hours.
  const auto now = household_->terms.load();
  const auto& context = now && now->context ? now->context : terms_->context;
  if (!context) return handshakeFailed("this listener has no certificate to serve", false);
  auto ssl = context->newConnection();
  phase_ = Phase::Handshake;
  if (!ssl || !channel_->openTls(std::move(ssl))) return handshakeFailed("out of memory", false);
}

bool Connection::enterHandshake() {
  auto &shared = household_->environment.limits, &own = household_->limits;
  std::string_view limit = shared.enterHandshake(remote_.address, ours_);
  bool ofListener = false;
  if (limit.empty()) {
    limit = own.enterHandshake(remote_.address, ours_);
    ofListener = !limit.empty();
    if (ofListener) shared.leaveHandshake(remote_.address);
  }
  if (limit.empty()) {
    handshaking_ = true;
    // A CA that validates dials several times at once, and others learn from a challenge-only listener in one message
    // that nobody is there.
    const bool counts = terms_->settings.protocol != Protocol::ChallengeOnly && !ours_;
    if (!counts || (terms_->settings.handshakeRate ? own : shared).takeHandshake(remote_.address)) return true;
    leaveHandshake();
    limit = "handshake-rate-per-ip";
  }
  ++household_->refused;
  ++household_->handshakesRefused;
  logStranger(LogLevel::Info, "tls.handshake.refused", std::string(limit) + (ofListener ? " of the listener" : ""));
  return false;
}

void Connection::leaveHandshake() {
  if (!std::exchange(handshaking_, false)) return;
  household_->environment.limits.leaveHandshake(remote_.address);
  household_->limits.leaveHandshake(remote_.address);
}

void Connection::handshakeFailed(const std::string& reason, bool silent) {
  if (!silent) ++household_->handshakesFailed;
  logStranger(silent ? LogLevel::Debug : LogLevel::Info, "tls.handshake.failed", reason);
  endsAs_ = silent ? Ended::PeerLeft : Ended::HandshakeFailed;
  if (silent || !channel_->ssl() || channel_->unsent() != 0) return end(endsAs_);
  // An alert is on its way. What the client goes on sending is taken from the kernel before the end, or a reset would
  // overtake the alert, and "connection reset" be all that it learns.
  leaveHandshake();
  phase_ = Phase::Farewell;
  linger();
}

void Connection::logStranger(LogLevel level, std::string_view event, std::string_view reason) {
  if (!log().wants(level)) return;
  const auto leftOut = household_->lines.take();
  if (!leftOut) return;
  Fields fields{{"listener", terms_->settings.id}, {"peer", remote_.text()}, {"reason", reason.substr(0, 200)}};
  if (*leftOut != 0) fields.emplace_back("left_out", *leftOut);
  log().write(level, event, fields);
}

void Connection::logClient(const tls::ClientCertificate& client) {
  const LogLevel level = client.verified ? LogLevel::Info : LogLevel::Debug;
  if (!log().wants(level) || !household_->lines.take()) return;
  Fields fields{{"listener", terms_->settings.id},
                {"peer", remote_.text()},
                {"subject", std::string_view(client.subject).substr(0, 200)},
                {"issuer", std::string_view(client.issuer).substr(0, 200)},
                {"fingerprint", client.fingerprint},
                {"verified", client.verified}};
  if (!client.verified) fields.emplace_back("reason", client.whyNot);
  log().write(level, "tls.client_certificate", fields);
}

void Connection::encrypted() noexcept {
  if (phase_ != Phase::Handshake) return;
  leaveHandshake();
  ++household_->handshakesCompleted;
  SSL* const ssl = channel_->ssl();
  const bool resumed = SSL_session_reused(ssl) == 1;
  if (resumed) ++household_->handshakesResumed;
  if (tls::isChallenge(ssl)) {  // RFC 8737 section 3: nothing is said on such a connection
    if (log().wants(LogLevel::Info)) {
      log().info("tls.challenge.answered",
                 {{"listener", terms_->settings.id}, {"peer", remote_.text()}, {"name", tls::serverName(ssl)}});
    }
    return finish(Ended::Finished);
  }
  if (terms_->settings.protocol == Protocol::ChallengeOnly) return finish(Ended::Finished);
  const TlsFacts facts{SSL_get_version(ssl), SSL_get_cipher_name(ssl), std::string(tls::serverName(ssl)), resumed,
                       tls::clientCertificate(ssl)};
  if (facts.client) logClient(*facts.client);
  if (session_) {
    upgraded(facts);
  } else {
    beginSession(&facts);
  }
}

void Connection::readable() noexcept {
  switch (phase_) {
    case Phase::ProxyHeader: return readProxyHeader();
    case Phase::FirstByte: return beginHandshake();
    case Phase::Lingering:
      if (!channel_->discardFromKernel()) end(endsAs_);
      return;
    case Phase::Handshake:
    case Phase::Session:
    case Phase::UpgradeReply:
    case Phase::Farewell:
    case Phase::Over: return;
  }
}

void Connection::broken(const std::string& reason) noexcept {
  if (phase_ == Phase::Handshake) return handshakeFailed(reason, false);
  if (phase_ == Phase::UpgradeReply) return handshakeFailed(reason, true);
  end(Ended::Broken);
}

void Connection::onTimer(evutil_socket_t, short, void* self) noexcept {
  static_cast<Connection*>(self)->timePassed();
}

void Connection::setDeadline(std::chrono::milliseconds time) {
  deadline_ = Clock::now() + time;
  armTimer();
}

std::optional<Connection::Clock::time_point> Connection::due() const {
  if (phase_ == Phase::Over) return std::nullopt;
  if (phase_ != Phase::Session) return deadline_;
  if (working_) return std::nullopt;  // that it takes long is our doing; the clock is looked at when it is done
  const auto limit =
      loginSince_ ? *loginSince_ + terms_->settings.loginTimeout : lastActivity_ + terms_->settings.idleTimeout;
  return wakeAt_ && !pendingWork_ ? std::min(limit, *wakeAt_) : limit;
}

// A timer that is set too early costs nothing: it looks again and is set anew. So bytes that come do not touch it.
void Connection::armTimer() {
  const auto when = due();
  if (!when || (armedFor_ && *armedFor_ <= *when)) return;
  const auto wait = toTimeval(*when - Clock::now());
  armedFor_ = when;
  if (!timer_.add(wait)) end(Ended::Failed);
}

void Connection::timePassed() {
  armedFor_.reset();
  const auto when = due();
  const auto now = Clock::now();
  if (!when) return;
  if (now < *when) return armTimer();
  switch (phase_) {
    case Phase::ProxyHeader:
      ++household_->refused;
      logStranger(LogLevel::Warn, "proxy.header.refused", "timed out");
      return end(Ended::TimedOut);
    case Phase::FirstByte:
    case Phase::Handshake:
    case Phase::UpgradeReply: {
      ++household_->handshakesFailed;
      const bool silent = phase_ == Phase::FirstByte;
      logStranger(silent ? LogLevel::Debug : LogLevel::Info, "tls.handshake.failed", "timed out");
      return end(Ended::TimedOut);
    }
    case Phase::Session:
      if (wakeAt_ && !pendingWork_ && now >= *wakeAt_) {
        wakeAt_.reset();
        return take([this] { return session_->woken(); });
      }
      if (!loginSince_ && progressed()) return armTimer();
      return farewell(Session::Farewell::IdleTooLong);
    case Phase::Farewell:
      if (now - farewellSince_ > terms_->settings.idleTimeout || !progressed()) return end(Ended::TimedOut);
      return setDeadline(farewellTime);
    case Phase::Lingering: return end(endsAs_);
    case Phase::Over: return;
  }
}

}  // namespace postern::listeners
