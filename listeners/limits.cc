#include "listeners/limits.h"

namespace postern::listeners {

void Limits::set(std::uint32_t maxConnections, std::uint32_t maxPerIp) {
  std::lock_guard lock(mutex_);
  max_ = maxConnections;
  maxPerIp_ = maxPerIp;
}

void Limits::setHandshakes(std::uint32_t most, Rate perAddress) {
  std::lock_guard lock(mutex_);
  maxHandshakes_ = most;
  rate_.set(perAddress);
}

bool Limits::enter(bool always) {
  std::lock_guard lock(mutex_);
  if (!always && max_ != 0 && open_ >= max_) return false;
  ++open_;
  return true;
}

void Limits::leave() {
  std::lock_guard lock(mutex_);
  --open_;
}

// Counted also while there is no limit, because set() may bring one.
bool Limits::enter(const IpBytes& address, bool always) {
  std::lock_guard lock(mutex_);
  auto& count = perIp_[address];
  if (!always && maxPerIp_ != 0 && count >= maxPerIp_) return false;
  ++count;
  return true;
}

void Limits::leave(const IpBytes& address) {
  std::lock_guard lock(mutex_);
  const auto found = perIp_.find(address);
  if (found != perIp_.end() && --found->second == 0) perIp_.erase(found);
}

std::string_view Limits::enterHandshake(const IpBytes& address, bool always) {
  std::lock_guard lock(mutex_);
  const bool limited = !always && maxHandshakes_ != 0;
  if (limited && handshakes_ >= maxHandshakes_) return "max-handshakes";
  const auto own = handshakesOf_.try_emplace(networkOf(address), 0).first;
  if (limited && own->second >= maxHandshakes_ - maxHandshakes_ / 2) return "half of max-handshakes, for one address";
  ++own->second;
  ++handshakes_;
  return {};
}

void Limits::leaveHandshake(const IpBytes& address) {
  std::lock_guard lock(mutex_);
  --handshakes_;
  const auto own = handshakesOf_.find(networkOf(address));
  if (own != handshakesOf_.end() && --own->second == 0) handshakesOf_.erase(own);
}

std::uint32_t Limits::handshakes() const {
  std::lock_guard lock(mutex_);
  return handshakes_;
}

std::uint32_t Limits::open() const {
  std::lock_guard lock(mutex_);
  return open_;
}

}  // namespace postern::listeners
