// DnsSolver: answers DNS-01 (RFC 8555 section 8.4) with a TXT record at `_acme-challenge.<name>`, or where a CNAME
// there leads to; set by RFC 2136 or by the hook program, and looked for at every authoritative server before the CA is
// told.
//
// Any thread. Several values at one name live beside each other: example.org and *.example.org in one order need two.
// Two orders that need the same value share it; it is removed when the second is done. The clock and the log must
// outlive the solver and every answer it has put up.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <utility>

#include "acme/dns_lookup.h"
#include "acme/dns_method.h"
#include "acme/provider.h"
#include "acme/solver.h"
#include "base/clock.h"
#include "base/log.h"

namespace postern::acme {

// base64url of the SHA-256 of the key authorization (RFC 8555 section 8.4).
std::string dnsChallengeValue(const std::string& keyAuthorization);

class DnsSolver : public Solver {
 public:
  using Surroundings = std::function<DnsSurroundings()>;

  DnsSolver(
      const Provider& provider, Clock& clock, Log& log, Surroundings surroundings = [] { return systemDns(); });

  ChallengeType type() const override { return ChallengeType::Dns01; }
  // Throws Error postern:dns when the record cannot be set, postern:challenge for an IP address, which has no DNS-01
  // (RFC 8738 section 7).
  std::unique_ptr<Presented> present(const ChallengeAnswer& answer, std::stop_token stop) override;

  // The records that are needed now, by name and value.
  struct Needed {
    struct Record {
      int holders = 0;
      bool mayBeThere = false;
    };
    std::mutex mutex;
    std::map<std::pair<std::string, std::string>, Record> records;
  };

 private:
  std::unique_ptr<DnsMethod> methodFor(const ChallengeAnswer& answer, const DnsLookup& lookup) const;

  const std::string provider_;
  const DnsSettings settings_;
  Clock& clock_;
  Log& log_;
  const Surroundings surroundings_;
  const std::shared_ptr<Needed> needed_ = std::make_shared<Needed>();
};

}  // namespace postern::acme
