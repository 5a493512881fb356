#include "acme/dns_update.h"

#include <fmt/format.h>

#include <chrono>
#include <utility>

namespace postern::acme {
namespace {

constexpr auto updateTimeout = std::chrono::seconds(5);

TsigTime wallClock() {  // the server's clock is the one it is compared with, so this is the machine's, always
  return std::chrono::floor<std::chrono::seconds>(std::chrono::system_clock::now());
}

// What TSIG's own error (RFC 8945 section 3) wants done.
std::string tsigTrouble(std::uint16_t error, const TsigKey& key) {
  switch (error) {
    case 16:
      return "BADSIG: the secret of TSIG key \"" + key.name +
             "\" is another there; compare dns.secret with the server's";
    case 17:
      return "BADKEY: it does not know TSIG key \"" + key.name + "\" with " + key.algorithm +
             "; compare dns.key and dns.tsig-algorithm with the server's";
    case 18: return "BADTIME: its clock and this machine's differ by more than five minutes; set them right";
    case 22: return "BADTRUNC: it wants a longer signature; choose another dns.tsig-algorithm";
    default: return "";
  }
}

std::string remedyOf(DnsRcode rcode, const TsigKey& key) {
  switch (rcode) {
    case DnsRcode::Refused:
      return "; allow TSIG key \"" + key.name + "\" to change TXT records there (BIND: update-policy, Knot: acl)";
    case DnsRcode::NotAuth:
    case DnsRcode::NotZone: return "; it must be the zone's primary server: check dns.server";
    case DnsRcode::NotImp: return "; it does not take dynamic updates (RFC 2136)";
    case DnsRcode::ServFail: return "; its own log says why (often: it may not write the zone's journal)";
    case DnsRcode::NoError:
    case DnsRcode::FormErr:
    case DnsRcode::NxDomain: return "";
  }
  return "";
}

}  // namespace

DnsUpdate::DnsUpdate(std::string serverName, std::vector<DnsEndpoint> servers, TsigKey key, Log& log)
    : serverName_(std::move(serverName)), servers_(std::move(servers)), key_(std::move(key)), log_(log) {}

void DnsUpdate::add(const TxtRecord& record, std::stop_token stop) {
  change(DnsChange::Add, record, std::move(stop));
}

void DnsUpdate::remove(const TxtRecord& record, std::stop_token) {
  change(DnsChange::Delete, record, {});
}

// The next address is tried only while the one before cannot have done anything.
void DnsUpdate::change(DnsChange what, const TxtRecord& record, std::stop_token stop) {
  for (std::size_t i = 0; i < servers_.size(); ++i) {
    try {
      changeAt(servers_[i], what, record, stop);
      return;
    } catch (const NoDnsAnswer& error) {
      const auto problem = makeProblem(
          "postern:dns",
          fmt::format("the DNS server {} ({}) did not answer: {}; check dns.server and that TCP port {} is open",
                      serverName_, servers_[i].text(), error.what(), servers_[i].port),
          record.name);
      if (error.mayHaveArrived) throw Error(problem);
      if (i + 1 == servers_.size()) throw NothingChanged(problem);
      log_.debug("acme.dns.server.silent", {{"server", servers_[i].text()}, {"error", error.what()}});
    }
  }
  throw NothingChanged(
      makeProblem("postern:dns", "the DNS server " + serverName_ + " has no address; check dns.server", record.name));
}

std::string DnsUpdate::zoneOf(const DnsEndpoint& server, const std::string& name, std::stop_token stop) const {
  DnsRcode last = DnsRcode::NoError;
  for (std::string candidate = name; !candidate.empty(); candidate = parentOf(candidate)) {
    DnsMessage answer;
    try {
      answer = askDns(server, candidate, DnsType::Soa, false, stop);
    } catch (const NoDnsAnswer& error) {
      throw NoDnsAnswer(error.what(), false, error.noRoute);  // a question changes nothing
    }
    last = answer.rcode;
    if (answer.rcode != DnsRcode::NoError && answer.rcode != DnsRcode::NxDomain) continue;
    for (const auto* records : {&answer.answer, &answer.authority}) {
      for (const DnsRecord& record : *records) {
        if (record.is(DnsType::Soa) && isWithin(name, record.owner)) return record.owner;
        if (!answer.authoritative && records == &answer.authority && record.is(DnsType::Ns) && !record.owner.empty() &&
            isWithin(name, record.owner)) {
          throw NothingChanged(
              makeProblem("postern:dns",
                          fmt::format("the DNS server {} does not hold {}: it delegates the zone {} to "
                                      "other servers; check dns.server",
                                      serverName_, name, record.owner),
                          name));
        }
      }
    }
  }
  throw NothingChanged(makeProblem(
      "postern:dns",
      fmt::format("the DNS server {} holds no zone for {} (its last answer was {}); check dns.server and its zones",
                  serverName_, name, nameOf(last)),
      name));
}

void DnsUpdate::changeAt(const DnsEndpoint& server, DnsChange what, const TxtRecord& record, std::stop_token stop) {
  const std::string zone = zoneOf(server, record.name, stop);
  const SignedMessage update = signWithTsig(encodeUpdate(randomDnsId(), zone, what, record), key_, wallClock());
  const std::string bytes = dnsExchange(server, update.bytes, DnsOver::Tcp, updateTimeout, stop);
  const auto answer = decodeDns(bytes);
  if (!answer || !answer->response) throw NoDnsAnswer("what came is no DNS answer", true);
  const TsigVerdict signature = verifyTsig(bytes, update.mac, key_, wallClock());
  if (answer->rcode != DnsRcode::NoError) {
    const std::string trouble = tsigTrouble(signature.error, key_);
    throw NothingChanged(makeProblem(
        "postern:dns",
        fmt::format("the DNS server {} refused the update of zone {} with {}{}", serverName_, zone,
                    nameOf(answer->rcode), trouble.empty() ? remedyOf(answer->rcode, key_) : ", " + trouble),
        record.name));
  }
  if (!signature.verified) {
    throw Error(makeProblem("postern:dns",
                            fmt::format("the answer of the DNS server {} to the update of zone {} cannot be trusted: "
                                        "{}; something between here and there changes it",
                                        serverName_, zone, signature.why),
                            record.name));
  }
  log_.info(what == DnsChange::Add ? "acme.dns.record.added" : "acme.dns.record.removed",
            {{"record", record.name}, {"zone", zone}, {"server", serverName_}});
}

}  // namespace postern::acme
