// check(): holds every key of a document against the table of keys: unknown ones, types, and keys that are not yet in
// effect. What several keys mean together is judged by the parts that fill Settings.
#pragma once

#include "config/document.h"
#include "config/keys.h"
#include "config/report.h"
#include "config/values.h"

namespace postern::config {

void check(const Node& root, Report& report);

// One value (of a list: one of its members) in the key's type, as a canonical text, so that "60s" equals "1m".
Parsed<std::string> checkedValue(const Key& key, const Node& node);

}  // namespace postern::config
