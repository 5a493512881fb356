// Selection: which certificates answer a server name, looked up in constant time (contract, "Selection at the
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
// Certificates for the same names, one of each key type, the preferred first. Never empty.
using ShownSet = std::vector<Shown>;
ShownSet shownSet(const std::vector<CertifiedKeyRef>& certificates);

class Selection {
 public:
  struct Rule {
    std::string subject;
    CertifiedKeyRef certificate;
  };

  // The order of the contract: rules by their subject, the own certificate's names, the names of `domains`; exact ones
  // before wildcards. A rule's null certificate, or an empty set, does not exist yet and matches nothing.
  Selection(const std::vector<Rule>& rules, const std::vector<CertifiedKeyRef>& own,
            const std::vector<std::vector<CertifiedKeyRef>>& domains);

  // Null: the listener's own certificates serve this name.
  const ShownSet* find(std::string_view serverName) const;

 private:
  void add(std::string_view name, const std::shared_ptr<const ShownSet>& set);
  void addNamesOf(const std::vector<CertifiedKeyRef>& certificates);

  std::unordered_map<std::string, std::shared_ptr<const ShownSet>> byName_;  // exact names and "*.parent"
};

}  // namespace postern::tls
