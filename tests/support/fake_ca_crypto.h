// What the fake CA verifies and reads with OpenSSL, written apart from acme/jws.cc so that each checks the other.
//
// Pure functions; any thread.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/json.h"
#include "tls/openssl.h"

namespace postern::test {

// The key of a JWK {"kty":"EC","crv":"P-256",...}; null when it is none.
tls::KeyPtr keyFromJwk(const Json& jwk);
std::string thumbprintOf(const Json& jwk);
// An ES256 signature, r and s side by side, over `input`.
bool signatureHolds(EVP_PKEY* key, const std::string& input, const std::string& signature);
std::string sha256(const std::string& bytes);

struct Request {  // a PKCS #10 request whose signature holds
  tls::KeyPtr key;
  std::vector<std::string> names;
};
std::optional<Request> readRequest(const std::string& der);

// The digest in a certificate's critical acmeIdentifier extension (RFC 8737 section 3); nothing when it has none.
std::optional<std::string> acmeIdentifier(X509* certificate);

}  // namespace postern::test
