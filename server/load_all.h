// loadAll(): a configuration with everything that can be found wrong with it before anything is bound: the files, the
// static certificates they name, and whether this OpenSSL can serve every listener's policy. For `run`, `check` and
// reloads alike.
#pragma once

#include <map>
#include <string>

#include "config/load.h"
#include "tls/certificate_store.h"

namespace postern::server {

struct Everything {
  config::Loaded loaded;  // `diagnostics` has all of it; settings are empty when there is an error
  std::map<tls::CertificateId, tls::CertifiedKeyRef> statics;
};

// `surroundings.touches` is told "" once all files have been read.
Everything loadAll(const std::string& file, Time now,
                   const config::Surroundings& surroundings = config::ofThisProcess());

}  // namespace postern::server
