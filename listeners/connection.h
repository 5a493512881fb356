// Connection: carries one accepted socket through PROXY header, TLS handshake and session to its end.
//
// Lives on one loop; every function but the constructor and destructor is called there. Its household's registry owns
// it; a worker that runs the session's work shares it until that has returned. All waiting is bounded: by one total
// deadline for header and handshake, by the login deadline or the idle time-out in the session, by a few seconds at the
// end.
#pragma once

#include <chrono>
#include <cstddef>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "listeners/channel.h"
#include "listeners/endpoint.h"
#include "listeners/household.h"
#include "listeners/session.h"

namespace postern::listeners {

enum class Ended { Finished, PeerLeft, TimedOut, BadProxyHeader, Refused, HandshakeFailed, ShutDown, Broken, Failed };
std::string_view nameOf(Ended why);

class Connection final : public std::enable_shared_from_this<Connection>, private Channel::Watcher {
 public:
  // Takes the descriptor over, and the place in the total that was entered for it in both limits.
  Connection(std::shared_ptr<Household> household, std::shared_ptr<const Terms> terms, std::size_t loop, int descriptor,
             const Endpoint& remote);
  ~Connection();

  std::size_t loop() const { return loop_; }
  void start() noexcept;
  // Says good-bye once the step in progress is done; cuts a handshake.
  void shutDown() noexcept;
  void abort() noexcept;
  // Gives up the socket; the registry calls it before it lets go.
  void closeSocket() noexcept { channel_.reset(); }

 private:
  using Clock = std::chrono::steady_clock;
  enum class Phase {
    ProxyHeader,  // the peer's PROXY header is awaited
    FirstByte,    // the first byte of a handshake is awaited
    Handshake,
    Session,
    UpgradeReply,  // the reply to STARTTLS is on its way
    Farewell,      // the last reply is on its way
    Lingering,     // everything is said; the peer's FIN is awaited, so that nothing of ours is lost to a reset
    Over,
  };

  // Channel::Watcher
  void readable() noexcept override;
  void received() noexcept override;
  void sent() noexcept override;
  void encrypted() noexcept override;
  void ended() noexcept override;
  void broken(const std::string& reason) noexcept override;

  // Before the session (connection.cc)
  void readProxyHeader();
  void admit();
  void awaitHandshake();
  void beginHandshake();
  void handshakeFailed(const std::string& reason, bool silent);
  // A place for a handshake, before anything is spent on it. False: there is none, and that was counted and said.
  bool enterHandshake();
  void leaveHandshake();
  void refuse(std::string_view limit);
  void logClient(const tls::ClientCertificate& client);
  void logStranger(LogLevel level, std::string_view event, std::string_view reason);

  // The session (connection_session.cc)
  void beginSession(const TlsFacts* facts);
  void upgraded(const TlsFacts& facts);
  Peer peer() const;
  // What the session says; nothing when it failed, and then the connection is over.
  template <class Call>
  std::optional<Step> ask(Call call);
  // Asks, does what the step wants, and all that can be done then.
  void take(const std::function<Step()>& call);
  void apply(Step step);
  void applyRefused(const Step& step);
  void act(Action action);
  bool forgetPlain();
  void upgradeWhenSent();
  void submitWork();
  void workDone(bool failed);
  void pump();
  void settle();
  void farewell(Session::Farewell why);
  void finish(Ended why);
  void linger();
  void end(Ended why);

  // Time
  static void onTimer(evutil_socket_t, short, void* self) noexcept;
  void setDeadline(std::chrono::milliseconds time);
  std::optional<Clock::time_point> due() const;
  void armTimer();
  void timePassed();
  void active();
  bool progressed();  // whether the peer has taken some of the output since it was last active

  bool busy() const { return working_ || pendingWork_ != nullptr; }
  EventLoop& eventLoop() const { return household_->environment.loops.at(loop_); }
  Log& log() const { return household_->environment.log; }

  const std::shared_ptr<Household> household_;
  std::shared_ptr<const Terms> terms_;
  const std::size_t loop_;
  std::optional<Channel> channel_;
  Endpoint remote_;  // the true client, once the PROXY header is read
  const bool ours_;  // one of OwnVisits
  std::optional<Endpoint> local_;
  std::string proxyHeader_;   // as far as it has come
  bool counted_ = false;      // holds a place for remote_.address in both limits
  bool handshaking_ = false;  // holds a place for a handshake in both

  Phase phase_ = Phase::ProxyHeader;
  std::shared_ptr<Session> session_;
  std::function<void()> pendingWork_;  // waits for the output to drain
  Action afterWork_ = Action::Continue;
  bool working_ = false;       // a worker has the session
  bool peerEnded_ = false;     // no more input will come
  bool shuttingDown_ = false;  // farewell as soon as the session is free

  Event timer_;
  std::optional<Clock::time_point> armedFor_, wakeAt_, loginSince_;
  Clock::time_point handshakeDeadline_;  // of implicit TLS: counts from accept, the PROXY header included
  Clock::time_point deadline_, lastActivity_, farewellSince_;
  std::size_t unsentThen_ = 0;  // of lastActivity_
  Ended endsAs_ = Ended::Finished;

  // A reply longer than a slow line takes in this time goes on as long as it moves at all.
  static constexpr std::chrono::seconds farewellTime{10};
};

}  // namespace postern::listeners
