// Configurations for the tests of server/, from text.
#pragma once

#include <gtest/gtest.h>

#include <string>

#include "config/load.h"

namespace postern::server::testing {

// A listener with ACME, and nothing else.
inline const std::string base = R"(
server.hostname = "mail.example.org"
server.tls.acme = "le"
[server.listener.imaps]
bind = "127.0.0.1:993"
protocol = "imap"
[acme.le]
cache = "cache"
)";

inline config::Loaded loaded(const std::string& text) {
  config::Surroundings surroundings;
  surroundings.environment = [](const std::string&) { return std::nullopt; };
  surroundings.runtimeDirectory = "/run/postern";
  return config::loadText(text, "postern.toml", surroundings);
}

inline config::Settings settings(const std::string& text) {
  const auto result = loaded(text);
  if (!result.settings) ADD_FAILURE() << result.diagnostics.text();
  return result.settings.value_or(config::Settings{});
}

}  // namespace postern::server::testing
