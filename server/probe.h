// Probe: makes a handshake with our own listener, as a client would, and sees which certificate it really serves.
//
// "Renewed on disk, expired in memory" is the commonest complaint about certificates: after every swap the listener is
// asked over its own socket, for its own name and for further ones that it serves. No limit of the listener's refuses
// these visits. probeOnce() blocks for at most its time-out; Prober has one thread of its own.
#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <mutex>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "base/log.h"
#include "listeners/own_visits.h"
#include "listeners/settings.h"
#include "tls/certified_key.h"
#include "tls/server_context.h"

namespace postern::server {

struct ProbeTarget {
  std::string listener;
  listeners::Address address;  // as bound; an any-address is reached over loopback
  listeners::Protocol protocol;
  listeners::TlsMode tls;
  std::string serverName;         // SNI
  bool proxyHeader = false;       // the listener wants a PROXY header from us
  tls::CertifiedKeyRef expected;  // what it should serve
  bool onlyItsKeyType = false;    // another is served beside it: ask as a client that can use this one alone
};

// The targets of a listener, one for each certificate that it serves, for its own name and then for further ones: any
// of its bound addresses, and whether our own address is one of its trusted networks.
std::vector<ProbeTarget> probeTargets(const listeners::ListenerSettings& settings, const listeners::Address& bound,
                                      const std::vector<tls::CertifiedKeyRef>& served,
                                      const std::vector<tls::NameShown>& further = {});

// The same of what `context` serves now; of many further names at most `most`, and by `choice` which ones. For its own
// name a listener may show another certificate than its own: while it waits for that, one of `domains` covers the name.
std::vector<ProbeTarget> probeTargets(const listeners::ListenerSettings& settings, const listeners::Address& bound,
                                      const tls::ServerContext& context, std::size_t most, std::uint64_t choice);

struct ProbeResult {
  bool served = false;  // the expected certificate came
  std::string words;    // what came instead, or why nothing did
};
ProbeResult probeOnce(const ProbeTarget& target, std::chrono::milliseconds timeout = std::chrono::seconds(5),
                      listeners::OwnVisits* visits = nullptr);

class Prober {
 public:
  // `targets` tells what to probe for a listener now; nothing when it is gone or has no TLS. Of many names it takes
  // some, by `choice`. Called on the prober's thread. `visits` outlives the prober.
  using TargetsOf = std::function<std::vector<ProbeTarget>(const std::string& listener, std::uint64_t choice)>;
  Prober(Log& log, TargetsOf targets, listeners::OwnVisits* visits = nullptr);
  ~Prober();

  // Soon, once for all requests that come before it begins. Where much is renewed, the prober keeps to a small part of
  // a core. Any thread.
  void request(const std::string& listener);
  std::uint64_t failures() const { return failures_; }  // probes that did not see what should be served

 private:
  void run(std::stop_token stop);
  std::size_t probe(const std::string& listener, std::stop_token stop);  // how many handshakes it took

  Log& log_;
  TargetsOf targets_;
  listeners::OwnVisits* const visits_;
  std::mutex mutex_;
  std::condition_variable_any wake_;
  std::set<std::string> wanted_;
  std::atomic<std::uint64_t> failures_{0};
  std::uint64_t turn_ = 0;  // of the prober's thread
  std::jthread thread_;     // last: ends before what it uses
};

}  // namespace postern::server
