// DNS messages as values: questions, answers and updates (RFC 1035, RFC 2136), to bytes and back. The one place that
// knows libldns.
//
// Pure functions. Names are lower-case and without the final dot, "" is the root; bytes from the network may be
// anything.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace postern::acme {

enum class DnsType : std::uint16_t { A = 1, Ns = 2, Cname = 5, Soa = 6, Txt = 16, Aaaa = 28, Caa = 257 };

// RFC 1035 section 4.1.1, RFC 2136 section 2.2. Others are numbers without a name here.
enum class DnsRcode : std::uint8_t {
  NoError = 0,
  FormErr = 1,
  ServFail = 2,
  NxDomain = 3,
  NotImp = 4,
  Refused = 5,
  NotAuth = 9,
  NotZone = 10
};
std::string nameOf(DnsRcode rcode);  // "REFUSED"; "rcode 17"
std::string_view nameOf(DnsType type);

struct DnsRecord {
  std::string owner;
  std::uint16_t type = 0;
  std::string data;  // A, AAAA: the address; NS, CNAME: the name; TXT: its strings joined;
                     // CAA: flags, tag and value with blanks between (RFC 8659); others: empty
  bool is(DnsType wanted) const { return type == static_cast<std::uint16_t>(wanted); }
};

struct DnsMessage {
  std::uint16_t id = 0;
  bool response = false, authoritative = false, truncated = false, recursionAvailable = false;
  DnsRcode rcode = DnsRcode::NoError;
  std::string questionName;  // of the first question, or of an update's zone
  std::uint16_t questionType = 0;
  std::vector<DnsRecord> answer, authority;
};

// Throws Error postern:dns for a name that DNS cannot carry.
std::string encodeQuery(std::uint16_t id, const std::string& name, DnsType type, bool recursionDesired);

// One TXT record added to (RFC 2136 section 2.5.1) or deleted from (2.5.4) its RRset; the set's others stay.
enum class DnsChange { Add, Delete };
struct TxtRecord {
  std::string name, value;
  std::uint32_t ttl = 0;
};
std::string encodeUpdate(std::uint16_t id, const std::string& zone, DnsChange change, const TxtRecord& record);

std::optional<DnsMessage> decodeDns(std::string_view bytes);

// "Mail.Example.Org." to "mail.example.org".
std::string normalizedDnsName(std::string_view name);
// The name without its first label; "" above a top-level domain.
std::string parentOf(const std::string& name);
// Whether `name` is `zone` or below it.
bool isWithin(std::string_view name, std::string_view zone);

std::uint16_t randomDnsId();

}  // namespace postern::acme
