// Retry-After (RFC 9110 section 10.2.3) in both of its forms: seconds, or a date.
//
// Pure functions. What a CA tells is kept within bounds, so that neither "0" makes a busy loop nor a slip of its
// operator ends renewals for ever.
#pragma once

#include <optional>
#include <string_view>

#include "acme/transport.h"
#include "base/clock.h"

namespace postern::acme {

// An IMF-fixdate, "Sun, 06 Nov 1994 08:49:37 GMT".
std::optional<Time> parseHttpDate(std::string_view text);

// When to come back: from one second after `now` to a day after it; to seven days where the answer is a 429 or 503,
// which says how long a limit lasts. Nothing when the header is absent or says nothing that can be read.
std::optional<Time> retryAfter(const HttpResponse& response, Time now);

// The same for a resource that is polled, except that a time that has come already ("0", a date in the past) is nothing
// told: then the pauses of Polling hold.
std::optional<Time> pollAfter(const HttpResponse& response, Time now);

}  // namespace postern::acme
