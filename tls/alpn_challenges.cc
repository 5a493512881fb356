#include "tls/alpn_challenges.h"

#include <arpa/inet.h>

#include <algorithm>
#include <utility>

#include "base/text.h"

namespace postern::tls {
namespace {

std::string reverseName(const in_addr& address) {
  const auto* bytes = reinterpret_cast<const unsigned char*>(&address);
  std::string name;
  for (int i = 3; i >= 0; --i) name += std::to_string(bytes[i]) + '.';
  return name + "in-addr.arpa";
}

std::string reverseName(const in6_addr& address) {
  static constexpr std::string_view digits = "0123456789abcdef";
  std::string name;
  for (int i = 15; i >= 0; --i) {
    const unsigned byte = address.s6_addr[i];
    name += {digits[byte & 15], '.', digits[byte >> 4], '.'};
  }
  return name + "ip6.arpa";
}

}  // namespace

std::string challengeServerName(std::string_view identifier) {
  const std::string text(identifier);
  in_addr four{};
  in6_addr six{};
  if (inet_pton(AF_INET, text.c_str(), &four) == 1) return reverseName(four);
  if (inet_pton(AF_INET6, text.c_str(), &six) == 1) return reverseName(six);
  return lower(identifier);
}

std::uint64_t AlpnChallenges::present(const std::string& identifier, CertifiedKeyRef certificate) {
  std::string serverName = challengeServerName(identifier);
  std::lock_guard lock(mutex_);
  byServerName_[std::move(serverName)].push_back({++lastHandle_, std::move(certificate)});
  return lastHandle_;
}

void AlpnChallenges::cleanUp(std::uint64_t handle) {
  std::lock_guard lock(mutex_);
  for (auto name = byServerName_.begin(); name != byServerName_.end(); ++name) {
    auto& answers = name->second;
    const auto found = std::find_if(answers.begin(), answers.end(),
                                    [handle](const Answer& answer) { return answer.handle == handle; });
    if (found == answers.end()) continue;
    answers.erase(found);
    if (answers.empty()) byServerName_.erase(name);
    return;
  }
}

CertifiedKeyRef AlpnChallenges::find(std::string_view serverName) const {
  const std::string name = lower(serverName);
  std::lock_guard lock(mutex_);
  const auto found = byServerName_.find(name);
  return found == byServerName_.end() ? nullptr : found->second.back().certificate;
}

}  // namespace postern::tls
