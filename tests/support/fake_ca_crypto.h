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

// The key of a JWK: EC P-256, EC P-384 or RSA; null when it is none.
tls::KeyPtr keyFromJwk(const Json& jwk);
std::string thumbprintOf(const Json& jwk);
// A signature of ES256, ES384 (r and s side by side) or RS256 over `input`; the key has to be of that algorithm.
bool signatureHolds(EVP_PKEY* key, const std::string& input, const std::string& signature,
                    const std::string& algorithm = "ES256");
std::string sha256(const std::string& bytes);
std::string hmacSha256(const std::string& key, const std::string& input);

// RFC 9773 section 4.1, "" without an authority key identifier.
std::string renewalIdOf(X509* certificate);
// An IP address in its one spelling, any other name in lower case.
std::string spelledName(const std::string& name);
bool isAddress(const std::string& name);
tls::CertPtr certificateFromDer(const std::string& der);  // null when it is none
tls::CertPtr certificateFromPem(const std::string& pem);  // the first
std::string serialOf(X509* certificate);                  // lower-case hexadecimal

struct Request {  // a PKCS #10 request whose signature holds
  tls::KeyPtr key;
  std::vector<std::string> names;
};
std::optional<Request> readRequest(const std::string& der);

// The digest in a certificate's critical acmeIdentifier extension (RFC 8737 section 3); nothing when it has none.
std::optional<std::string> acmeIdentifier(X509* certificate);

}  // namespace postern::test
