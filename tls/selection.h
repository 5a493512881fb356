// Selection: which certificate answers a server name, looked up in constant time (contract, "Selection at the
// handshake").
//
// Immutable once built; any thread may look up. Names are normalised before they come here.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "tls/certified_key.h"
#include "tls/names.h"

namespace postern::tls {

// A certificate as it is put on a connection.
struct Shown {
  CertifiedKeyRef certificate;
  ChainPtr issuers;
};

class Selection {
 public:
  struct Rule {
    std::string subject;
    CertifiedKeyRef certificate;
  };

  // The order of the contract: rules by their subject, the own certificate's names, the names of `domains`; exact ones
  // before wildcards. Null certificates do not exist yet and match nothing. `own` may be null.
  Selection(const std::vector<Rule>& rules, const CertifiedKeyRef& own, const std::vector<CertifiedKeyRef>& domains);

  // Null: the listener's own certificate serves this name.
  const Shown* find(std::string_view serverName) const;

 private:
  std::shared_ptr<const Shown> shown(const CertifiedKeyRef& certificate);
  void add(std::string_view name, const CertifiedKeyRef& certificate);

  std::unordered_map<const CertifiedKey*, std::shared_ptr<const Shown>> shown_;
  std::unordered_map<std::string, std::shared_ptr<const Shown>> byName_;  // exact names and "*.parent"
};

}  // namespace postern::tls
