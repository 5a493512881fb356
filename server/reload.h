// Reload: what a new configuration changes, in words, and what of it needs a restart. Pure functions.
#pragma once

#include <string>
#include <vector>

#include "config/settings.h"

namespace postern::server {

// "listener imaps added", "listener smtp changed: hostname, tls": a line each; empty when nothing differs.
std::vector<std::string> differences(const config::Settings& before, const config::Settings& after);

// Takes back in `after` what a running server cannot change (run-as, thread-pool, control.socket, the cache path of a
// provider in use), and names each.
std::vector<std::string> keepWhatNeedsRestart(const config::Settings& before, config::Settings& after);

}  // namespace postern::server
