// The session of a connection: what it says is sent, what it wants is done, and in the end it is left in good order.
#include <algorithm>
#include <exception>
#include <utility>

#include "listeners/connection.h"

namespace postern::listeners {

namespace {
constexpr std::size_t pieceSize = 16 * 1024;   // of input, to a session at a time
constexpr std::size_t highWater = 256 * 1024;  // of output: beyond it no more input is taken
constexpr std::chrono::seconds lingerTime{2};
}  // namespace

Peer Connection::peer() const {
  const Endpoint local = local_ ? *local_ : localEndpoint(channel_->descriptor());
  return {remote_.host(), remote_.port, local.host(), local.port};
}

// A session promises not to throw. One that does costs its connection, not the server.
template <class Call>
std::optional<Step> Connection::ask(Call call) {
  try {
    return call();
  } catch (const std::exception& error) {
    log().error(
        "session.failed",
        {{"listener", terms_->settings.id}, {"peer", remote_.text()}, {"error", std::string_view(error.what())}});
  }
  end(Ended::Failed);
  return std::nullopt;
}

void Connection::take(const std::function<Step()>& call) {
  if (auto step = ask(call)) apply(std::move(*step));
  settle();
}

void Connection::beginSession(const TlsFacts* facts) {
  phase_ = Phase::Session;
  active();
  take([&] {
    session_ = terms_->sessions(peer());
    if (!session_) return Step{{}, Action::Close, nullptr, std::nullopt};
    if (facts) session_->encrypted(*facts);
    return session_->greet();
  });
}

void Connection::upgraded(const TlsFacts& facts) {
  phase_ = Phase::Session;
  active();
  take([&] { return session_->encrypted(facts); });
}

void Connection::apply(Step step) {
  if (phase_ != Phase::Session) return;
  if (!session_ || !session_->loginPending()) {
    loginSince_.reset();
  } else if (!loginSince_) {
    loginSince_ = Clock::now();
  }
  if (step.then == Action::StartTls && !step.work && !channel_->ssl() && !enterHandshake()) return applyRefused(step);
  wakeAt_.reset();
  if (step.wakeAfter) wakeAt_ = Clock::now() + *step.wakeAfter;
  const bool upgrading = step.then == Action::StartTls && !step.work;
  if (upgrading && !forgetPlain()) return;
  channel_->write(step.reply);
  if (upgrading) return upgradeWhenSent();
  if (!step.work) return act(step.then);
  pendingWork_ = std::move(step.work);
  afterWork_ = step.then;
  submitWork();
}

// The client hears in the clear that this is not the time, and what it has said beside that is answered as well.
void Connection::applyRefused(const Step& step) {
  channel_->write(
      std::string_view(step.reply).substr(0, step.reply.size() - std::min(step.goAhead, step.reply.size())));
  if (auto instead = ask([&] { return session_->tlsRefused(); })) apply(std::move(*instead));
}

void Connection::act(Action action) {
  switch (action) {
    case Action::Continue: return;
    case Action::Close: return finish(Ended::Finished);
    case Action::StartTls:  // asked for by a worker
      if (forgetPlain()) upgradeWhenSent();
      return;
  }
}

// What came in the clear, be it here or still in the kernel, was never protected and is not looked at (CVE-2011-0411).
// That is before the reply leaves, so nothing of the handshake can be among it. False: the connection is over.
bool Connection::forgetPlain() {
  const auto over = [this](Ended why) {
    end(why);
    return false;
  };
  if (channel_->ssl()) {
    log().error("session.failed", {{"listener", terms_->settings.id}, {"error", "STARTTLS inside TLS"}});
    return over(Ended::Failed);
  }
  if (!handshaking_ && !enterHandshake()) return over(Ended::Refused);
  phase_ = Phase::UpgradeReply;
  channel_->consume(channel_->inputSize());
  if (!channel_->discardFromKernel()) return over(Ended::PeerLeft);
  setDeadline(terms_->settings.tlsTimeout);
  return true;
}

void Connection::upgradeWhenSent() {
  if (!channel_->flush()) return channel_->setReading(false);  // sent() comes
  channel_->leavePlain();
  awaitHandshake();
}

void Connection::submitWork() {
  if (!pendingWork_ || working_ || channel_->unsent() > Channel::lowWater) return;
  working_ = true;
  auto work = std::exchange(pendingWork_, nullptr);
  household_->environment.workers.submit([self = shared_from_this(), work = std::move(work)]() mutable {
    bool failed = false;
    try {
      work();
    } catch (const std::exception& error) {
      failed = true;
      self->log().error("session.failed", {{"listener", self->terms_->settings.id},
                                           {"peer", self->remote_.text()},
                                           {"error", std::string_view(error.what())}});
    }
    work = nullptr;
    // The last reference goes on the loop, where the connection's things may be freed.
    EventLoop& loop = self->eventLoop();
    loop.post([self = std::move(self), failed] { self->workDone(failed); });
  });
}

void Connection::workDone(bool failed) {
  working_ = false;
  if (phase_ != Phase::Session) return;  // the connection is gone; what is left goes with the caller
  if (failed) return end(Ended::Failed);
  active();
  if (afterWork_ == Action::Continue) return take([this] { return session_->resumed(); });
  act(afterWork_);
}

void Connection::pump() {
  while (phase_ == Phase::Session && !busy() && channel_->unsent() <= highWater) {
    const auto bytes = channel_->input(pieceSize);
    if (bytes.empty()) return;
    auto step = ask([&] { return session_->received(bytes); });
    if (!step) return;
    channel_->consume(bytes.size());  // before the step is done: StartTls forgets the rest
    apply(std::move(*step));
  }
}

// Brings everything that hangs on the session's state up to date, after whatever has happened.
void Connection::settle() {
  if (phase_ != Phase::Session) return;
  pump();
  if (phase_ != Phase::Session) return;
  if (!busy()) {
    if (shuttingDown_) return farewell(Session::Farewell::ShuttingDown);
    if (peerEnded_ && channel_->inputSize() == 0) return finish(Ended::PeerLeft);
  }
  // While a worker has the session, one piece more is read and no further: so the peer's going is mostly noticed, the
  // kernel's window holds back the rest, and lock-step clients cost no system call.
  const bool full = channel_->unsent() > highWater || (busy() && channel_->inputSize() >= pieceSize);
  channel_->setReading(!peerEnded_ && !full);
  armTimer();
}

void Connection::received() noexcept {
  if (phase_ != Phase::Session) return;
  active();
  settle();
}

void Connection::sent() noexcept {
  switch (phase_) {
    case Phase::Session:
      active();
      submitWork();
      return settle();
    case Phase::UpgradeReply: return upgradeWhenSent();
    case Phase::Farewell: return linger();
    case Phase::ProxyHeader:
    case Phase::FirstByte:
    case Phase::Handshake:
    case Phase::Lingering:
    case Phase::Over: return;
  }
}

// The peer has closed its half, or all. What it said before is still answered.
void Connection::ended() noexcept {
  peerEnded_ = true;
  if (phase_ == Phase::UpgradeReply) return end(Ended::PeerLeft);
  settle();
}

void Connection::shutDown() noexcept {
  switch (phase_) {
    case Phase::ProxyHeader:
    case Phase::FirstByte:
    case Phase::Handshake:
    case Phase::UpgradeReply: return end(Ended::ShutDown);
    case Phase::Session: shuttingDown_ = true; return settle();
    case Phase::Farewell:
    case Phase::Lingering:
    case Phase::Over: return;
  }
}

void Connection::abort() noexcept {
  end(Ended::ShutDown);
}

void Connection::farewell(Session::Farewell why) {
  pendingWork_ = nullptr;
  auto words = ask([&] { return Step{session_->farewell(why), Action::Close, nullptr, std::nullopt}; });
  if (!words) return;
  channel_->write(words->reply);
  finish(why == Session::Farewell::ShuttingDown ? Ended::ShutDown : Ended::TimedOut);
}

void Connection::finish(Ended why) {
  phase_ = Phase::Farewell;
  endsAs_ = why;
  linger();
  if (phase_ != Phase::Farewell) return;
  farewellSince_ = Clock::now();
  active();
  setDeadline(farewellTime);
}

void Connection::linger() {
  if (!channel_->sayGoodbye()) return channel_->setReading(false);  // sent() comes
  const std::chrono::milliseconds time = terms_->settings.socket.linger.value_or(lingerTime);
  if (peerEnded_ || time.count() == 0 || !channel_->awaitBytes()) return end(endsAs_);
  phase_ = Phase::Lingering;
  setDeadline(time);
}

void Connection::end(Ended why) {
  if (phase_ == Phase::Over) return;
  phase_ = Phase::Over;
  leaveHandshake();
  timer_.remove();
  if (log().wants(LogLevel::Debug)) {
    log().debug("connection.ended",
                {{"listener", terms_->settings.id}, {"peer", remote_.text()}, {"how", nameOf(why)}});
  }
  household_->retire(*this);
}

void Connection::active() {
  lastActivity_ = Clock::now();
  unsentThen_ = phase_ == Phase::Session || phase_ == Phase::Farewell ? channel_->unsent() : 0;
}

bool Connection::progressed() {
  if (channel_->unsent() >= unsentThen_) return false;
  active();
  return true;
}

}  // namespace postern::listeners
