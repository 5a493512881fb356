#include "acme/dns_propagation.h"

#include <fmt/format.h>

#include <algorithm>

#include "acme/error.h"
#include "base/text.h"

namespace postern::acme {

void Propagation::await(const TxtRecord& record, std::stop_token stop) {
  const Time begun = clock_.now();
  const Time until = begun + settings_.propagationTimeout;
  std::optional<std::vector<DnsEndpoint>> left;  // that have not shown it yet
  std::size_t servers = 0;
  for (;;) {
    if (!left) {
      auto found = findServers(record.name, stop);
      servers = found.size();
      if (!found.empty()) left = std::move(found);
    }
    lacking_.clear();
    if (left) {
      left->erase(std::remove_if(left->begin(), left->end(),
                                 [&](const DnsEndpoint& server) { return shows(server, record, stop); }),
                  left->end());
      if (left->empty() && asked_ > 0) {
        log_.info("acme.dns.propagated",
                  {{"record", record.name}, {"servers", servers}, {"after", inWords(clock_.now() - begun)}});
        return;
      }
      if (left->empty()) {  // no way to any of them: perhaps the network comes back
        trouble_ = "no way to any of its name servers";
        left.reset();
      }
    }
    if (clock_.now() + settings_.pollingInterval > until) break;
    if (!clock_.wait(settings_.pollingInterval, stop)) throw Stopped();
  }
  const std::string reason = left ? "not shown by " + joined(lacking_, "; ") : trouble_;
  throw Error(makeProblem("postern:dns",
                          fmt::format("the TXT record {} did not reach every authoritative server within {}: {}; check "
                                      "the zone's transfers, or raise dns.propagation-timeout",
                                      record.name, inWords(settings_.propagationTimeout), reason),
                          record.name));
}

std::vector<DnsEndpoint> Propagation::findServers(const std::string& name, std::stop_token stop) {
  std::vector<DnsEndpoint> servers;
  try {
    if (const auto zone = lookup_.zoneOf(name, stop)) {
      servers = lookup_.nameServersOf(*zone, stop);
      trouble_ = "no name server of the zone " + *zone + " can be resolved";
    } else {
      trouble_ = "no zone holds it";
    }
  } catch (const Error& error) {
    trouble_ = error.problem.detail;
  }
  if (!servers.empty()) return servers;
  log_.debug("acme.dns.nameservers.unknown", {{"record", name}, {"error", trouble_}});
  return lookup_.server();
}

bool Propagation::shows(const DnsEndpoint& server, const TxtRecord& record, std::stop_token stop) {
  try {
    const DnsMessage answer = askDns(server, record.name, DnsType::Txt, false, stop);
    ++asked_;
    const bool there = std::any_of(answer.answer.begin(), answer.answer.end(), [&](const DnsRecord& one) {
      return one.is(DnsType::Txt) && one.owner == record.name && one.data == record.value;
    });
    if (!there) {
      const bool answered = answer.rcode == DnsRcode::NoError || answer.rcode == DnsRcode::NxDomain;
      const std::string found = answer.answer.empty() ? "no such record" : "another value";
      lacking_.push_back(server.text() + ": " + (answered ? found : nameOf(answer.rcode)));
    }
    return there;
  } catch (const NoDnsAnswer& error) {
    if (error.noRoute) return true;  // an IPv6 address seen from an IPv4 network: others are asked
    lacking_.push_back(server.text() + ": " + error.what());
    return false;
  }
}

}  // namespace postern::acme
