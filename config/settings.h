// Settings: what the configuration files say, typed, validated and complete with defaults. An immutable value: the
// same files and environment give the same Settings; a reload is a difference of two of them.
#pragma once

#include <chrono>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "acme/provider.h"
#include "base/log.h"
#include "base/secret.h"
#include "listeners/mail/accounts.h"
#include "listeners/settings.h"
#include "tls/policy.h"

namespace postern::config {

struct SniEntry {
  std::string subject;      // lower case A-labels; may be "*.example.org"
  std::string certificate;  // names a [certificate.<name>]
  bool operator==(const SniEntry&) const = default;
};

// One listener: what listeners/ and tls/ are told, and what decided its certificate.
struct ListenerConfig {
  listeners::ListenerSettings listener;
  tls::Policy policy;
  std::string acme;         // provider; "" when another source decides
  std::string certificate;  // [certificate.<name>]; "" likewise
  std::string decidedBy;  // the key that decided, "server.listener.imaps.tls.acme"; "default" when none (self-signed);
                          // "" without TLS
  std::vector<SniEntry> sni;
  bool operator==(const ListenerConfig&) const = default;
};

// [certificate.<name>]: PEM, read from the files it names.
struct StaticCertificate {
  std::string name;
  std::string certificatePem;
  Secret keyPem;
  std::string certificateFile, keyFile;  // where file:/// was used; "" when the PEM stands in the configuration
  bool operator==(const StaticCertificate&) const = default;
};

struct RunAs {
  std::string user, group;  // "" = none
  bool operator==(const RunAs&) const = default;
};

struct Settings {
  std::vector<std::string> hostnames;
  listeners::SharedSettings shared;
  std::chrono::milliseconds shutdownTimeout = std::chrono::seconds(10);
  RunAs runAs;
  std::vector<ListenerConfig> listeners;  // in the order of their ids
  std::vector<acme::Provider> providers;  // likewise
  std::vector<StaticCertificate> certificates;
  std::vector<mail::Account> accounts;  // none when directory.memory.disable
  std::string maildir;                  // "" = local delivery and reading off
  std::string controlSocket;
  int threads = 1;         // global.thread-pool
  std::string eventsHook;  // program told of events; "" = none
  LogSettings log;
  std::vector<std::string> files;  // every file that was read: configuration, includes, file:, certificates, ca-file
  bool operator==(const Settings&) const = default;
};

}  // namespace postern::config
