#include "server/renew_result.h"

#include <algorithm>
#include <map>

#include "base/text.h"

namespace postern::server {

std::string whyNoneCame(const std::vector<tls::CertificateId>& ordered, const acme::Status& before,
                        const acme::Status& after) {
  const auto serial = [](const acme::CertificateStatus& one) {
    return one.certificate ? one.certificate->serial() : std::string();
  };
  std::map<tls::CertificateId, std::string> had;
  for (const auto& one : before.certificates) had[one.id] = serial(one);
  std::vector<std::string> reasons;
  for (const auto& one : after.certificates) {
    if (std::find(ordered.begin(), ordered.end(), one.id) == ordered.end()) continue;
    if (one.lastError) {
      reasons.push_back(joined(one.names) + ": " + one.lastError->type + ": " + one.lastError->detail);
    } else if (had[one.id] == serial(one)) {
      std::string reason = joined(one.names) + " (" + one.keyType + "): no new certificate has come";
      if (one.nextAttempt) {
        reason += "; the next attempt is at " + rfc3339(*one.nextAttempt) + ", see the limits in `postern status`";
      }
      reasons.push_back(std::move(reason));
    }
  }
  return reasons.empty() ? "the order did not end in a certificate" : joined(reasons, "\n");
}

}  // namespace postern::server
