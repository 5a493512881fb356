// NoncePool: the nonces (RFC 8555 section 6.5) that answers brought and no request has used yet.
//
// Any thread. Bounded: the oldest goes first, because it is the likeliest to have expired at the CA; the newest is used
// first for the same reason.
#pragma once

#include <cstddef>
#include <deque>
#include <mutex>
#include <optional>
#include <string>

namespace postern::acme {

class NoncePool {
 public:
  static constexpr std::size_t limit = 32;

  // What is no nonce (empty, or a character outside base64url) is passed over, as section 6.5.1 demands.
  void put(std::string nonce);
  std::optional<std::string> take();
  void clear();
  std::size_t size() const;

 private:
  mutable std::mutex mutex_;
  std::deque<std::string> nonces_;
};

}  // namespace postern::acme
