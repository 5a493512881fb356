// Private keys: made, read from PEM, written as PKCS #8.
#include <climits>
#include <openssl/crypto.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>

#include <memory>
#include <string_view>

#include "tls/certified_key.h"
#include "tls/key_decoder.h"

namespace postern::tls {
namespace {

// One block of a PEM text, wiped when it goes.
struct Block {
  char* name = nullptr;
  char* header = nullptr;
  unsigned char* data = nullptr;
  long size = 0;
  Block() = default;
  Block(const Block&) = delete;
  Block& operator=(const Block&) = delete;
  ~Block() {
    OPENSSL_free(name);
    OPENSSL_free(header);
    OPENSSL_clear_free(data, static_cast<std::size_t>(size));
  }
};

KeyPtr decoded(const unsigned char* der, long size) {
  thread_local std::unique_ptr<KeyDecoder> decoder;
  if (!decoder) decoder = std::make_unique<KeyDecoder>(nullptr, EVP_PKEY_KEYPAIR);
  if (KeyPtr key = decoder->read({reinterpret_cast<const char*>(der), static_cast<std::size_t>(size)})) return key;
  decoder.reset();  // whatever state that has left it in
  ERR_clear_error();
  return KeyPtr(d2i_AutoPrivateKey(nullptr, &der, size));  // which knows more forms, and says what is wrong
}

bool isPrivateKey(std::string_view blockName) {
  return blockName.ends_with("PRIVATE KEY");
}

}  // namespace

std::string_view nameOf(KeyType type) {
  switch (type) {
    case KeyType::EcdsaP256: return "ecdsa-p256";
    case KeyType::EcdsaP384: return "ecdsa-p384";
    case KeyType::Rsa2048: return "rsa-2048";
    case KeyType::Rsa3072: return "rsa-3072";
    case KeyType::Rsa4096: return "rsa-4096";
  }
  return "";
}

KeyPtr generateKey(KeyType type) {
  ERR_clear_error();
  const auto make = [type]() -> EVP_PKEY* {
    switch (type) {
      case KeyType::EcdsaP256: return EVP_PKEY_Q_keygen(nullptr, nullptr, "EC", "P-256");
      case KeyType::EcdsaP384: return EVP_PKEY_Q_keygen(nullptr, nullptr, "EC", "P-384");
      case KeyType::Rsa2048: return EVP_RSA_gen(2048);
      case KeyType::Rsa3072: return EVP_RSA_gen(3072);
      case KeyType::Rsa4096: return EVP_RSA_gen(4096);
    }
    return nullptr;
  };
  KeyPtr key(make());
  if (!key) fail("cannot generate a key of type " + std::string(nameOf(type)));
  return key;
}

KeyPtr keyFromPem(const Secret& pem) {
  const std::string_view text = pem.reveal();
  if (text.size() > INT_MAX) throw Error("the private key is too large");
  ERR_clear_error();
  const BioPtr input(BIO_new_mem_buf(text.data(), static_cast<int>(text.size())));
  if (!input) fail("cannot read the private key");
  KeyPtr key;
  while (true) {
    Block block;
    if (PEM_read_bio(input.get(), &block.name, &block.header, &block.data, &block.size) != 1) {
      const bool ended = ERR_GET_REASON(ERR_peek_last_error()) == PEM_R_NO_START_LINE;
      if (!ended) fail("the private key is broken PEM");
      ERR_clear_error();
      break;
    }
    if (!isPrivateKey(block.name)) continue;  // parameters, or certificates that stand in the same file
    if (std::string_view(block.name) == "ENCRYPTED PRIVATE KEY" ||
        std::string_view(block.header).find("ENCRYPTED") != std::string_view::npos)
      throw Error(
          "the private key is encrypted with a passphrase, which nobody can type here; decrypt it with "
          "'openssl pkey -in KEY -out KEY.plain' and protect the file by its mode");
    if (key) throw Error("there are several private keys; leave only the one of the certificate");
    key = decoded(block.data, block.size);
    if (!key) fail("the private key cannot be read");
    ERR_clear_error();  // what was tried in vain before the right decoder was found
  }
  if (!key)
    throw Error(
        "there is no private key in it; expected PEM that begins with -----BEGIN PRIVATE KEY-----, "
        "or EC PRIVATE KEY, or RSA PRIVATE KEY");
  return key;
}

Secret keyToPem(EVP_PKEY* key) {
  ERR_clear_error();
  const BioPtr output(BIO_new(BIO_s_secmem()));
  if (!output || PEM_write_bio_PKCS8PrivateKey(output.get(), key, nullptr, nullptr, 0, nullptr, nullptr) != 1)
    fail("cannot write the private key");
  char* data = nullptr;
  const long size = BIO_get_mem_data(output.get(), &data);
  return Secret(std::string(data, static_cast<std::size_t>(size)));
}

}  // namespace postern::tls
