#include "listeners/rate_limit.h"

#include <algorithm>
#include <cstring>
#include <random>

namespace postern::listeners {
namespace {

// The finish of SplitMix64.
std::uint64_t mixed(std::uint64_t x) {
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9U;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebU;
  return x ^ (x >> 31);
}

}  // namespace

// IPv4 as it is, IPv6 without what the client chooses for itself.
IpBytes networkOf(IpBytes address) {
  static constexpr std::array<std::uint8_t, 12> mapped{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
  if (!std::equal(mapped.begin(), mapped.end(), address.begin())) std::fill(address.begin() + 8, address.end(), 0);
  return address;
}

RateLimit::RateLimit() : seed_(static_cast<std::uint64_t>(std::random_device{}()) << 32 | std::random_device{}()) {}

void RateLimit::set(Rate rate) {
  std::lock_guard lock(mutex_);
  rate_ = rate;
}

std::size_t RateLimit::rowOf(const IpBytes& key) const {
  std::uint64_t halves[2];
  std::memcpy(halves, key.data(), sizeof halves);
  return static_cast<std::size_t>(mixed(mixed(halves[0] + seed_) ^ halves[1]) % rows);
}

bool RateLimit::take(const IpBytes& address, Clock::time_point now) {
  std::lock_guard lock(mutex_);
  if (rate_.count == 0) return true;
  if (table_.empty()) table_.resize(rows);
  const IpBytes key = networkOf(address);
  auto& row = table_[rowOf(key)];
  auto entry = std::find_if(row.begin(), row.end(), [&](const Entry& one) { return one.key == key; });
  if (entry == row.end()) {
    entry = std::min_element(row.begin(), row.end(), [](const Entry& a, const Entry& b) { return a.full < b.full; });
    *entry = {key, now};
  }
  const auto per = std::chrono::duration_cast<Clock::duration>(rate_.per);
  // Never emptier than empty: what was used up under another rate is not held against anybody for longer.
  entry->full = std::clamp(entry->full, now, now + per);
  const auto full = entry->full + per / rate_.count;
  if (full - now > per) return false;
  entry->full = full;
  return true;
}

}  // namespace postern::listeners
