// JWS: requests signed as RFC 8555 section 6.2 asks for: flattened JSON. The algorithm follows from the key: ES256 for
// EC P-256 (account keys), ES384 for EC P-384 and RS256 for RSA (certificates' keys, which may sign revocations).
//
// Pure functions; any thread. A key of another kind is an Error postern:malformed.
#pragma once

#include <openssl/evp.h>

#include <string>

#include "acme/provider.h"
#include "base/json.h"

namespace postern::acme {

// The public key as a JWK (RFC 7517), its members in the order that RFC 7638 hashes.
std::string jwk(EVP_PKEY* key);
// RFC 7638: base64url of the SHA-256 of jwk().
std::string thumbprint(EVP_PKEY* key);
// RFC 8555 section 8.1.
std::string keyAuthorization(const std::string& token, const std::string& thumbprint);

struct SignedParts {
  std::string url;
  std::string nonce;       // empty: none, as in a JWS inside another
  std::string accountUrl;  // becomes "kid"; empty: the public key itself as "jwk"
  std::string payload;     // "" for POST-as-GET
};
// The body of the POST.
std::string signedRequest(EVP_PKEY* key, const SignedParts& parts);

// The member externalAccountBinding of newAccount (RFC 8555 section 7.3.4): the account's JWK under the HMAC (HS256) of
// the key that the CA gave out. `url` is newAccount's.
Json externalAccountBinding(const ExternalAccount& external, EVP_PKEY* accountKey, const std::string& url);
// The payload of keyChange (section 7.3.5): a JWS by the new key that names the account and the old key.
Json keyChangePayload(EVP_PKEY* oldKey, EVP_PKEY* newKey, const std::string& accountUrl, const std::string& url);

}  // namespace postern::acme
