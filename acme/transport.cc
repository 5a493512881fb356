#include "acme/transport.h"

namespace postern::acme {

std::string HttpResponse::header(const std::string& name) const {
  auto found = headers.find(name);
  return found == headers.end() ? "" : found->second;
}

}  // namespace postern::acme
