#include "tls/ticket_keys.h"

#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/params.h>
#include <openssl/rand.h>

#include <algorithm>
#include <string>
#include <utility>

#include "tls/openssl.h"

namespace postern::tls {
namespace {

// Fetched once: finding an algorithm costs more than using it.
EVP_MAC* hmac() {
  static const Owned<EVP_MAC, EVP_MAC_free> fetched(EVP_MAC_fetch(nullptr, "HMAC", nullptr));
  return fetched.get();
}

}  // namespace

TicketKey::~TicketKey() {
  OPENSSL_cleanse(encryption.data(), encryption.size());
  OPENSSL_cleanse(mac.data(), mac.size());
}

TicketKeys::Master::~Master() {
  OPENSSL_cleanse(bytes.data(), bytes.size());
}

TicketKeys::TicketKeys(const Clock& clock, Duration lifetime) : clock_(clock), lifetime_(lifetime) {
  masters_.store(std::make_shared<const Masters>(Masters{fresh(), nullptr, clock.now()}));
}

std::shared_ptr<const TicketKeys::Master> TicketKeys::fresh() {
  auto master = std::make_shared<Master>();
  if (RAND_bytes(master->bytes.data(), static_cast<int>(master->bytes.size())) != 1)
    fail("no random bytes for tickets");
  return master;
}

bool TicketKeys::due(const Masters& masters, Time now) const {
  // A clock that was set back must not keep a key alive until it has caught up.
  return now < masters.since || now - masters.since >= lifetime_;
}

std::shared_ptr<const TicketKeys::Masters> TicketKeys::masters() {
  auto held = masters_.load();
  const Time now = clock_.now();
  if (!due(*held, now)) return held;
  std::lock_guard lock(rotating_);
  held = masters_.load();
  if (!due(*held, now)) return held;  // another thread was faster
  // What slept through two lifetimes is too old to be anybody's predecessor.
  const bool keep = now < held->since + 2 * lifetime_;
  auto next = std::make_shared<const Masters>(Masters{fresh(), keep ? held->current : nullptr, now});
  masters_.store(next);
  return next;
}

// HKDF-Expand of RFC 5869 section 2.3 with HMAC-SHA-256; the master is random throughout and needs no extraction.
TicketKey TicketKeys::derive(const Master& master, std::string_view policyDigest, std::string_view serverName) {
  std::string info = "postern ticket";
  info.append({static_cast<char>(policyDigest.size()), '\0'}).append(policyDigest).append(serverName);

  const Owned<EVP_MAC_CTX, EVP_MAC_CTX_free> context(EVP_MAC_CTX_new(hmac()));
  char digest[] = "SHA256";
  const OSSL_PARAM parameters[] = {OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, digest, 0),
                                   OSSL_PARAM_construct_end()};
  std::array<unsigned char, 96> output{};
  std::size_t made = 0;
  for (unsigned char counter = 1; made < output.size(); ++counter) {
    const unsigned char* before = made == 0 ? output.data() : output.data() + made - 32;
    std::size_t size = 0;
    if (!context || EVP_MAC_init(context.get(), master.bytes.data(), master.bytes.size(), parameters) != 1 ||
        EVP_MAC_update(context.get(), before, made == 0 ? 0 : 32) != 1 ||
        EVP_MAC_update(context.get(), reinterpret_cast<const unsigned char*>(info.data()), info.size()) != 1 ||
        EVP_MAC_update(context.get(), &counter, 1) != 1 ||
        EVP_MAC_final(context.get(), output.data() + made, &size, output.size() - made) != 1)
      fail("cannot derive a ticket key");
    made += size;
  }
  TicketKey key;
  std::copy_n(output.begin(), key.name.size(), key.name.begin());
  std::copy_n(output.begin() + 16, key.encryption.size(), key.encryption.begin());
  std::copy_n(output.begin() + 48, key.mac.size(), key.mac.begin());
  OPENSSL_cleanse(output.data(), output.size());
  return key;
}

TicketKey TicketKeys::current(std::string_view policyDigest, std::string_view serverName) {
  return derive(*masters()->current, policyDigest, serverName);
}

std::optional<TicketKeys::Found> TicketKeys::find(std::string_view keyName, std::string_view policyDigest,
                                                  std::string_view serverName) {
  const auto held = masters();
  for (const auto& master : {held->current, held->previous}) {
    if (!master) continue;
    Found found{derive(*master, policyDigest, serverName), master != held->current};
    if (keyName.size() == found.key.name.size() &&
        CRYPTO_memcmp(keyName.data(), found.key.name.data(), keyName.size()) == 0)
      return found;
  }
  return std::nullopt;
}

}  // namespace postern::tls
