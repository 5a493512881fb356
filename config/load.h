// load(): configuration files become Settings, or every problem at once.
//
// Reads files, binds nothing, contacts nobody. Any thread.
#pragma once

#include <functional>
#include <map>
#include <optional>
#include <string>

#include "config/diagnostics.h"
#include "config/settings.h"

namespace postern::config {

struct Loaded {
  std::optional<Settings> settings;  // nothing when there are errors
  Diagnostics diagnostics;
  // Where the sections stand, for whoever finds fault with one later: "certificate/<name>", "listener/<id>",
  // "acme/<name>" (the ids whole, unquoted).
  std::map<std::string, Place> places;
};

// What loading takes from its surroundings; a test gives its own.
struct Surroundings {
  std::function<std::optional<std::string>(const std::string& name)> environment;  // for %{env:NAME}%
  int cores = 1;                                                                   // default of global.thread-pool
  std::string runtimeDirectory;                                                    // $RUNTIME_DIRECTORY, "" when unset
  std::function<bool(const std::string& name)> groupExists;  // of the system's groups; empty: each counts as there
  std::function<void(const std::string& path)> touches;      // told of each path before it is looked at; may be empty
};
Surroundings ofThisProcess();

Loaded load(const std::string& file, const Surroundings& surroundings = ofThisProcess());

// The same of a text in memory, called `name` in diagnostics. It touches no file: includes, %{file:}% and file:/// are
// errors there. For fuzzing and tests.
Loaded loadText(const std::string& text, const std::string& name, const Surroundings& surroundings);

}  // namespace postern::config
