#include "acme/dns_lookup.h"

#include <arpa/inet.h>
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <fstream>
#include <sstream>

#include "acme/error.h"
#include "base/text.h"

namespace postern::acme {
namespace {

constexpr std::size_t longestChain = 10;

bool isAddress(const std::string& text) {
  std::array<unsigned char, 16> buffer{};
  return ::inet_pton(AF_INET, text.c_str(), buffer.data()) == 1 ||
         ::inet_pton(AF_INET6, text.c_str(), buffer.data()) == 1;
}

// The words of each line up to a comment.
std::vector<std::vector<std::string>> wordsOf(const std::string& path) {
  std::vector<std::vector<std::string>> lines;
  std::ifstream file(path);
  for (std::string line; std::getline(file, line);) {
    std::istringstream words(line.substr(0, line.find_first_of("#;")));
    lines.emplace_back();
    for (std::string word; words >> word;) lines.back().push_back(word);
  }
  return lines;
}

std::vector<std::string> fromHostsFile(const std::string& path, const std::string& host) {
  std::vector<std::string> addresses;
  for (const auto& words : wordsOf(path)) {
    const bool named = words.size() > 1 && std::any_of(words.begin() + 1, words.end(), [&](const std::string& word) {
                         return normalizedDnsName(word) == host;
                       });
    if (named && isAddress(words.front())) addresses.push_back(words.front());
  }
  return addresses;
}

bool isFinal(const DnsMessage& answer) {
  return answer.rcode == DnsRcode::NoError || answer.rcode == DnsRcode::NxDomain;
}

}  // namespace

DnsSurroundings systemDns(const std::string& resolvConf) {
  DnsSurroundings surroundings;
  for (const auto& words : wordsOf(resolvConf)) {
    if (words.size() < 2 || words[0] != "nameserver") continue;
    const std::string address = words[1].substr(0, words[1].find('%'));  // behind it a link-local address's interface
    if (isAddress(address)) surroundings.resolvers.push_back({words[1], 53});
  }
  if (surroundings.resolvers.empty()) surroundings.resolvers.push_back({"127.0.0.1", 53});  // as resolv.conf(5)
  return surroundings;
}

std::pair<std::string, std::uint16_t> parseDnsServer(const std::string& text) {
  std::string host = text, port;
  const std::size_t colon = text.rfind(':');
  if (!text.empty() && text.front() == '[') {
    const std::size_t end = text.find(']');
    host = text.substr(1, end == std::string::npos ? end : end - 1);
    if (end != std::string::npos && end + 1 < text.size() && text[end + 1] == ':') port = text.substr(end + 2);
  } else if (colon != std::string::npos && text.find(':') == colon) {  // two colons are an IPv6 address
    host = text.substr(0, colon);
    port = text.substr(colon + 1);
  }
  std::uint16_t number = 53;
  std::from_chars(port.data(), port.data() + port.size(), number);
  return {host, number};
}

DnsLookup::DnsLookup(const std::string& server, DnsSurroundings surroundings, Log& log, std::stop_token stop)
    : surroundings_(std::move(surroundings)), log_(log) {
  if (server.empty()) return;
  const auto [host, port] = parseDnsServer(server);
  for (const std::string& address : addressesOf(normalizedDnsName(host), stop)) server_.push_back({address, port});
}

DnsMessage DnsLookup::ask(const std::string& name, DnsType type, std::stop_token stop) const {
  std::vector<std::string> said;
  // True when the answer settles the matter; a referral from a server that holds other zones does not.
  const auto askOne = [&](const DnsEndpoint& server, bool named, DnsMessage& answer) {
    try {
      answer = askDns(server, name, type, true, stop);
      if (isFinal(answer) && (!named || answer.authoritative || answer.recursionAvailable)) return true;
      said.push_back(server.text() + ": " + (isFinal(answer) ? "not authoritative" : nameOf(answer.rcode)));
    } catch (const NoDnsAnswer& error) {
      said.push_back(server.text() + ": " + error.what());
    }
    return false;
  };
  DnsMessage answer;
  for (const DnsEndpoint& server : server_) {
    if (askOne(server, true, answer)) return answer;
  }
  for (const DnsEndpoint& server : surroundings_.resolvers) {
    if (askOne(server, false, answer)) return answer;
  }
  throw Error(makeProblem("postern:dns",
                          fmt::format("no DNS server answers for the {} record of {} ({}); check /etc/resolv.conf",
                                      nameOf(type), name, joined(said, "; ")),
                          name));
}

std::string DnsLookup::followed(const std::string& name, std::stop_token stop) const {
  std::vector<std::string> chain{name};
  for (;;) {
    const DnsMessage answer = ask(chain.back(), DnsType::Cname, stop);
    const auto next = std::find_if(answer.answer.begin(), answer.answer.end(), [&](const DnsRecord& record) {
      return record.is(DnsType::Cname) && record.owner == chain.back();
    });
    if (next == answer.answer.end()) return chain.back();
    const bool loops = std::find(chain.begin(), chain.end(), next->data) != chain.end();
    chain.push_back(next->data);
    if (!loops && chain.size() <= longestChain) continue;
    throw Error(makeProblem("postern:dns",
                            fmt::format("the CNAME records of {} {}: {}; mend them", name,
                                        loops ? "go round in a circle" : "are too many", joined(chain, " -> ")),
                            name));
  }
}

std::optional<std::string> DnsLookup::zoneOf(const std::string& name, std::stop_token stop) const {
  for (std::string candidate = name; !candidate.empty(); candidate = parentOf(candidate)) {
    const DnsMessage answer = ask(candidate, DnsType::Soa, stop);
    for (const auto* records : {&answer.answer, &answer.authority}) {
      for (const DnsRecord& record : *records) {
        if (record.is(DnsType::Soa) && isWithin(name, record.owner)) return record.owner;
      }
    }
  }
  return {};
}

std::vector<DnsEndpoint> DnsLookup::nameServersOf(const std::string& zone, std::stop_token stop) const {
  std::vector<DnsEndpoint> servers;
  const DnsMessage answer = ask(zone, DnsType::Ns, stop);
  for (const DnsRecord& record : answer.answer) {
    if (!record.is(DnsType::Ns)) continue;
    try {
      for (const std::string& address : addressesOf(record.data, stop)) {
        const DnsEndpoint server{address, portOf(address)};
        if (std::find(servers.begin(), servers.end(), server) == servers.end()) servers.push_back(server);
      }
    } catch (const Error& error) {
      log_.debug("acme.dns.nameserver.unresolved", {{"nameserver", record.data}, {"error", error.problem.detail}});
    }
  }
  return servers;
}

std::vector<std::string> DnsLookup::addressesOf(const std::string& host, std::stop_token stop) const {
  if (isAddress(host)) return {host};
  std::vector<std::string> addresses = fromHostsFile(surroundings_.hostsFile, host);
  if (!addresses.empty()) return addresses;
  std::optional<Error> failed;
  for (const DnsType type : {DnsType::A, DnsType::Aaaa}) {
    try {
      const DnsMessage answer = ask(host, type, stop);
      for (const DnsRecord& record : answer.answer) {
        if (record.is(type)) addresses.push_back(record.data);
      }
    } catch (const Error& error) {  // some servers fail on AAAA alone
      failed = error;
    }
  }
  if (addresses.empty() && failed) throw *failed;
  return addresses;
}

// The configured server may listen elsewhere than on 53; where an NS record leads to it, that port is known.
std::uint16_t DnsLookup::portOf(const std::string& address) const {
  const auto same =
      std::find_if(server_.begin(), server_.end(), [&](const DnsEndpoint& one) { return one.address == address; });
  return same == server_.end() ? surroundings_.authoritativePort : same->port;
}

}  // namespace postern::acme
