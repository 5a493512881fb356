// What an HTTP answer of a CA means: the JSON it carries, or the Error it is.
//
// Pure functions. Any body is survived: a gateway's HTML where a problem document should be becomes an Error
// postern:http that keeps the status, a redirect one that says where to.
#pragma once

#include <string>

#include "acme/error.h"
#include "acme/transport.h"
#include "base/clock.h"
#include "base/json.h"

namespace postern::acme {

// The error that an answer is whose status is not 2xx; `request` names what was asked, for the text ("newOrder").
Error refusal(const HttpResponse& response, const std::string& request, Time now);

// The body; throws Error postern:malformed, with the answer's status, when it is not a JSON object.
Json jsonObject(const HttpResponse& response, const std::string& request);

}  // namespace postern::acme
