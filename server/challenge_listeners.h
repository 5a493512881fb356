// ChallengeListeners: the listeners that answer a CA's challenges (TLS-ALPN-01, HTTP-01) where no listener of the
// configuration does, and have nothing for anybody else.
//
// The application's thread only, except errors(). An address that cannot be bound is no end of anything: it is said in
// log and status and tried again every minute, and mail goes on.
#pragma once

#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "acme/http_challenges.h"
#include "acme/manager.h"
#include "base/clock.h"
#include "base/log.h"
#include "listeners/http/session.h"
#include "listeners/listener.h"
#include "server/challenge_plans.h"
#include "server/serving.h"

namespace postern::server {

// The answer to a request for a challenge of HTTP-01 (RFC 8555 section 8.3): nothing when it is for another path, or
// when no such challenge is under way.
std::optional<http::Response> challengeResponse(const acme::HttpChallenges& challenges, const http::Request& request);

class ChallengeListeners {
 public:
  ChallengeListeners(const Clock& clock, Log& log);
  ~ChallengeListeners();  // ends the connections

  // Gives up the sockets of other addresses: a reload may need their port for a listener.
  void keepOnly(const std::vector<ChallengeAddress>& addresses);
  // Goes over to these addresses: gives up what is not wanted, binds what is new. Before listen() the sockets only
  // wait, so that they can be bound before rights are dropped, and nothing is logged: the log is not set up yet.
  void want(const std::vector<ChallengeAddress>& addresses);
  // Accepts from now on.
  void listen(const listeners::Environment& environment, Serving& serving);
  // Tries again what could not be bound, once a minute at most.
  void retry();
  // By provider: why its challenge port is not answered. Any thread.
  std::map<std::string, acme::LastError> errors() const;

 private:
  struct One {
    ChallengeAddress address;
    listeners::ListeningSocketRef socket;  // null: could not be bound
    std::unique_ptr<listeners::Listener> listener;
    std::optional<acme::LastError> error = {};
  };
  static bool same(const ChallengeAddress& one, const ChallengeAddress& other);
  static void end(std::vector<One> these);
  void bind(One& one);
  void accept(One& one);
  void publishErrors();

  const Clock& clock_;
  Log& log_;
  std::vector<One> all_;
  std::optional<listeners::Environment> environment_;
  Serving* serving_ = nullptr;
  Time lastTry_{};
  mutable std::mutex mutex_;
  std::map<std::string, acme::LastError> errors_;
};

}  // namespace postern::server
