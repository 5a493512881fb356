// AlpnChallenges: the answers to TLS-ALPN-01 challenges that are under way (RFC 8737).
//
// Any thread may call anything here. The ACME side puts an answer up and takes it down; a handshake that offers exactly
// "acme-tls/1" looks it up by its SNI. One name may have several answers up at once (two providers): the one put up
// last is shown, and the one before comes back when that is taken down.
#pragma once

#include <cstdint>
#include <map>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include "tls/certified_key.h"

namespace postern::tls {

inline constexpr std::string_view acmeTlsProtocol = "acme-tls/1";

// The SNI that a CA sends for an identifier: the name itself, or for an IP address its reverse name (RFC 8738 section
// 6: "1.2.0.192.in-addr.arpa").
std::string challengeServerName(std::string_view identifier);

class AlpnChallenges {
 public:
  // `certificate` as of makeChallengeCertificate(). Returns the handle to take it down with.
  std::uint64_t present(const std::string& identifier, CertifiedKeyRef certificate);
  void cleanUp(std::uint64_t handle);

  // Null when no challenge for that name is under way.
  CertifiedKeyRef find(std::string_view serverName) const;

 private:
  struct Answer {
    std::uint64_t handle;
    CertifiedKeyRef certificate;
  };
  mutable std::mutex mutex_;
  std::map<std::string, std::vector<Answer>, std::less<>> byServerName_;
  std::uint64_t lastHandle_ = 0;
};

}  // namespace postern::tls
