// sayTooMany: a word to a client that is turned away before anything was spent on it: one write that waits for nothing,
// and none at all where the client expects TLS.
#pragma once

#include <sys/socket.h>

#include <string_view>

#include "listeners/household.h"

namespace postern::listeners {

inline void sayTooMany(int descriptor, const Terms& terms) {
  if (terms.implicitTls()) return;
  std::string_view words;
  switch (terms.settings.protocol) {
    case Protocol::Smtp: words = "421 4.7.0 Too many connections\r\n"; break;
    case Protocol::Imap: words = "* BYE Too many connections\r\n"; break;
    case Protocol::Http:
    case Protocol::ChallengeOnly: return;
  }
  [[maybe_unused]] const auto ignored = ::send(descriptor, words.data(), words.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
}

}  // namespace postern::listeners
