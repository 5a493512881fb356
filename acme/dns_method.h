// DnsMethod: how a TXT record comes into the DNS and out of it again.
//
// Any thread may call; it blocks, bounded, and throws Stopped within a second of a stop request, Error postern:dns when
// the record could not be set or removed. Other records of the same name are never touched.
#pragma once

#include <stop_token>

#include "acme/dns_message.h"
#include "acme/error.h"

namespace postern::acme {

// A change that surely did not come about: there is nothing to clean up.
struct NothingChanged : Error {
  using Error::Error;
};

struct DnsMethod {
  virtual ~DnsMethod() = default;
  virtual void add(const TxtRecord& record, std::stop_token stop) = 0;  // also throws NothingChanged
  // Done even when the order was stopped, but then within ten seconds.
  virtual void remove(const TxtRecord& record, std::stop_token stop) = 0;
};

}  // namespace postern::acme
