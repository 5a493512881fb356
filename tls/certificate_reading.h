// CertificateReading: certificates from DER, whole or only as far as checking one takes.
//
// d2i_X509() decodes the public key as well, with decoders that OpenSSL 3.0 looks for anew each time; that is most of
// its cost, and the decoded certificate takes five times the memory of its DER. So thousands of certificates are
// checked at the start without it, and each is read whole when a handshake asks for it first.
//
// Free functions; any thread.
#pragma once

#include <string_view>

#include "tls/openssl.h"

namespace postern::tls {

// Null when the bytes are no certificate; what OpenSSL says is in the thread's error queue.
CertPtr certificateFromDer(std::string_view der);
// The same but for its public key, which is not decoded: X509_get_pubkey() finds none.
CertPtr certificateWithoutKey(std::string_view der);

// The public key of a certificate that was read without it. Null when it cannot be decoded.
KeyPtr publicKeyOf(const X509* certificate);

}  // namespace postern::tls
