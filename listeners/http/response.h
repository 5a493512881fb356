// The bytes of an HTTP/1.1 response. Pure functions.
#pragma once

#include <ctime>
#include <string>
#include <string_view>

#include "listeners/http/session.h"

namespace postern::http {

std::string_view reasonPhrase(int status);
std::string httpDate(std::time_t time);  // RFC 9110 section 5.6.7: "Sun, 06 Nov 1994 08:49:37 GMT"

struct Framing {
  bool keepAlive = true;
  bool headOnly = false;      // HEAD: the header fields of the GET, without its body
  bool sayKeepAlive = false;  // HTTP/1.0 wants to be told
};
std::string serialized(const Response& response, const Framing& framing, std::time_t now);

}  // namespace postern::http
