// HttpChallenges: the answers to HTTP-01 challenges that are under way (RFC 8555 section 8.3), for the http listener's
// route /.well-known/acme-challenge/<token>.
//
// Any thread may call anything here.
#pragma once

#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>

namespace postern::acme {

class HttpChallenges {
 public:
  // Two orders may share an authorization and so a token: each present() is taken back by one cleanUp(), and the answer
  // stays up until the last.
  void present(const std::string& token, const std::string& keyAuthorization);
  void cleanUp(const std::string& token);
  // The key authorization to answer with, the latest presented; nothing when no such challenge is under way.
  std::optional<std::string> find(std::string_view token) const;

 private:
  struct Answer {
    std::string keyAuthorization;
    int presented = 0;
  };
  mutable std::mutex mutex_;
  std::map<std::string, Answer, std::less<>> byToken_;
};

}  // namespace postern::acme
