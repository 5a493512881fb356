// TestCa: a certification authority in memory, a root and an intermediate, for tests that need chains.
//
// Not thread-safe for issuing. Certificates are made against the given time, the machine's by default, because peers
// that verify a chain go by the machine's clock.
#pragma once

#include <chrono>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/secret.h"
#include "tls/certified_key.h"

namespace postern::testing {

Time machineTime();

struct IssueOptions {
  tls::KeyType keyType = tls::KeyType::EcdsaP256;
  Time notBefore = machineTime() - std::chrono::hours(1);
  Time notAfter = machineTime() + std::chrono::hours(24 * 90);
  bool withRoot = false;   // the chain's PEM ends with the root
  bool forClient = false;  // extended key usage of clients, not of servers
};

// Chain and key as they would stand in files.
struct IssuedPem {
  std::string chain;  // leaf, intermediate
  Secret key;
};

class TestCa {
 public:
  explicit TestCa(const std::string& name = "Test CA");

  tls::CertifiedKeyRef issue(const std::vector<std::string>& names, const IssueOptions& options = {}) const;
  IssuedPem issuePem(const std::vector<std::string>& names, const IssueOptions& options = {}) const;
  // What the real CA does with a request: the chain for the public key of `der`, for `names` (a CA has validated them).
  std::string chainForRequest(const std::string& der, const std::vector<std::string>& names,
                              const IssueOptions& options = {}) const;
  // The names in the subjectAltName of a request in DER.
  static std::vector<std::string> namesOfRequest(const std::string& der);

  X509* root() const { return root_.get(); }
  X509* intermediate() const { return intermediate_.get(); }
  std::string rootPem() const;
  std::string intermediatePem() const;

 private:
  std::string chainFor(EVP_PKEY* subject, const std::vector<std::string>& names, const IssueOptions& options) const;

  tls::KeyPtr rootKey_, intermediateKey_;
  tls::CertPtr root_, intermediate_;
};

std::string certificatePem(X509* certificate);

}  // namespace postern::testing
