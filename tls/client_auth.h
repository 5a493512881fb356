// ClientAuthority: who vouches for the certificates of clients, and what one of them says.
//
// An authority is immutable and shared by every SSL_CTX of its listener. What a handshake or a resumption (whose ticket
// holds the certificate and what became of it) has found is read off the SSL; any thread that drives it.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "tls/client_certificate.h"
#include "tls/openssl.h"
#include "tls/policy.h"

namespace postern::tls {

class ClientAuthority {
 public:
  // `pem`: certificates of CAs, or "" for nobody, who vouches for nothing. Throws Error.
  explicit ClientAuthority(const std::string& pem);

  // Makes handshakes of `context` ask for a certificate. Request lets everybody through: whoever has none, and whoever
  // has one that cannot be verified, which is told with why (as nginx has optional_no_ca). Require refuses both, with
  // certificate_required (116; TLS 1.2: handshake_failure, 40) or an alert that says what is wrong with it.
  void install(SSL_CTX* context, ClientAuth how) const;

 private:
  struct FreeNames {
    void operator()(STACK_OF(X509_NAME) * names) const noexcept { sk_X509_NAME_pop_free(names, X509_NAME_free); }
  };
  Owned<X509_STORE, X509_STORE_free> store_;
  std::unique_ptr<STACK_OF(X509_NAME), FreeNames> names_;
};

// Nothing where the client has shown no certificate.
std::optional<ClientCertificate> clientCertificate(const SSL* ssl);

}  // namespace postern::tls
