// CertifiedKey: a private key and the certificate chain made out for it, as one value that was checked once.
//
// Immutable; any thread may read. Handed around as shared_ptr<const CertifiedKey>, because a running handshake, the
// store and a context may hold the same one. The leaf is kept as DER and read when it is asked for first, by whichever
// handshake that is (0.2 ms): most of thousands are not asked for in the life of the process. Making one is the check:
// a CertifiedKey whose key does not fit its leaf, or whose chain is out of order, does not exist. Errors are tls::Error
// with what is wrong and, where it can be told, how to mend it.
#pragma once

#include <atomic>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "base/secret.h"
#include "tls/openssl.h"

namespace postern::tls {

enum class KeyType { EcdsaP256, EcdsaP384, Rsa2048, Rsa3072, Rsa4096 };
std::string_view nameOf(KeyType type);  // "ecdsa-p256", as the configuration has it

KeyPtr generateKey(KeyType type);
KeyPtr keyFromPem(const Secret& pem);  // throws Error; encrypted keys are refused, saying so
Secret keyToPem(EVP_PKEY* key);        // PKCS #8

class CertifiedKey {
 public:
  // `chain` is PEM, leaf first, each certificate signed by the next; a self-signed root at the end is dropped.
  static std::shared_ptr<const CertifiedKey> fromPem(std::string_view chain, const Secret& key);
  static std::shared_ptr<const CertifiedKey> fromPem(std::string_view chain, KeyPtr key);

  ~CertifiedKey();

  EVP_PKEY* key() const { return key_.get(); }
  X509* leaf() const noexcept;  // null when there is no memory for it
  const std::vector<CertPtr>& issuers() const { return issuers_; }
  std::vector<CertPtr> chain() const;  // leaf first; throws Error when there is no memory for it
  const std::string& leafDer() const { return leafDer_; }

  // dNSNames and iPAddresses of the subjectAltName, lower case; the common name only where there is no subjectAltName.
  const std::vector<std::string>& names() const { return names_; }
  bool covers(std::string_view name) const;  // exact, or a wildcard for one label (RFC 6125 section 6.4.3)
  Time notBefore() const { return notBefore_; }
  Time notAfter() const { return notAfter_; }
  bool validAt(Time now) const { return notBefore_ <= now && now < notAfter_; }
  const std::string& serial() const { return serial_; }  // lower-case hexadecimal
  const std::string& issuer() const { return issuer_; }  // common name, or the whole name where there is none
  std::string keyTypeName() const;                       // "ecdsa-p256", "rsa-2048"; "ed25519" for what we do not make
  bool selfSigned() const { return selfSigned_; }
  std::string chainPem() const;

 private:
  CertifiedKey() = default;
  KeyPtr key_;
  std::string leafDer_;
  mutable std::atomic<X509*> leaf_ = nullptr;  // owned; set once
  std::vector<CertPtr> issuers_;               // the leaf's first
  std::vector<std::string> names_;
  Time notBefore_{}, notAfter_{};
  std::string serial_, issuer_;
  bool selfSigned_ = false;
};
using CertifiedKeyRef = std::shared_ptr<const CertifiedKey>;

// A self-signed certificate for `names` (the first is primary), for while nothing better exists. `key` is shared, so
// that the certificate which replaces it can be for the same key.
CertifiedKeyRef makeSelfSigned(EVP_PKEY* key, const std::vector<std::string>& names, Time now);

// The certificate of RFC 8737 section 3: self-signed, `name` alone in subjectAltName, a critical acmeIdentifier with
// `digest`, the 32 bytes of SHA-256 of the key authorization.
CertifiedKeyRef makeChallengeCertificate(const std::string& name, std::string_view digest, Time now);

// A PKCS #10 request for `names` (dNSName or iPAddress), signed with `key`; DER.
std::string certificateRequest(EVP_PKEY* key, const std::vector<std::string>& names);

}  // namespace postern::tls
