// What CAA records (RFC 8659, RFC 8657) allow. Pure functions.
#pragma once

#include <optional>
#include <string>
#include <vector>

namespace postern::server {

// What the CA and its client are, as the records see them.
struct CaaSubject {
  std::vector<std::string> identities;  // the directory's caaIdentities; empty: unknown
  std::string accountUrl;               // "": unknown, or there is none yet
  std::vector<std::string> challenges;  // types that may be used, "tls-alpn-01"
};

struct CaaRuling {
  enum class Kind {
    Allowed,
    Unknown,   // by records that name CAs, and the directory does not say which name is its own
    Forbidden  // `why` says how
  } kind = Kind::Allowed;
  std::string why;
  std::string critical = {};  // the property that forbids it by its mere presence, "" when none does
};

// `records`: the relevant RRset, each "flags tag value". `wildcard`: the name asked for is one.
CaaRuling caaRuling(const std::vector<std::string>& records, bool wildcard, const CaaSubject& subject);

}  // namespace postern::server
