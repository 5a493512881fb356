// Provider: one [acme.<name>] section. A value; it includes nothing of the room, so that config/ may fill it.
#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <vector>

namespace postern::acme {

enum class ChallengeType { TlsAlpn01 };

inline constexpr const char* letsEncryptDirectory = "https://acme-v02.api.letsencrypt.org/directory";

struct Provider {
  std::string name;                                 // the section's
  std::string directory = letsEncryptDirectory;     // https URL
  std::vector<std::string> contact;                 // URLs: "mailto:..."
  std::string cache;                                // folder, absolute or relative to the working directory
  int port = 443;                                   // local port that answers TLS-ALPN-01
  std::optional<std::chrono::seconds> renewBefore;  // unset: a third of the lifetime, half under ten days
  std::vector<std::vector<std::string>> domains;    // further certificates, each of some names
  std::string caFile;                               // PEM; trust besides the system's; empty: none
  std::string challengeBind;                        // address without port; empty: [::], else 0.0.0.0
  std::vector<ChallengeType> challenge{ChallengeType::TlsAlpn01};  // in order of preference
  bool operator==(const Provider&) const = default;                // a reload is a difference of values
};

}  // namespace postern::acme
