// ClientCertificate: what a client's certificate says about who the client is. A value; nothing of OpenSSL in it.
#pragma once

#include <string>

namespace postern::tls {

struct ClientCertificate {
  std::string subject, issuer;  // distinguished names as RFC 2253 writes them
  std::string serial;           // lower-case hexadecimal
  std::string fingerprint;      // SHA-256 of the certificate, lower-case hexadecimal
  // Whether one of the listener's client CAs vouches for it. Where it is false, the client has shown that it holds the
  // key, and nothing in the certificate may be believed.
  bool verified = false;
  std::string whyNot;  // "" where it is verified
  bool operator==(const ClientCertificate&) const = default;
};

}  // namespace postern::tls
