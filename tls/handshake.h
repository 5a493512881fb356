// Handshake: the decisions taken while a connection of a Serving says hello.
//
// The callbacks run on whichever thread drives the SSL. All they know hangs on the SSL: the serving it began with and
// the server name, kept from the ClientHello callback because OpenSSL decrypts a ticket before it has looked at the
// SNI.
#pragma once

#include <memory>
#include <string>

#include "tls/serving.h"

namespace postern::tls {

void installCallbacks(SSL_CTX* context);

// Hangs `serving` on a new SSL, which lets go of it when it is freed. False when memory ends.
bool attachServing(SSL* ssl, std::shared_ptr<const Serving> serving);

// What `error`, of OpenSSL's queue, says of this SSL, for the log. OpenSSL has but "callback failed" for whatever these
// callbacks refuse, and "certificate verify failed" for all that may be wrong with a client's. `ssl` may be null.
std::string reasonOf(const SSL* ssl, unsigned long error);

}  // namespace postern::tls
