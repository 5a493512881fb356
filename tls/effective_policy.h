// EffectivePolicy: a Policy in the words of the OpenSSL at hand.
//
// A value, worked out once for each policy; what this OpenSSL does not have has been left out.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "base/log.h"
#include "tls/client_auth.h"
#include "tls/openssl.h"
#include "tls/policy.h"

namespace postern::tls {

struct EffectivePolicy {
  int oldest = 0, newest = 0;                      // TLS1_2_VERSION, TLS1_3_VERSION
  std::string ciphers;                             // TLS 1.2, as for SSL_CTX_set_cipher_list; "" when there is none
  std::string suites;                              // TLS 1.3, as for SSL_CTX_set_ciphersuites
  std::string groups;                              // as for SSL_CTX_set1_groups_list
  std::shared_ptr<const ClientAuthority> clients;  // null where clients are not asked for certificates
};

// Names that this OpenSSL does not know are left out with one line in the log, and a protocol without a cipher with
// them. Throws Error when nothing is left. Empty lists of ciphers and groups mean those of the intermediate policy.
EffectivePolicy effectivePolicy(const Policy& policy, std::string_view listener, Log& log);

// A server's SSL_CTX with that policy and everything that holds for all of Postern's listeners: no renegotiation,
// compression or early data, tickets instead of a session cache, released buffers. Without a certificate.
SslCtxPtr makeContext(const Policy& policy, const EffectivePolicy& effective, std::string_view listener);

// What binds a session ticket to a listener and what it speaks: 32 bytes. Certificates are no part of it, so a renewal
// ends no session.
std::string policyDigest(std::string_view listener, const Policy& policy, const std::vector<std::string>& alpn);

}  // namespace postern::tls
