// The commands for the rest of the ACME life cycle: `revoke` and `account show|rollover|deactivate`.
#pragma once

#include <CLI/CLI.hpp>

#include <functional>
#include <optional>
#include <string>

namespace postern::server {

// Adds them to `app`; the one that was given sets `chosen`, which returns the exit status.
void addLifeCycleCommands(CLI::App& app, std::function<int()>& chosen);

// A reason for a revocation by its name or number in RFC 5280 section 5.3.1 ("keyCompromise", "1"); nothing for
// another. Which of them a CA takes is the CA's business (RFC 8555 section 7.6).
std::optional<int> revocationReason(const std::string& text);

}  // namespace postern::server
