// Selection: which certificates answer a server name, looked up in constant time (contract, "Selection at the
// handshake").
//
// A value, immutable once built; any thread may look up. with() gives the next one for the cost of the names that have
// changed, and shares all the others with this one. Names are normalised before they come here.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/persistent_map.h"
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
using ShownSetRef = std::shared_ptr<const ShownSet>;
ShownSet shownSet(const std::vector<CertifiedKeyRef>& certificates);

class Selection {
 public:
  struct Rule {
    std::string subject;
    CertifiedKeyRef certificate;
  };
  // Where certificates stand, in the order of the contract: each rule, the own ones, each set of `domains`.
  using Place = std::size_t;

  // The order of the contract: rules by their subject, the own certificate's names, the names of `domains`; exact ones
  // before wildcards. A rule's null certificate, or an empty set, does not exist yet and matches nothing.
  Selection(const std::vector<Rule>& rules, const std::vector<CertifiedKeyRef>& own,
            const std::vector<std::vector<CertifiedKeyRef>>& domains);

  Place ownPlace() const { return subjects_->size(); }  // rules stand before it, domains behind it
  // Null: nothing is there.
  const ShownSet* at(Place place) const;
  // The same, with this set (null: none) at that place.
  Selection with(Place place, ShownSetRef set) const;

  // Null: the listener's own certificates serve this name.
  const ShownSet* find(std::string_view serverName) const;
  // Names that find() knows, a wildcard's as one that it covers, but for those of the own certificates; at most `most`:
  // which ones, `choice` decides.
  std::vector<std::string> furtherNames(std::size_t most, std::uint64_t choice) const;

 private:
  // Who wants a name; the first in the order of places has it.
  struct Claim {
    Place place;
    ShownSetRef set;
  };
  using Claims = std::vector<Claim>;
  using Names = PersistentMap<std::string, std::shared_ptr<const Claims>, std::hash<std::string_view>>;

  std::vector<std::string> namesAt(Place place, const ShownSet& set) const;

  std::shared_ptr<const std::vector<std::string>> subjects_;  // of the rules
  Names byName_;                                              // exact names and "*.parent"
  PersistentMap<Place, ShownSetRef> sets_;
};

}  // namespace postern::tls
