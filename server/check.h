// Check: what `postern check` says of a configuration that loads: for each listener its addresses, TLS mode and
// hostnames, which key decided its certificate, and what a CA will connect to. Pure.
#pragma once

#include <string>

#include "base/json.h"
#include "config/load.h"

namespace postern::server {

std::string checkText(const config::Settings& settings);
// Both the report and the diagnostics; `listeners` is empty when the configuration does not load.
Json checkJson(const config::Loaded& loaded);

}  // namespace postern::server
