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
  void present(const std::string& token, const std::string& keyAuthorization);
  void cleanUp(const std::string& token);
  // The key authorization to answer with; nothing when no such challenge is under way.
  std::optional<std::string> find(std::string_view token) const;

 private:
  mutable std::mutex mutex_;
  std::map<std::string, std::string, std::less<>> byToken_;
};

}  // namespace postern::acme
