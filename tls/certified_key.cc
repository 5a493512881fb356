#include "tls/certified_key.h"

#include <arpa/inet.h>
#include <climits>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include <optional>
#include <utility>

#include "base/text.h"
#include "tls/certificate_reading.h"
#include "tls/issuers.h"
#include "tls/names.h"

namespace postern::tls {
namespace {

struct FreeBlock {
  void operator()(void* p) const noexcept { OPENSSL_free(p); }
};

// A chain as it was read. The leaf is without its public key, which stands beside it.
struct Chain {
  std::string leafDer;
  CertPtr leaf;
  KeyPtr publicKey;
  std::vector<CertPtr> issuers;

  std::size_t size() const { return (leaf ? 1 : 0) + issuers.size(); }
  X509* at(std::size_t i) const { return i == 0 ? leaf.get() : issuers[i - 1].get(); }
  EVP_PKEY* keyAt(std::size_t i) const { return i == 0 ? publicKey.get() : X509_get0_pubkey(at(i)); }
};

Chain readChain(std::string_view pem) {
  if (pem.size() > INT_MAX) throw Error("the certificate chain is too large");
  ERR_clear_error();
  const BioPtr input(BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size())));
  if (!input) fail("cannot read the certificate chain");
  Chain chain;
  while (true) {
    char* name = nullptr;
    char* header = nullptr;
    unsigned char* data = nullptr;
    long size = 0;
    if (PEM_read_bio(input.get(), &name, &header, &data, &size) != 1) {
      if (ERR_GET_REASON(ERR_peek_last_error()) != PEM_R_NO_START_LINE)
        fail("certificate " + std::to_string(chain.size() + 1) + " of the chain is broken PEM");
      ERR_clear_error();
      break;
    }
    const std::unique_ptr<char, FreeBlock> ownName(name), ownHeader(header);
    const std::unique_ptr<unsigned char, FreeBlock> ownData(data);
    if (std::string_view(name) != PEM_STRING_X509 && std::string_view(name) != PEM_STRING_X509_OLD) continue;
    const std::string_view der(reinterpret_cast<const char*>(data), static_cast<std::size_t>(size));
    CertPtr certificate = chain.leaf ? issuerFromDer(der) : certificateWithoutKey(der);
    if (!certificate) fail("certificate " + std::to_string(chain.size() + 1) + " of the chain cannot be read");
    if (chain.leaf) {
      chain.issuers.push_back(std::move(certificate));
    } else {
      chain.leafDer = der;
      chain.leaf = std::move(certificate);
    }
  }
  if (!chain.leaf)
    throw Error("there is no certificate in it; expected PEM that begins with -----BEGIN CERTIFICATE-----");
  chain.publicKey = publicKeyOf(chain.leaf.get());
  if (!chain.publicKey) fail("the public key of certificate 1 of the chain cannot be read");
  ERR_clear_error();
  return chain;
}

std::string oneLine(const X509_NAME* name) {
  const BioPtr output(BIO_new(BIO_s_mem()));
  if (!output || X509_NAME_print_ex(output.get(), name, 0,
                                    XN_FLAG_RFC2253 & ~static_cast<unsigned long>(ASN1_STRFLGS_ESC_MSB)) < 0)
    fail("cannot read a certificate's name");
  char* data = nullptr;
  const long size = BIO_get_mem_data(output.get(), &data);
  return {data, static_cast<std::size_t>(size)};
}

std::string textOf(const ASN1_STRING* value) {
  unsigned char* utf8 = nullptr;
  const int size = ASN1_STRING_to_UTF8(&utf8, value);
  if (size < 0) {
    ERR_clear_error();
    return {};
  }
  const std::unique_ptr<unsigned char, FreeBlock> own(utf8);
  return {reinterpret_cast<const char*>(utf8), static_cast<std::size_t>(size)};
}

std::string commonName(const X509_NAME* name) {
  const int at = X509_NAME_get_index_by_NID(name, NID_commonName, -1);
  return at < 0 ? std::string() : textOf(X509_NAME_ENTRY_get_data(X509_NAME_get_entry(name, at)));
}

bool isSelfSigned(X509* certificate, EVP_PKEY* publicKey) {
  return publicKey != nullptr &&
         X509_NAME_cmp(X509_get_subject_name(certificate), X509_get_issuer_name(certificate)) == 0 &&
         X509_verify(certificate, publicKey) == 1;
}

void checkOrder(const Chain& chain) {
  for (std::size_t i = 0; i + 1 < chain.size(); ++i) {
    X509* subject = chain.at(i);
    X509* issuer = chain.at(i + 1);
    const bool signedByNext =
        X509_check_issued(issuer, subject) == X509_V_OK && X509_verify(subject, X509_get0_pubkey(issuer)) == 1;
    ERR_clear_error();
    if (signedByNext) continue;
    throw Error("the chain is out of order: certificate " + std::to_string(i + 1) + " (" +
                oneLine(X509_get_subject_name(subject)) + ") is not signed by certificate " + std::to_string(i + 2) +
                " (" + oneLine(X509_get_subject_name(issuer)) +
                "); put the server's certificate first and each issuer's after it");
  }
}

// What OpenSSL would refuse at the handshake is refused now: what ssl_security_cert() asks for at our security level.
void checkStrength(const Chain& chain) {
  static_assert(securityLevel == 2);
  constexpr int leastBits = 112;
  for (std::size_t i = 0; i < chain.size(); ++i) {
    const std::string which = "certificate " + std::to_string(i + 1) + " of the chain";
    if (EVP_PKEY_get_security_bits(chain.keyAt(i)) < leastBits)
      throw Error("the key of " + which + " is too small (RSA needs 2048 bits, ECDSA 224)");
    int signature = 0;
    const bool read = X509_get_signature_info(chain.at(i), nullptr, nullptr, &signature, nullptr) == 1;
    if ((!read || signature < leastBits) && !isSelfSigned(chain.at(i), chain.keyAt(i)))
      throw Error("the signature of " + which + " is too weak (it needs SHA-256)");
  }
}

void checkKind(const EVP_PKEY* key) {
  switch (EVP_PKEY_get_base_id(key)) {
    case EVP_PKEY_RSA:
    case EVP_PKEY_RSA_PSS:
    case EVP_PKEY_EC:
    case EVP_PKEY_ED25519:
    case EVP_PKEY_ED448: return;
    default: throw Error("the private key is of a kind that servers cannot use; make one of RSA or ECDSA");
  }
}

Time timeOf(const ASN1_TIME* time) {
  std::tm utc{};
  if (ASN1_TIME_to_tm(time, &utc) != 1) fail("the certificate has a date that cannot be read");
  return Time(std::chrono::seconds(timegm(&utc)));
}

std::string serialOf(const X509* certificate) {
  const Owned<BIGNUM, BN_free> number(ASN1_INTEGER_to_BN(X509_get0_serialNumber(certificate), nullptr));
  if (!number) fail("the certificate has a serial number that cannot be read");
  const std::unique_ptr<char, FreeBlock> digits(BN_bn2hex(number.get()));
  if (!digits) fail("the certificate has a serial number that cannot be read");
  return lower(digits.get());
}

std::vector<std::string> namesOf(X509* certificate) {
  const Owned<GENERAL_NAMES, GENERAL_NAMES_free> alternatives(
      static_cast<GENERAL_NAMES*>(X509_get_ext_d2i(certificate, NID_subject_alt_name, nullptr, nullptr)));
  std::vector<std::string> names;
  if (!alternatives) {
    ERR_clear_error();
    const std::string name = commonName(X509_get_subject_name(certificate));
    if (!name.empty()) names.push_back(lower(name));
    return names;
  }
  for (int i = 0; i < sk_GENERAL_NAME_num(alternatives.get()); ++i) {
    const GENERAL_NAME* alternative = sk_GENERAL_NAME_value(alternatives.get(), i);
    if (alternative->type == GEN_DNS) {
      const auto* bytes = reinterpret_cast<const char*>(ASN1_STRING_get0_data(alternative->d.dNSName));
      const std::string_view name(bytes, static_cast<std::size_t>(ASN1_STRING_length(alternative->d.dNSName)));
      // A NUL inside a name is how certificates for other people's names were once forged.
      if (!name.empty() && name.find('\0') == std::string_view::npos) names.push_back(lower(name));
    } else if (alternative->type == GEN_IPADD) {
      const unsigned char* bytes = ASN1_STRING_get0_data(alternative->d.iPAddress);
      const int size = ASN1_STRING_length(alternative->d.iPAddress);
      char text[INET6_ADDRSTRLEN];
      if ((size == 4 && inet_ntop(AF_INET, bytes, text, sizeof text) != nullptr) ||
          (size == 16 && inet_ntop(AF_INET6, bytes, text, sizeof text) != nullptr))
        names.emplace_back(text);
    }
  }
  return names;
}

void checkKey(const Chain& chain, const EVP_PKEY* key) {
  for (std::size_t i = 0; i < chain.size(); ++i) {
    const EVP_PKEY* const own = chain.keyAt(i);
    const bool fits = own != nullptr && EVP_PKEY_eq(own, key) == 1;
    ERR_clear_error();
    if (fits && i == 0) return;
    if (fits)
      throw Error("the private key belongs to certificate " + std::to_string(i + 1) +
                  " of the chain; put the server's certificate first");
  }
  throw Error("the private key does not belong to the certificate of " + joined(namesOf(chain.leaf.get()), ", ") +
              "; give the key that its request was made with");
}

}  // namespace

CertifiedKeyRef CertifiedKey::fromPem(std::string_view chain, const Secret& key) {
  return fromPem(chain, keyFromPem(key));
}

CertifiedKeyRef CertifiedKey::fromPem(std::string_view chain, KeyPtr key) {
  if (!key) throw Error("there is no private key");
  Chain read = readChain(chain);
  checkKind(key.get());
  checkKey(read, key.get());
  checkOrder(read);
  // Clients have the root or do not trust it; sending it helps nobody.
  if (read.size() > 1 && isSelfSigned(read.issuers.back().get(), X509_get0_pubkey(read.issuers.back().get())))
    read.issuers.pop_back();
  checkStrength(read);

  X509* leaf = read.leaf.get();
  std::shared_ptr<CertifiedKey> made(new CertifiedKey);
  made->names_ = namesOf(leaf);
  made->notBefore_ = timeOf(X509_get0_notBefore(leaf));
  made->notAfter_ = timeOf(X509_get0_notAfter(leaf));
  made->serial_ = serialOf(leaf);
  made->issuer_ = commonName(X509_get_issuer_name(leaf));
  if (made->issuer_.empty()) made->issuer_ = oneLine(X509_get_issuer_name(leaf));
  made->selfSigned_ = isSelfSigned(leaf, read.publicKey.get());
  made->leafDer_ = std::move(read.leafDer);
  made->issuers_ = std::move(read.issuers);
  made->key_ = std::move(key);
  ERR_clear_error();
  return made;
}

CertifiedKey::~CertifiedKey() {
  X509_free(leaf_);
}

X509* CertifiedKey::leaf() const noexcept {
  if (X509* const known = leaf_.load(std::memory_order_acquire)) return known;
  ERR_set_mark();  // the caller may be in the middle of a handshake, with a queue of its own
  CertPtr made = certificateFromDer(leafDer_);
  ERR_pop_to_mark();
  X509* first = nullptr;  // two handshakes may come at once
  return made && leaf_.compare_exchange_strong(first, made.get(), std::memory_order_acq_rel) ? made.release() : first;
}

std::vector<CertPtr> CertifiedKey::chain() const {
  if (leaf() == nullptr) throw Error("there is no memory for a certificate");
  std::vector<CertPtr> all;
  all.push_back(share(leaf()));
  for (const auto& issuer : issuers_) all.push_back(share(issuer.get()));
  return all;
}

bool CertifiedKey::covers(std::string_view name) const {
  const std::string wanted = normalisedName(name);
  for (const auto& own : names_) {
    if (own == wanted) return true;
    if (own.starts_with("*.") && wildcardFor(wanted) == own) return true;
  }
  return false;
}

std::string CertifiedKey::keyTypeName() const {
  const int bits = EVP_PKEY_get_bits(key_.get());
  switch (EVP_PKEY_get_base_id(key_.get())) {
    case EVP_PKEY_RSA:
    case EVP_PKEY_RSA_PSS: return "rsa-" + std::to_string(bits);
    case EVP_PKEY_EC: return "ecdsa-p" + std::to_string(bits);
    case EVP_PKEY_ED25519: return "ed25519";
    case EVP_PKEY_ED448: return "ed448";
    default: break;
  }
  const char* name = EVP_PKEY_get0_type_name(key_.get());
  return name == nullptr ? "unknown" : lower(name);
}

std::string CertifiedKey::chainPem() const {
  ERR_clear_error();
  const BioPtr output(BIO_new(BIO_s_mem()));
  if (!output) fail("cannot write the certificate chain");
  const auto* der = reinterpret_cast<const unsigned char*>(leafDer_.data());
  if (PEM_write_bio(output.get(), PEM_STRING_X509, "", der, static_cast<long>(leafDer_.size())) <= 0)
    fail("cannot write the certificate chain");
  for (const auto& issuer : issuers_) {
    if (PEM_write_bio_X509(output.get(), issuer.get()) != 1) fail("cannot write the certificate chain");
  }
  char* data = nullptr;
  const long size = BIO_get_mem_data(output.get(), &data);
  return {data, static_cast<std::size_t>(size)};
}

}  // namespace postern::tls
