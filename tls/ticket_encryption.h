// Session tickets as OpenSSL's ticket callback has them encrypted and decrypted: AES-256-CBC, then HMAC-SHA-256, with
// the key that belongs to a listener's policy and a server name.
#pragma once

#include <openssl/evp.h>

#include <string_view>

#include "tls/ticket_keys.h"

namespace postern::tls {

struct TicketScope {
  TicketKeys& keys;
  std::string_view policyDigest, serverName;
};

// Both return what the callback is to return. Name and IV as the callback gets them: 16 bytes each.
int sealTicket(const TicketScope& scope, unsigned char* name, unsigned char* iv, EVP_CIPHER_CTX* cipher,
               EVP_MAC_CTX* mac);
int openTicket(const TicketScope& scope, const unsigned char* name, const unsigned char* iv, EVP_CIPHER_CTX* cipher,
               EVP_MAC_CTX* mac, bool tls13);

}  // namespace postern::tls
