#include "acme/solver.h"

namespace postern::acme {

std::string_view nameOf(ChallengeType type) {
  switch (type) {
    case ChallengeType::TlsAlpn01: return "tls-alpn-01";
    case ChallengeType::Http01: return "http-01";
    case ChallengeType::Dns01: return "dns-01";
  }
  return "";
}

}  // namespace postern::acme
