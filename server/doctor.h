// Doctor: `postern doctor`: looks for what would make issuance or renewal fail, and says how to mend each finding.
//
// Advisory: it changes nothing and takes no lock that it does not give back at once. It contacts only what the
// configuration names (each directory, the control socket, the name servers of the names' zones) and the resolver;
// every look is bounded by seconds, many go on at once, and whatever is not done in time is a finding of its own. A
// look that the kernel does not let go (at a network file system that hangs) is left behind: so what looks share lives
// in shared pointers and in Noted, and the command does it all in a child process (server/in_child.h).
#pragma once

#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "acme/dns_exchange.h"
#include "acme/manager.h"
#include "base/clock.h"
#include "base/json.h"
#include "base/log.h"
#include "config/settings.h"
#include "server/privileges.h"

namespace postern::server {

// Behind the name of a section: the staging that it names by its URL, which has its settings otherwise.
inline constexpr std::string_view stagingByUrl = " (staging)";

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

// What a look found out besides its findings. Any thread: one that was left behind may still put something in.
template <class T>
class Noted {
 public:
  void put(T value) {
    std::lock_guard lock(mutex_);
    value_ = std::move(value);
  }
  std::optional<T> get() const {
    std::lock_guard lock(mutex_);
    return value_;
  }

 private:
  mutable std::mutex mutex_;
  std::optional<T> value_;
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
// A program that `key` names.
Findings examineHook(const Examination& of, const std::string& key, const std::string& program);
// --- doctor_cache.cc
Findings examineCache(const Examination& of, const std::string& cache, std::stop_token stop = {});
Findings examineAccount(const Examination& of, const acme::Provider& provider, DirectoryFacts& facts);
Findings examineLedger(const Examination& of, const acme::Provider& provider, Log& log);
// The certificates whose own provider that is.
Findings examineCertificates(const Examination& of, const acme::Provider& provider, Log& log,
                             std::stop_token stop = {});

// --- doctor_run.cc
struct Examined {
  std::string check, subject;
  std::function<Findings(std::stop_token)> look;
};
// Does all of them, many at once, within `limit`, and a few seconds more for those that obey their stop token; findings
// in the order of the examinations. What never returns goes on behind our back: `look` owns what it needs.
Findings examineAll(std::vector<Examined> all, Duration limit);
// What the look on this thread is about to touch on disk ("": nothing any more): the finding names it when the look
// never returns.
void lookingAt(const std::string& path);

// --- doctor_mounts.cc
// The finding about a path that did not answer within `limit`. `mountinfo`: proc(5)'s table, which is read without
// touching what is mounted.
Finding hungPath(const std::string& path, Duration limit, const std::string& mountinfo = "/proc/self/mountinfo");
std::string mountPointOf(const std::string& path);  // "/" where the table cannot be read

// --- doctor.cc
// Everything about a configuration that has loaded.
Findings examine(const std::shared_ptr<const Examination>& of, const std::shared_ptr<Log>& log);

// `postern COMMAND`, with the socket where a client would not find it by itself.
std::string commandFor(const Examination& of, const std::string& command);

std::string doctorText(const Findings& findings);
Json doctorJson(const Findings& findings);

// --- doctor_command.cc
// Whether it is an address, "[::1]" too, with a port behind it or not.
bool isResolver(const std::string& text);

// The command. `resolver` "": the system's. Returns the exit status: 1 when there is an error among the findings.
int doctor(const std::string& configFile, bool json, const std::string& resolver);

}  // namespace postern::server
