// Suitability: what clients have against a certificate that OpenSSL serves all the same.
//
// A pure function; any thread. Whoever is refused for such a reason finds nothing of it in the server's log: the
// objection is the client's, or is "no shared cipher".
#pragma once

#include <string>
#include <vector>

#include "tls/certified_key.h"

namespace postern::tls {

struct Objection {
  std::string problem;  // "its key usage ..."
  std::string remedy;
};
// None for a certificate as public CAs issue them, served with its chain. Dates and names are not looked at.
std::vector<Objection> objectionsTo(const CertifiedKey& certificate);

}  // namespace postern::tls
