// Transport: one HTTPS exchange with a CA. The network's edge: tests put a fake CA behind it.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <stop_token>
#include <string>

#include "base/clock.h"

namespace postern::acme {

struct Provider;

struct HttpRequest {
  std::string method;  // "HEAD", "GET", "POST"
  std::string url;
  std::string body;                             // for POST; sent as application/jose+json
  Duration timeout = std::chrono::seconds(30);  // for the whole exchange
};

struct HttpResponse {
  int status = 0;
  std::multimap<std::string, std::string> headers;    // names in lower case
  std::string body;                                   // at most 1 MiB; more is an error of the transport
  std::string header(const std::string& name) const;  // the first value, "" when absent
};

// Any thread may call send(); it blocks. Throws acme::Error (postern:timeout, postern:connection, postern:http) when
// there is no whole answer, Stopped within a second of a stop request. Redirects are answers like any other.
struct Transport {
  virtual ~Transport() = default;
  virtual HttpResponse send(const HttpRequest& request, std::stop_token stop) = 0;
};

// How the manager comes by the transport of a provider (trust depends on ca-file).
using TransportFactory = std::function<std::unique_ptr<Transport>(const Provider& provider)>;

// libcurl: connections reused, https only, the system's trust plus the provider's ca-file, User-Agent
// "postern/<version> (+url)". `userAgent` is that whole string. `systemStore`: the folder of the system's certificates
// under their hash names; "" is the one that libcurl was built for.
TransportFactory curlTransports(std::string userAgent, std::string systemStore = "");

}  // namespace postern::acme
