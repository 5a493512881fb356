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

bool Limits::enter() {
  std::lock_guard lock(mutex_);
  if (max_ != 0 && open_ >= max_) return false;
  ++open_;
  return true;
}

void Limits::leave() {
  std::lock_guard lock(mutex_);
  --open_;
}

// Counted also while there is no limit, because set() may bring one.
bool Limits::enter(const IpBytes& address) {
  std::lock_guard lock(mutex_);
  auto& count = perIp_[address];
  if (maxPerIp_ != 0 && count >= maxPerIp_) return false;
  ++count;
  return true;
}

void Limits::leave(const IpBytes& address) {
  std::lock_guard lock(mutex_);
  const auto found = perIp_.find(address);
  if (found != perIp_.end() && --found->second == 0) perIp_.erase(found);
}

bool Limits::enterHandshake() {
  std::lock_guard lock(mutex_);
  if (maxHandshakes_ != 0 && handshakes_ >= maxHandshakes_) return false;
  ++handshakes_;
  return true;
}

void Limits::leaveHandshake() {
  std::lock_guard lock(mutex_);
  --handshakes_;
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
