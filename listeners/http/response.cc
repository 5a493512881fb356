#include "listeners/http/response.h"

#include <fmt/core.h>

#include <algorithm>
#include <array>

namespace postern::http {

std::string_view reasonPhrase(int status) {
  switch (status) {
    case 200: return "OK";
    case 204: return "No Content";
    case 301: return "Moved Permanently";
    case 302: return "Found";
    case 308: return "Permanent Redirect";
    case 400: return "Bad Request";
    case 401: return "Unauthorized";
    case 403: return "Forbidden";
    case 404: return "Not Found";
    case 405: return "Method Not Allowed";
    case 413: return "Content Too Large";
    case 431: return "Request Header Fields Too Large";
    case 500: return "Internal Server Error";
    case 503: return "Service Unavailable";
    case 505: return "HTTP Version Not Supported";
    default: return "";
  }
}

// Not strftime: its names of days and months are the locale's.
std::string httpDate(std::time_t time) {
  static constexpr std::array days{"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
  static constexpr std::array months{"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                     "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
  std::tm at{};
  gmtime_r(&time, &at);
  return fmt::format("{}, {:02} {} {} {:02}:{:02}:{:02} GMT", days[static_cast<std::size_t>(at.tm_wday)], at.tm_mday,
                     months[static_cast<std::size_t>(at.tm_mon)], at.tm_year + 1900, at.tm_hour, at.tm_min, at.tm_sec);
}

std::string serialized(const Response& response, const Framing& framing, std::time_t now) {
  const bool bodiless = response.status == 204;  // RFC 9110 section 8.6: nor may it have a Content-Length
  std::string type = response.contentType;
  type.erase(std::remove_if(type.begin(), type.end(), [](unsigned char c) { return c < 0x20 || c == 0x7f; }),
             type.end());
  std::string text =
      fmt::format("HTTP/1.1 {} {}\r\nDate: {}\r\n", response.status, reasonPhrase(response.status), httpDate(now));
  if (!bodiless) {
    if (!type.empty()) text += "Content-Type: " + type + "\r\n";
    text += fmt::format("Content-Length: {}\r\n", response.body.size());
  }
  if (response.status == 405) text += "Allow: GET, HEAD\r\n";
  if (!framing.keepAlive) {
    text += "Connection: close\r\n";
  } else if (framing.sayKeepAlive) {
    text += "Connection: keep-alive\r\n";
  }
  text += "\r\n";
  if (!bodiless && !framing.headOnly) text += response.body;
  return text;
}

}  // namespace postern::http
