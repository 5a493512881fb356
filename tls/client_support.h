// ClientSupport: whether the client at the other end can use a certificate, by what it said in its ClientHello.
#pragma once

#include "tls/certified_key.h"

namespace postern::tls {

// For a server's certificate callback, where the version is agreed on and the ClientHello is taken in. `issuers`: the
// chain behind the leaf. By RFC 8446 section 4.2.3 its signature algorithms decide in TLS 1.3; in TLS 1.2 a cipher of
// the key's algorithm, and for ECDSA its curve (RFC 8422 section 5.1), must be shared as well.
bool clientCanUse(SSL* ssl, const CertifiedKey& certificate, STACK_OF(X509) * issuers) noexcept;

}  // namespace postern::tls
