#include "tls/ticket_encryption.h"

#include <openssl/core_names.h>
#include <openssl/params.h>
#include <openssl/rand.h>

#include <algorithm>

#include "tls/openssl.h"

namespace postern::tls {
namespace {

constexpr int ivSize = 16;

// Fetched once: with a lookup for each ticket a handshake takes a tenth longer.
const EVP_CIPHER* ticketCipher() {
  static const Owned<EVP_CIPHER, EVP_CIPHER_free> fetched(EVP_CIPHER_fetch(nullptr, "AES-256-CBC", nullptr));
  return fetched.get();
}

bool authenticateWith(EVP_MAC_CTX* mac, TicketKey& key) {
  char digest[] = "SHA256";
  const OSSL_PARAM parameters[] = {
      OSSL_PARAM_construct_octet_string(OSSL_MAC_PARAM_KEY, key.mac.data(), key.mac.size()),
      OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, digest, 0), OSSL_PARAM_construct_end()};
  return EVP_MAC_CTX_set_params(mac, parameters) == 1;
}

}  // namespace

int sealTicket(const TicketScope& scope, unsigned char* name, unsigned char* iv, EVP_CIPHER_CTX* cipher,
               EVP_MAC_CTX* mac) {
  TicketKey key = scope.keys.current(scope.policyDigest, scope.serverName);
  if (RAND_bytes(iv, ivSize) != 1 || !authenticateWith(mac, key) ||
      EVP_EncryptInit_ex(cipher, ticketCipher(), nullptr, key.encryption.data(), iv) != 1)
    return 0;
  std::copy(key.name.begin(), key.name.end(), name);
  return 1;
}

int openTicket(const TicketScope& scope, const unsigned char* name, const unsigned char* iv, EVP_CIPHER_CTX* cipher,
               EVP_MAC_CTX* mac, bool tls13) {
  const std::string_view wanted(reinterpret_cast<const char*>(name), TicketKey{}.name.size());
  auto found = scope.keys.find(wanted, scope.policyDigest, scope.serverName);
  if (!found || !authenticateWith(mac, found->key) ||
      EVP_DecryptInit_ex(cipher, ticketCipher(), nullptr, found->key.encryption.data(), iv) != 1)
    return 0;
  // 2 asks for a new ticket. TLS 1.3 clients use a ticket once (RFC 8446 appendix C.4): with 1 they would have none
  // left, and every second handshake would be a full one.
  return tls13 || found->old ? 2 : 1;
}

}  // namespace postern::tls
