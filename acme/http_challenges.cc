#include "acme/http_challenges.h"

namespace postern::acme {

void HttpChallenges::present(const std::string& token, const std::string& keyAuthorization) {
  std::lock_guard lock(mutex_);
  auto& answer = byToken_[token];
  answer.keyAuthorization = keyAuthorization;
  ++answer.presented;
}

void HttpChallenges::cleanUp(const std::string& token) {
  std::lock_guard lock(mutex_);
  auto found = byToken_.find(token);
  if (found != byToken_.end() && --found->second.presented <= 0) byToken_.erase(found);
}

std::optional<std::string> HttpChallenges::find(std::string_view token) const {
  std::lock_guard lock(mutex_);
  auto found = byToken_.find(token);
  if (found == byToken_.end()) return {};
  return found->second.keyAuthorization;
}

}  // namespace postern::acme
