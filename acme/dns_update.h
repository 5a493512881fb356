// DnsUpdate: sets TXT records by dynamic update (RFC 2136), signed with TSIG (RFC 8945), at the server of a zone.
//
// Over TCP: an update is never sent twice, and its answer is not cut. The zone is found by asking that server for SOA
// records from the name upwards. Any thread; errors name server, zone, rcode and remedy.
#pragma once

#include <vector>

#include "acme/dns_exchange.h"
#include "acme/dns_method.h"
#include "acme/dns_tsig.h"
#include "base/log.h"

namespace postern::acme {

class DnsUpdate : public DnsMethod {
 public:
  // `servers` are the addresses of one server, tried in this order; `serverName` is how the configuration calls it.
  DnsUpdate(std::string serverName, std::vector<DnsEndpoint> servers, TsigKey key, Log& log);

  void add(const TxtRecord& record, std::stop_token stop) override;
  void remove(const TxtRecord& record, std::stop_token stop) override;

 private:
  std::string zoneOf(const DnsEndpoint& server, const std::string& name, std::stop_token stop) const;
  void change(DnsChange what, const TxtRecord& record, std::stop_token stop);
  void changeAt(const DnsEndpoint& server, DnsChange what, const TxtRecord& record, std::stop_token stop);

  const std::string serverName_;
  const std::vector<DnsEndpoint> servers_;
  const TsigKey key_;
  Log& log_;
};

}  // namespace postern::acme
