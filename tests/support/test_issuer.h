// TestIssuer: a root and an intermediate certificate made for a test, and the certificates they sign.
//
// Any thread may issue; made once, never changed.
#pragma once

#include <string>
#include <vector>

#include "base/clock.h"
#include "tls/openssl.h"

namespace postern::test {

struct Leaf {
  std::vector<std::string> names;  // DNS names or addresses
  Time notBefore, notAfter;
  bool serverAuth = true;  // else clientAuth alone
};

class TestIssuer {
 public:
  TestIssuer();

  tls::CertPtr issue(EVP_PKEY* publicKey, const Leaf& leaf) const;  // signed by the intermediate
  std::string rootPem() const;
  std::string intermediatePem() const;
  // The intermediate certificate again, for the same key, but signed by another root of that name: what an alternate
  // chain has in its place.
  std::string crossSignedPem(const std::string& rootName) const;

 private:
  tls::KeyPtr rootKey_, intermediateKey_;
  tls::CertPtr root_, intermediate_;
};

std::string pemOf(X509* certificate);

}  // namespace postern::test
