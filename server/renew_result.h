// What `postern renew --wait` says when not every certificate that was ordered has come. A pure function, any thread.
#pragma once

#include <string>
#include <vector>

#include "acme/manager.h"

namespace postern::server {

// A line for each of the `ordered` ones that is the same `after` the attempts as `before` them: the last error, or
// until when the CA's limits delay it.
std::string whyNoneCame(const std::vector<tls::CertificateId>& ordered, const acme::Status& before,
                        const acme::Status& after);

}  // namespace postern::server
