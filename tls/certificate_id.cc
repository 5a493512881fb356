#include "tls/certificate_id.h"

#include <algorithm>
#include <utility>

namespace postern::tls {

CertificateId acmeCertificate(const std::string& provider, std::vector<std::string> names, const std::string& keyType) {
  std::sort(names.begin(), names.end());
  names.erase(std::unique(names.begin(), names.end()), names.end());
  return {"acme:" + provider, std::move(names), keyType};
}

CertificateId staticCertificate(const std::string& name) {
  return {"certificate:" + name, {}, {}};
}

}  // namespace postern::tls
