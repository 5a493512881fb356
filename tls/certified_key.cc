#include "tls/certified_key.h"

#include <arpa/inet.h>
#include <climits>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include <optional>
#include <utility>

#include "base/text.h"
#include "tls/issuers.h"
#include "tls/names.h"

namespace postern::tls {
namespace {

struct FreeBlock {
  void operator()(void* p) const noexcept { OPENSSL_free(p); }
};

std::vector<CertPtr> readChain(std::string_view pem) {
  if (pem.size() > INT_MAX) throw Error("the certificate chain is too large");
  ERR_clear_error();
  const BioPtr input(BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size())));
  if (!input) fail("cannot read the certificate chain");
  std::vector<CertPtr> chain;
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
    const unsigned char* at = data;
    CertPtr certificate = chain.empty()
                              ? CertPtr(d2i_X509(nullptr, &at, size))
                              : issuerFromDer({reinterpret_cast<const char*>(data), static_cast<std::size_t>(size)});
    if (!certificate) fail("certificate " + std::to_string(chain.size() + 1) + " of the chain cannot be read");
    chain.push_back(std::move(certificate));
  }
  if (chain.empty())
    throw Error("there is no certificate in it; expected PEM that begins with -----BEGIN CERTIFICATE-----");
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

bool isSelfSigned(X509* certificate) {
  return X509_self_signed(certificate, 1) == 1;
}

void checkOrder(const std::vector<CertPtr>& chain) {
  for (std::size_t i = 0; i + 1 < chain.size(); ++i) {
    X509* subject = chain[i].get();
    X509* issuer = chain[i + 1].get();
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

// What OpenSSL would refuse at the handshake, it is asked to refuse now.
void checkStrength(const std::vector<CertPtr>& chain, EVP_PKEY* key) {
  // One for all: making an SSL_CTX costs a good part of reading a certificate.
  static const SslCtxPtr context = [] {
    SslCtxPtr made(SSL_CTX_new(TLS_server_method()));
    if (made) SSL_CTX_set_security_level(made.get(), securityLevel);
    return made;
  }();
  const SslPtr scratch(context ? SSL_new(context.get()) : nullptr);
  if (!scratch) fail("cannot check the certificate");
  const ChainPtr issuers = issuersOf(chain);
  if (SSL_use_cert_and_key(scratch.get(), chain.front().get(), key, issuers.get(), 1) != 1)
    fail("the certificate is too weak to be used (RSA needs 2048 bits, ECDSA 224, signatures SHA-256)");
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

void checkKey(const std::vector<CertPtr>& chain, const EVP_PKEY* key) {
  for (std::size_t i = 0; i < chain.size(); ++i) {
    const bool fits = X509_check_private_key(chain[i].get(), key) == 1;
    ERR_clear_error();
    if (fits && i == 0) return;
    if (fits)
      throw Error("the private key belongs to certificate " + std::to_string(i + 1) +
                  " of the chain; put the server's certificate first");
  }
  throw Error("the private key does not belong to the certificate of " + joined(namesOf(chain[0].get()), ", ") +
              "; give the key that its request was made with");
}

}  // namespace

CertifiedKeyRef CertifiedKey::fromPem(std::string_view chain, const Secret& key) {
  return fromPem(chain, keyFromPem(key));
}

CertifiedKeyRef CertifiedKey::fromPem(std::string_view chain, KeyPtr key) {
  if (!key) throw Error("there is no private key");
  std::vector<CertPtr> certificates = readChain(chain);
  checkKey(certificates, key.get());
  checkOrder(certificates);
  // Clients have the root or do not trust it; sending it helps nobody.
  if (certificates.size() > 1 && isSelfSigned(certificates.back().get())) certificates.pop_back();
  checkStrength(certificates, key.get());

  X509* leaf = certificates.front().get();
  std::shared_ptr<CertifiedKey> made(new CertifiedKey);
  made->names_ = namesOf(leaf);
  made->notBefore_ = timeOf(X509_get0_notBefore(leaf));
  made->notAfter_ = timeOf(X509_get0_notAfter(leaf));
  made->serial_ = serialOf(leaf);
  made->issuer_ = commonName(X509_get_issuer_name(leaf));
  if (made->issuer_.empty()) made->issuer_ = oneLine(X509_get_issuer_name(leaf));
  made->selfSigned_ = isSelfSigned(leaf);
  made->chain_ = std::move(certificates);
  made->key_ = std::move(key);
  ERR_clear_error();
  return made;
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
  for (const auto& certificate : chain_) {
    if (PEM_write_bio_X509(output.get(), certificate.get()) != 1) fail("cannot write the certificate chain");
  }
  char* data = nullptr;
  const long size = BIO_get_mem_data(output.get(), &data);
  return {data, static_cast<std::size_t>(size)};
}

}  // namespace postern::tls
