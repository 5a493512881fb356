#include "server/load_all.h"

#include "server/plans.h"

namespace postern::server {

Everything loadAll(const std::string& file, Time now, const config::Surroundings& surroundings) {
  Everything result;
  result.loaded = config::load(file, surroundings);
  if (surroundings.touches) surroundings.touches("");
  if (!result.loaded.settings) return result;
  result.statics = staticCertificates(result.loaded, now, result.loaded.diagnostics);
  tryPolicies(result.loaded, result.loaded.diagnostics);
  if (result.loaded.diagnostics.hasErrors()) result.loaded.settings.reset();
  return result;
}

}  // namespace postern::server
