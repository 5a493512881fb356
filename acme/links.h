// Links: the Link headers (RFC 8288) of an answer, of which RFC 8555 section 7.4.2 uses rel="alternate".
//
// Pure function; what cannot be read is passed over.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "acme/transport.h"

namespace postern::acme {

// The targets of the links with that relation, in their order, each once, resolved against `requestUrl`. At most
// `most`, and only https.
std::vector<std::string> linksOf(const HttpResponse& response, std::string_view relation, const std::string& requestUrl,
                                 std::size_t most = 20);

}  // namespace postern::acme
