// Provider: one [acme.<name>] section. A value; it includes nothing of the room, so that config/ may fill it.
#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <vector>

#include "base/secret.h"

namespace postern::acme {

enum class ChallengeType { TlsAlpn01, Http01, Dns01 };

// External account binding (RFC 8555 section 7.3.4): what the CA's own account page gives out.
struct ExternalAccount {
  std::string keyId;
  Secret hmacKey;  // the raw key, decoded
  bool operator==(const ExternalAccount&) const = default;
};

// How the records of DNS-01 are set.
struct DnsSettings {
  enum class Method { None, Rfc2136, Hook } method = Method::None;
  std::string server;                     // rfc2136: "ns.example.org", "192.0.2.1:53", "[2001:db8::1]:53"
  std::string key;                        // rfc2136: name of the TSIG key
  Secret secret;                          // rfc2136: the raw TSIG key, decoded from base64
  std::string algorithm = "hmac-sha256";  // rfc2136: hmac-sha1, -sha224, -sha256, -sha384, -sha512
  std::chrono::seconds ttl{60};
  std::chrono::seconds propagationTimeout{600};
  std::chrono::milliseconds pollingInterval{5000};
  std::string hook;  // hook: program called with `present|cleanup NAME VALUE`
  bool operator==(const DnsSettings&) const = default;
};

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
  int httpPort = 80;                                               // local port that answers HTTP-01
  std::string profile;                                             // of the CA (draft-ietf-acme-profiles); empty: none
  std::string preferredChain;  // common name of an issuer or root in the wanted chain; empty: the CA's default
  std::optional<ExternalAccount> externalAccount;
  std::vector<std::string> keyTypes{"ecdsa-p256"};  // one certificate of each, the first preferred; as tls::nameOf
  bool reuseKey = false;                            // the renewed certificate is for the same key
  std::vector<std::string> fallback;                // names of other sections, tried in this order
  std::string staging;      // a section's name or a directory's URL where retries are proved first; empty: none
  int orders = 8;           // under way at a time
  std::string exportTo;     // folder for copies that other programs read; empty: none
  std::string exportGroup;  // the group that may read them; empty: the process's
  DnsSettings dns;
  bool operator==(const Provider&) const = default;  // a reload is a difference of values
};

}  // namespace postern::acme
