#include "tls/policy.h"

#include <algorithm>

namespace postern::tls {
namespace {

bool contains(const std::vector<std::string>& names, std::string_view name) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

// What every policy begins with. AES-128 leads: the processors that serve mail have instructions for it, and clients
// that have not put ChaCha20 first and get it.
const std::vector<std::string>& tls13Ciphers() {
  static const std::vector<std::string> names{"TLS13_AES_128_GCM_SHA256", "TLS13_AES_256_GCM_SHA384",
                                              "TLS13_CHACHA20_POLY1305_SHA256"};
  return names;
}
const std::vector<std::string>& mozillaGroups() {
  static const std::vector<std::string> names{"X25519MLKEM768", "X25519", "P-256", "P-384"};
  return names;
}

}  // namespace

Policy intermediatePolicy() {
  Policy policy;
  policy.ciphers = tls13Ciphers();
  policy.ciphers.insert(
      policy.ciphers.end(),
      {"TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256", "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256",
       "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384", "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384",
       "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256", "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256"});
  policy.groups = mozillaGroups();
  return policy;
}

Policy modernPolicy() {
  Policy policy;
  policy.protocols = {"TLSv1.3"};
  policy.ciphers = tls13Ciphers();
  policy.groups = mozillaGroups();
  return policy;
}

bool isProtocolName(std::string_view name) {
  return name == "TLSv1.2" || name == "TLSv1.3";
}

bool isCipherName(std::string_view name) {
  return contains(cipherNames(), name);
}

bool isGroupName(std::string_view name) {
  return contains(groupNames(), name);
}

const std::vector<std::string>& cipherNames() {
  // Forward secrecy and a certificate, or TLS 1.2's plain RSA for the oldest of clients; nothing anonymous, pre-shared,
  // without encryption, or with RC4, DES or export keys: an administrator who asks for those has made a slip.
  static const std::vector<std::string> names{
      "TLS13_AES_128_GCM_SHA256",
      "TLS13_AES_256_GCM_SHA384",
      "TLS13_CHACHA20_POLY1305_SHA256",
      "TLS13_AES_128_CCM_SHA256",
      "TLS13_AES_128_CCM_8_SHA256",
      "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256",
      "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256",
      "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384",
      "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384",
      "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256",
      "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256",
      "TLS_ECDHE_ECDSA_WITH_AES_128_CCM",
      "TLS_ECDHE_ECDSA_WITH_AES_256_CCM",
      "TLS_ECDHE_ECDSA_WITH_AES_128_CCM_8",
      "TLS_ECDHE_ECDSA_WITH_AES_256_CCM_8",
      "TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA256",
      "TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA256",
      "TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA384",
      "TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA384",
      "TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA",
      "TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA",
      "TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA",
      "TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA",
      "TLS_ECDHE_ECDSA_WITH_ARIA_128_GCM_SHA256",
      "TLS_ECDHE_RSA_WITH_ARIA_128_GCM_SHA256",
      "TLS_ECDHE_ECDSA_WITH_ARIA_256_GCM_SHA384",
      "TLS_ECDHE_RSA_WITH_ARIA_256_GCM_SHA384",
      "TLS_ECDHE_ECDSA_WITH_CAMELLIA_128_CBC_SHA256",
      "TLS_ECDHE_RSA_WITH_CAMELLIA_128_CBC_SHA256",
      "TLS_ECDHE_ECDSA_WITH_CAMELLIA_256_CBC_SHA384",
      "TLS_ECDHE_RSA_WITH_CAMELLIA_256_CBC_SHA384",
      "TLS_DHE_RSA_WITH_AES_128_GCM_SHA256",
      "TLS_DHE_RSA_WITH_AES_256_GCM_SHA384",
      "TLS_DHE_RSA_WITH_CHACHA20_POLY1305_SHA256",
      "TLS_DHE_RSA_WITH_AES_128_CCM",
      "TLS_DHE_RSA_WITH_AES_256_CCM",
      "TLS_DHE_RSA_WITH_AES_128_CBC_SHA256",
      "TLS_DHE_RSA_WITH_AES_256_CBC_SHA256",
      "TLS_DHE_RSA_WITH_AES_128_CBC_SHA",
      "TLS_DHE_RSA_WITH_AES_256_CBC_SHA",
      "TLS_RSA_WITH_AES_128_GCM_SHA256",
      "TLS_RSA_WITH_AES_256_GCM_SHA384",
      "TLS_RSA_WITH_AES_128_CBC_SHA256",
      "TLS_RSA_WITH_AES_256_CBC_SHA256",
      "TLS_RSA_WITH_AES_128_CBC_SHA",
      "TLS_RSA_WITH_AES_256_CBC_SHA",
  };
  return names;
}

const std::vector<std::string>& groupNames() {
  static const std::vector<std::string> names{
      "X25519MLKEM768", "SecP256r1MLKEM768", "SecP384r1MLKEM1024", "X25519",   "P-256", "P-384", "P-521",
      "X448",           "ffdhe2048",         "ffdhe3072",          "ffdhe4096"};
  return names;
}

}  // namespace postern::tls
