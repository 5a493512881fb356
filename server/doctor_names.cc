#include <arpa/inet.h>
#include <ifaddrs.h>
#include <netinet/in.h>

#include <algorithm>
#include <array>
#include <set>

#include "acme/dns_lookup.h"
#include "acme/error.h"
#include "acme/solver.h"
#include "base/text.h"
#include "server/doctor.h"
#include "server/doctor_caa.h"

namespace postern::server {
namespace {

using acme::ChallengeType;
using acme::DnsType;

// One spelling for each address; "" for what is none.
std::string canonical(const std::string& text) {
  std::array<unsigned char, 16> bytes{};
  std::array<char, INET6_ADDRSTRLEN> out{};
  for (const int family : {AF_INET, AF_INET6}) {
    if (::inet_pton(family, text.c_str(), bytes.data()) == 1) {
      return ::inet_ntop(family, bytes.data(), out.data(), out.size());
    }
  }
  return "";
}

std::set<std::string> addressesOfThisMachine() {
  std::set<std::string> all;
  ifaddrs* list = nullptr;
  if (::getifaddrs(&list) != 0) return all;
  for (const ifaddrs* each = list; each != nullptr; each = each->ifa_next) {
    if (each->ifa_addr == nullptr) continue;
    std::array<char, INET6_ADDRSTRLEN> out{};
    const int family = each->ifa_addr->sa_family;
    const void* bytes = nullptr;
    if (family == AF_INET) bytes = &reinterpret_cast<const sockaddr_in*>(each->ifa_addr)->sin_addr;
    if (family == AF_INET6) bytes = &reinterpret_cast<const sockaddr_in6*>(each->ifa_addr)->sin6_addr;
    if (bytes != nullptr && ::inet_ntop(family, bytes, out.data(), out.size()) != nullptr) all.insert(out.data());
  }
  ::freeifaddrs(list);
  return all;
}

// The first resolver that settles the question. What cannot be had is words instead of an answer.
struct Answer {
  std::optional<acme::DnsMessage> message;
  bool serverFailure = false;
  std::string why;
};

Answer ask(const Examination& of, const std::string& name, DnsType type, const std::stop_token& stop) {
  Answer answer;
  std::vector<std::string> said;
  for (const auto& resolver : of.resolvers) {
    try {
      auto message = acme::askDns(resolver, name, type, true, stop);
      if (message.rcode == acme::DnsRcode::NoError || message.rcode == acme::DnsRcode::NxDomain) {
        answer.message = std::move(message);
        return answer;
      }
      answer.serverFailure = answer.serverFailure || message.rcode == acme::DnsRcode::ServFail;
      said.push_back(resolver.text() + ": " + acme::nameOf(message.rcode));
    } catch (const acme::NoDnsAnswer& error) {
      said.push_back(resolver.text() + ": " + error.what());
    }
  }
  answer.why = joined(said, "; ");
  return answer;
}

std::string withoutWildcard(const std::string& name) {
  return name.starts_with("*.") ? name.substr(2) : name;
}

std::vector<ChallengeType> typesFor(const acme::Provider& provider, const std::string& name) {
  std::vector<ChallengeType> types = provider.challenge;
  const bool wildcard = name.starts_with("*."), address = !canonical(name).empty();
  std::erase_if(types, [&](ChallengeType type) { return type == ChallengeType::Dns01 ? address : wildcard; });
  return types;
}

std::string listedTypes(const std::vector<ChallengeType>& types) {
  std::vector<std::string> names;
  names.reserve(types.size());
  for (const auto type : types) names.emplace_back(acme::nameOf(type));
  return joined(names, ", ");
}

void lookAtPlace(const std::string& name, const std::vector<std::string>& addresses, Weight weight,
                 Findings& findings) {
  const auto ours = addressesOfThisMachine();
  std::vector<std::string> others;
  for (const auto& each : addresses) {
    if (ours.count(canonical(each)) == 0) others.push_back(each);
  }
  if (others.empty()) return;
  const bool none = others.size() == addresses.size();
  findings.push_back(
      {weight, "address", name,
       joined(others, ", ") + (none ? " is no address of this machine"
                                    : " is no address of this machine, though others of the name are; "
                                      "a CA may go to any of them, IPv6 first"),
       "unless the CA's connections are forwarded here from there, change the A and AAAA records of " + name});
}

}  // namespace

Findings examineAddress(const Examination& of, const acme::Provider& provider, const std::string& name,
                        std::stop_token stop) {
  Findings findings;
  const auto types = typesFor(provider, name);
  const bool byDns = std::find(types.begin(), types.end(), ChallengeType::Dns01) != types.end();
  if (types.empty() || (byDns && types.size() == 1)) return findings;  // nobody connects
  const Weight weight = byDns ? Weight::Warning : Weight::Error;
  if (!canonical(name).empty()) {
    lookAtPlace(name, {name}, Weight::Warning, findings);
    return findings;
  }
  std::vector<std::string> addresses;
  std::string trouble;
  for (const DnsType type : {DnsType::A, DnsType::Aaaa}) {
    const Answer answer = ask(of, name, type, stop);
    if (!answer.message) {
      trouble = answer.why;
      continue;
    }
    for (const auto& record : answer.message->answer) {
      if (record.is(type)) addresses.push_back(record.data);
    }
  }
  if (!addresses.empty()) {
    lookAtPlace(name, addresses, Weight::Warning, findings);
  } else if (!trouble.empty()) {
    findings.push_back({weight, "address", name, "its addresses cannot be looked up (" + trouble + ")",
                        "check the zone's name servers and DNSSEC, and /etc/resolv.conf"});
  } else {
    findings.push_back(
        {weight, "address", name,
         "there is no A or AAAA record; a CA that validates by " + listedTypes(types) + " has nowhere to connect",
         "publish an A or AAAA record of this host for " + name});
  }
  return findings;
}

Findings examineCaa(const Examination& of, const acme::Provider& provider, const std::string& name,
                    const DirectoryFacts& facts, std::stop_token stop) {
  if (!canonical(name).empty()) return {};  // CAA is about names
  CaaSubject subject{facts.meta["caaIdentities"].stringList(), facts.accountUrl, {}};
  for (auto& each : subject.identities) each = lower(each);
  for (const auto type : typesFor(provider, name)) subject.challenges.emplace_back(acme::nameOf(type));
  // RFC 8659 section 3: the first name on the way to the root that has any.
  for (std::string at = withoutWildcard(name); !at.empty(); at = acme::parentOf(at)) {
    const Answer answer = ask(of, at, DnsType::Caa, stop);
    if (!answer.message) {
      return {
          {answer.serverFailure ? Weight::Error : Weight::Warning, "caa", name,
           "the CAA records of " + at + " cannot be looked up (" + answer.why + "); a CA that cannot either refuses",
           "check the zone's name servers and DNSSEC; they must answer questions for CAA"}};
    }
    std::vector<std::string> records;
    for (const auto& record : answer.message->answer) {
      if (record.is(DnsType::Caa)) records.push_back(record.data);
    }
    if (records.empty()) continue;
    const CaaRuling ruling = caaRuling(records, name.starts_with("*."), subject);
    switch (ruling.kind) {
      case CaaRuling::Kind::Allowed: return {};
      case CaaRuling::Kind::Unknown:
        return {{Weight::Note, "caa", name,
                 "the CAA records of " + at + " let only " + ruling.why +
                     " issue, and the directory does not say by which name the CA goes",
                 "make sure that the name of " + provider.name + "'s CA is among them"}};
      case CaaRuling::Kind::Forbidden: {
        const std::string tag = name.starts_with("*.") ? "issuewild" : "issue";
        const std::string identity = subject.identities.empty() ? "<the CA's name>" : subject.identities.front();
        return {{Weight::Error, "caa", name, "the CAA records of " + at + " forbid it: " + ruling.why,
                 ruling.critical.empty()
                     ? "add to " + at + ": CAA 0 " + tag + " \"" + identity + "\", or change what is there"
                     : "remove the record of " + ruling.critical + " from " + at + ", or give it the flag 0"}};
      }
    }
  }
  return {};
}

Findings examineZone(const Examination& of, const acme::Provider& provider, const std::string& name, Log& log,
                     std::stop_token stop) {
  const auto types = typesFor(provider, name);
  if (std::find(types.begin(), types.end(), ChallengeType::Dns01) == types.end()) return {};
  const Weight weight = types.size() == 1 ? Weight::Error : Weight::Warning;
  const std::string record = "_acme-challenge." + withoutWildcard(name);
  const auto finding = [&](Weight how, const std::string& problem, const std::string& remedy) {
    return Findings{{how, "dns", name, problem, remedy}};
  };
  try {
    auto surroundings = acme::systemDns();
    surroundings.resolvers = of.resolvers;
    const acme::DnsLookup lookup(provider.dns.server, surroundings, log, stop);
    if (!provider.dns.server.empty() && lookup.server().empty()) {
      return finding(weight, "the server " + provider.dns.server + " has no address",
                     "set acme." + provider.name + ".dns.server to one that can be resolved");
    }
    const std::string target = lookup.followed(record, stop);
    const auto zone = lookup.zoneOf(target, stop);
    if (!zone) {
      return finding(weight, "nobody is authoritative for " + target,
                     "delegate its zone, or let " + record + " point into one that is (CNAME)");
    }
    auto servers = lookup.nameServersOf(*zone, stop);
    if (servers.empty()) servers = lookup.server();
    std::vector<std::string> silent;
    for (const auto& server : servers) {
      try {
        const auto answer = acme::askDns(server, *zone, DnsType::Soa, false, stop);
        if (!answer.authoritative) silent.push_back(server.text() + ": not authoritative");
      } catch (const acme::NoDnsAnswer& error) {
        if (!error.noRoute) silent.push_back(server.text() + ": " + error.what());
      }
    }
    if (servers.empty()) {
      return finding(weight, "the zone " + *zone + " of " + target + " shows no name server with an address",
                     "mend the NS records of " + *zone);
    }
    if (silent.empty()) return {};
    return finding(silent.size() == servers.size() ? weight : Weight::Warning,
                   "not every authoritative server of " + *zone + " answers (" + joined(silent, "; ") + ")",
                   "mend them or their NS records: each must show the record before the CA is told, and a CA may ask "
                   "any of them");
  } catch (const acme::Error& error) {
    return finding(weight, error.problem.detail, "check the zone's delegation and its name servers");
  }
}

}  // namespace postern::server
