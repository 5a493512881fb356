// Doctor: `postern doctor`: looks for what would make issuance or renewal fail, and says how to mend each finding.
//
// Advisory: it changes nothing and takes no lock that it does not give back at once. It contacts only what the
// configuration names (each directory, the control socket, the name servers of the names' zones) and the resolver;
// every probe is bounded by seconds, many go on at once, and whatever is not done in time is a finding of its own.
#pragma once

#include <functional>
#include <optional>
#include <stop_token>
#include <string>
#include <vector>

#include "acme/dns_exchange.h"
#include "acme/manager.h"
#include "base/clock.h"
#include "base/json.h"
#include "base/log.h"
#include "config/settings.h"
#include "server/privileges.h"

namespace postern::server {

// Error: issuance or renewal fails of it, now or at its time. Warning: it may. Note: worth knowing.
enum class Weight { Error, Warning, Note };

struct Finding {
  Weight weight;
  std::string check;  // "configuration", "directory", "address", "caa", "dns", "port", "clock", "cache", "ledger", ...
  std::string subject;  // a name, a provider, a path
  std::string problem, remedy;
  bool operator==(const Finding&) const = default;
};
using Findings = std::vector<Finding>;

// What is looked at. A value; any thread reads it.
struct Examination {
  config::Settings settings;
  acme::Plan plan;
  std::vector<acme::Provider> providers;  // those that a certificate needs: itself, as fallback, as staging
  std::vector<acme::DnsEndpoint> resolvers;
  acme::TransportFactory transports;
  std::optional<Identity> identity;  // whom the server becomes
  Json running;                      // status of the server that answers at the control socket; null when none does
  Time now{};
};

// What the directory said, for the checks that come after it.
struct DirectoryFacts {
  std::string provider;
  Json meta;               // null when it could not be had
  std::string accountUrl;  // on disk; "" when none
};

// --- doctor_directory.cc
Findings examineDirectory(const Examination& of, const acme::Provider& provider, DirectoryFacts& facts,
                          std::stop_token stop);
// --- doctor_names.cc
Findings examineAddress(const Examination& of, const acme::Provider& provider, const std::string& name,
                        std::stop_token stop);
Findings examineCaa(const Examination& of, const acme::Provider& provider, const std::string& name,
                    const DirectoryFacts& facts, std::stop_token stop);
Findings examineZone(const Examination& of, const acme::Provider& provider, const std::string& name, Log& log,
                     std::stop_token stop);
// --- doctor_ports.cc
Findings examinePorts(const Examination& of, const acme::Provider& provider);
Findings examineHooks(const Examination& of);
// --- doctor_cache.cc
Findings examineCache(const Examination& of, const std::string& cache);
Findings examineAccount(const Examination& of, const acme::Provider& provider, DirectoryFacts& facts);
Findings examineLedger(const Examination& of, const acme::Provider& provider, Log& log);
Findings examineCertificates(const Examination& of, Log& log);

// --- doctor_run.cc
struct Examined {
  std::string check, subject;
  std::function<Findings(std::stop_token)> look;
};
// Does all of them, many at once, within `limit`; findings in the order of the examinations.
Findings examineAll(const std::vector<Examined>& all, Duration limit);

// Everything about a configuration that has loaded.
Findings examine(const Examination& of, Log& log);

std::string doctorText(const Findings& findings);
Json doctorJson(const Findings& findings);

// The command. `resolver` "": the system's. Returns the exit status: 1 when there is an error among the findings.
int doctor(const std::string& configFile, bool json, const std::string& resolver);

}  // namespace postern::server
