// NoncePool: the nonces (RFC 8555 section 6.5) that answers brought and no request has used yet.
//
// Any thread. Bounded: the oldest goes first, because it is the likeliest to have expired at the CA; the newest is used
// first for the same reason.
#pragma once

#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <mutex>
#include <optional>
#include <stop_token>
#include <string>

namespace postern::acme {

class NoncePool {
 public:
  static constexpr std::size_t limit = 32;

  // Not empty, and of base64url's characters alone, as section 6.5.1 demands.
  static bool isNonce(const std::string& text);
  // What is no nonce is passed over.
  void put(std::string nonce);
  std::optional<std::string> take();
  // The same for who has an Awaited; but while there is none and others' answers are on their way, waits for the nonces
  // that these bring, until none has come for `patience` of the machine's time. Then one of those who wait goes away
  // without, to fetch one, and the others' patience begins anew: orders that begin together need not fetch one each,
  // however slow the answers are.
  std::optional<std::string> take(std::chrono::milliseconds patience, std::stop_token stop);
  void clear();
  std::size_t size() const;

  // A request that will bring a nonce. While it waits for one itself it does not count.
  class Awaited {
   public:
    explicit Awaited(NoncePool& pool);
    Awaited(const Awaited&) = delete;
    Awaited& operator=(const Awaited&) = delete;
    ~Awaited();

   private:
    NoncePool& pool_;
  };

 private:
  std::optional<std::string> newest();  // under the lock

  mutable std::mutex mutex_;
  std::condition_variable_any changed_;
  int awaited_ = 0;
  std::uint64_t events_ = 0;  // nonces that came, and those who went to fetch one
  std::deque<std::string> nonces_;
};

}  // namespace postern::acme
