// JWS: requests signed as RFC 8555 section 6.2 asks for: flattened JSON, ES256, EC P-256 account keys.
//
// Pure functions; any thread. A key that is no P-256 key is an Error postern:malformed.
#pragma once

#include <openssl/evp.h>

#include <string>

namespace postern::acme {

// The public key as a JWK (RFC 7517), its members in the order that RFC 7638 hashes.
std::string jwk(EVP_PKEY* key);
// RFC 7638: base64url of the SHA-256 of jwk().
std::string thumbprint(EVP_PKEY* key);
// RFC 8555 section 8.1.
std::string keyAuthorization(const std::string& token, const std::string& thumbprint);

struct SignedParts {
  std::string url;
  std::string nonce;
  std::string accountUrl;  // becomes "kid"; empty: the public key itself as "jwk"
  std::string payload;     // "" for POST-as-GET
};
// The body of the POST.
std::string signedRequest(EVP_PKEY* accountKey, const SignedParts& parts);

}  // namespace postern::acme
