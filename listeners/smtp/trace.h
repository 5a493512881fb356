// Trace: the header fields that a message gets on its way through (RFC 5321 section 4.4, RFC 3848, RFC 6409 section 8).
// Pure functions. What comes from the client has been held against its grammar before it comes here.
#pragma once

#include <string>
#include <string_view>

#include "base/clock.h"
#include "listeners/session.h"

namespace postern::smtp {

struct Trace {
  std::string sender;       // between the brackets
  std::string helo;         // as the client introduced itself
  std::string peerAddress;  // the client's IP address
  std::string hostname;     // ours
  std::string id;
  std::string onlyRecipient;  // empty where there are several: they must not learn of one another
  bool esmtp = true, authenticated = false, utf8 = false, encrypted = false;
  listeners::TlsFacts tls;  // where encrypted
  Time at{};
};

// "Return-Path: ...\r\nReceived: ...\r\n"
std::string traceFields(const Trace& trace);

// Date and Message-ID where the header of a submitted message, which `beginning` begins with, lacks them. Empty where
// the header does not end within it.
std::string missingFields(std::string_view beginning, const Trace& trace);

// Whether a message goes on from our fields with its own: its first line is a field, or the empty line that ends the
// header. Text that stands there without a header must not become a part of ours.
bool beginsWithHeader(std::string_view beginning);

// "ESMTPSA" and its kind (RFC 3848, RFC 6531).
std::string withProtocol(const Trace& trace);
// "Sun, 1 Mar 2026 12:00:00 +0000"
std::string rfc5322Date(Time at);

}  // namespace postern::smtp
