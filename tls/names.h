// Names of servers as certificates and ClientHellos have them, compared alike everywhere in this room.
//
// Pure functions. Host names are A-labels.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "tls/openssl.h"

namespace postern::tls {

class CertifiedKey;

// Lower case, without the dot that ends an absolute name; an IP address in the one spelling that inet_ntop gives it.
std::string normalisedName(std::string_view name);

// The wildcard that covers a normalised name: "*.example.org" for "a.example.org", one label (RFC 6125 section 6.4.3).
// "" for addresses, single labels and wildcards.
std::string wildcardFor(std::string_view name);

// The address's bytes, 4 or 16 of them; "" when `name` is no IP address.
std::string addressBytes(std::string_view name);

// What key and signature strengths are taken: 112 bits, so RSA 2048 and SHA-256 (SSL_CTX_set_security_level(3)).
inline constexpr int securityLevel = 2;

struct FreeChain {
  void operator()(STACK_OF(X509) * chain) const noexcept { sk_X509_pop_free(chain, X509_free); }
};
using ChainPtr = std::unique_ptr<STACK_OF(X509), FreeChain>;
// All of the chain but its leaf, each shared. Never null.
ChainPtr issuersOf(const CertifiedKey& certificate);

}  // namespace postern::tls
