// DnsLookup: the questions that DNS-01 needs answered: where does a name point, which zone holds it, which servers are
// authoritative for that zone.
//
// Asked are the servers that the configuration names, as far as they are authoritative or recursive for the name, then
// the system's resolvers. Nothing is cached. Any thread; everything blocks, bounded, and throws Stopped within a second
// of a stop request, Error postern:dns when nobody answers.
#pragma once

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "acme/dns_exchange.h"
#include "base/log.h"

namespace postern::acme {

// What is outside of us; tests put their own servers here.
struct DnsSurroundings {
  std::vector<DnsEndpoint> resolvers;    // recursive
  std::uint16_t authoritativePort = 53;  // of name servers that NS records name
  std::string hostsFile = "/etc/hosts";  // for a dns.server that only this machine knows
};
// From /etc/resolv.conf, as it is now.
DnsSurroundings systemDns(const std::string& resolvConf = "/etc/resolv.conf");

// "ns.example.org", "192.0.2.1:53", "[2001:db8::1]:53", "2001:db8::1"; port 53 unless given.
std::pair<std::string, std::uint16_t> parseDnsServer(const std::string& text);

class DnsLookup {
 public:
  // `server` as in dns.server, or "". Its addresses are looked up here, and an empty list of them is no error yet.
  DnsLookup(const std::string& server, DnsSurroundings surroundings, Log& log, std::stop_token stop);

  const std::vector<DnsEndpoint>& server() const { return server_; }

  // The name at the end of the CNAMEs that begin at `name`; `name` itself where there are none. A loop, or a chain of
  // more than ten, is an Error.
  std::string followed(const std::string& name, std::stop_token stop) const;
  // The zone that holds `name`; nothing when nobody shows its SOA record.
  std::optional<std::string> zoneOf(const std::string& name, std::stop_token stop) const;
  // Every address of every name server of `zone`; those that cannot be resolved are left out.
  std::vector<DnsEndpoint> nameServersOf(const std::string& zone, std::stop_token stop) const;

 private:
  DnsMessage ask(const std::string& name, DnsType type, std::stop_token stop) const;
  std::vector<std::string> addressesOf(const std::string& host, std::stop_token stop) const;
  std::uint16_t portOf(const std::string& address) const;

  const DnsSurroundings surroundings_;
  Log& log_;
  std::vector<DnsEndpoint> server_;
};

}  // namespace postern::acme
