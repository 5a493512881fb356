#include "tls/certificate_id.h"

#include <algorithm>
#include <functional>
#include <string_view>
#include <utility>

namespace postern::tls {

// By position, so that names that change places between the parts are another id.
std::size_t CertificateIdHash::operator()(const CertificateId& id) const {
  std::size_t sum = 0;
  const auto add = [&sum](std::string_view part) {
    sum = (sum ^ std::hash<std::string_view>{}(part)) * 0x9e3779b97f4a7c15U;
    sum ^= sum >> 32;
  };
  add(id.source);
  add(id.keyType);
  for (const auto& name : id.names) add(name);
  return sum;
}

CertificateId acmeCertificate(const std::string& provider, std::vector<std::string> names, const std::string& keyType) {
  std::sort(names.begin(), names.end());
  names.erase(std::unique(names.begin(), names.end()), names.end());
  return {"acme:" + provider, std::move(names), keyType};
}

CertificateId staticCertificate(const std::string& name) {
  return {"certificate:" + name, {}, {}};
}

}  // namespace postern::tls
