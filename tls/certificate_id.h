// CertificateId: which certificate is meant, whether or not it exists yet.
//
// A value. Equal name sets under one provider are one certificate of each key type, whatever the order of the
// names (contract, "Names").
#pragma once

#include <cstddef>
#include <string>
#include <vector>

namespace postern::tls {

struct CertificateId {
  std::string source;              // "acme:<provider>" or "certificate:<name>", as `status` prints it
  std::vector<std::string> names;  // acme: lower-case A-labels, sorted, without doubles; empty for static ones
  std::string keyType;             // acme: "ecdsa-p256", as tls::nameOf; empty for static ones
  auto operator<=>(const CertificateId&) const = default;
};

struct CertificateIdHash {
  std::size_t operator()(const CertificateId& id) const;
};

// Sorts the names and drops doubles.
CertificateId acmeCertificate(const std::string& provider, std::vector<std::string> names,
                              const std::string& keyType = "ecdsa-p256");
CertificateId staticCertificate(const std::string& name);

}  // namespace postern::tls
