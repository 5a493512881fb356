// One question to one DNS server and its answer, over UDP or TCP (RFC 1035 section 4.2). The network's edge of DNS-01.
//
// Any thread may call; it blocks, bounded by `timeout`, and throws Stopped within a second of a stop request.
#pragma once

#include <cstdint>
#include <stdexcept>
#include <stop_token>
#include <string>

#include "acme/dns_message.h"
#include "base/clock.h"

namespace postern::acme {

struct DnsEndpoint {
  std::string address;  // an IP address
  std::uint16_t port = 53;
  bool operator==(const DnsEndpoint&) const = default;
  std::string text() const;  // "192.0.2.1", "192.0.2.1:5353", "[2001:db8::1]:5353"
};

// No usable answer: the reason in words, without the server.
struct NoDnsAnswer : std::runtime_error {
  NoDnsAnswer(const std::string& why, bool mayHaveArrived_, bool noRoute_ = false)
      : std::runtime_error(why), mayHaveArrived(mayHaveArrived_), noRoute(noRoute_) {}
  bool mayHaveArrived;  // the server may have got the message and done what it says
  bool noRoute;         // this machine has no way there, or may not: an IPv6 address where there is no IPv6
};

enum class DnsOver { Udp, Tcp };

// The bytes of the answer that has the message's id. Throws NoDnsAnswer.
std::string dnsExchange(const DnsEndpoint& server, const std::string& message, DnsOver over, Duration timeout,
                        std::stop_token stop);

// A question over UDP, asked again once when nothing comes, and over TCP when the answer does not fit. Throws
// NoDnsAnswer, also when what comes is no answer to the question.
DnsMessage askDns(const DnsEndpoint& server, const std::string& name, DnsType type, bool recursionDesired,
                  std::stop_token stop);

}  // namespace postern::acme
