// What the commands that talk to a running server share: how they find it, and how they ask.
#pragma once

#include <CLI/CLI.hpp>

#include <optional>
#include <string>

#include "base/json.h"

namespace postern::server {

struct ServerPlace {
  std::string socket, config;

  void addTo(CLI::App& command);
  std::string path() const;  // of the control socket; throws std::runtime_error when the configuration cannot be loaded
};

// Sends the request; prints the reason on stderr and returns nothing when the server refused. Throws as askServer().
std::optional<Json> ask(const ServerPlace& place, const Json& request);

}  // namespace postern::server
