// Propagation: waits until every authoritative server of a record's zone shows the record.
//
// A CA asks any of them, from anywhere, and one that lags fails the challenge. Asked are the servers themselves and no
// cache. One waiting, one record; the thread that waits.
#pragma once

#include <optional>
#include <stop_token>
#include <string>
#include <vector>

#include "acme/dns_lookup.h"
#include "acme/dns_message.h"
#include "acme/provider.h"
#include "base/clock.h"
#include "base/log.h"

namespace postern::acme {

class Propagation {
 public:
  Propagation(const DnsLookup& lookup, const DnsSettings& settings, Clock& clock, Log& log)
      : lookup_(lookup), settings_(settings), clock_(clock), log_(log) {}

  // Throws Error postern:dns naming the servers that do not show it when dns.propagation-timeout has passed, Stopped
  // within a second of a stop request.
  void await(const TxtRecord& record, std::stop_token stop);

 private:
  // The authoritative servers, or the configured one where none can be found; nothing, with the reason in `trouble`.
  std::vector<DnsEndpoint> findServers(const std::string& name, std::stop_token stop);
  bool shows(const DnsEndpoint& server, const TxtRecord& record, std::stop_token stop);

  const DnsLookup& lookup_;
  const DnsSettings& settings_;
  Clock& clock_;
  Log& log_;
  std::string trouble_;               // why no server could be found
  std::vector<std::string> lacking_;  // "192.0.2.1: no such record", of this round
  std::size_t asked_ = 0;             // servers that gave an answer
};

}  // namespace postern::acme
