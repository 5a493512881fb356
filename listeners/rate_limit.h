// RateLimit: how often each client address may do something, by a token bucket for each.
//
// Any thread. An IPv6 client has a whole /64 for the asking, so that is what counts as one address. Memory is bounded
// and flat: tens of thousands of addresses are remembered, in one table that is made at the first use; where its row is
// full, the address that has used up least is forgotten.
#pragma once

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <mutex>
#include <vector>

#include "listeners/settings.h"

namespace postern::listeners {

using IpBytes = std::array<std::uint8_t, 16>;  // IPv4 mapped

// What counts as one address: an IPv4 address, or a /64 of IPv6.
IpBytes networkOf(IpBytes address);

class RateLimit {
 public:
  using Clock = std::chrono::steady_clock;

  RateLimit();

  void set(Rate rate);  // count 0: unlimited. What was used up stays so.
  // One more, unless this address has had its share; one that is refused does not count.
  bool take(const IpBytes& address, Clock::time_point now = Clock::now());

  static constexpr std::size_t rows = 8192, perRow = 4;  // 1 MiB

 private:
  // `full`: when the bucket will be full again if nothing more is taken (the theoretical arrival time of GCRA). In the
  // past: nobody's entry.
  struct Entry {
    IpBytes key{};
    Clock::time_point full{};
  };

  std::size_t rowOf(const IpBytes& key) const;

  const std::uint64_t seed_;  // so that nobody can choose whom he shares a row with
  std::mutex mutex_;
  Rate rate_;
  std::vector<std::array<Entry, perRow>> table_;
};

}  // namespace postern::listeners
