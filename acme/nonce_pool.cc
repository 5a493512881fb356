#include "acme/nonce_pool.h"

#include <algorithm>
#include <utility>

namespace postern::acme {

bool NoncePool::isNonce(const std::string& text) {
  return !text.empty() && text.size() <= 1024 && std::all_of(text.begin(), text.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '_';
  });
}

void NoncePool::put(std::string nonce) {
  if (!isNonce(nonce)) return;
  std::lock_guard lock(mutex_);
  if (nonces_.size() == limit) nonces_.pop_front();
  nonces_.push_back(std::move(nonce));
  ++events_;
  changed_.notify_all();
}

std::optional<std::string> NoncePool::take() {
  std::lock_guard lock(mutex_);
  return newest();
}

std::optional<std::string> NoncePool::take(std::chrono::milliseconds patience, std::stop_token stop) {
  std::unique_lock lock(mutex_);
  if (--awaited_ == 0) changed_.notify_all();
  const auto over = [&] { return !nonces_.empty() || awaited_ == 0 || stop.stop_requested(); };
  std::uint64_t seen = 0;
  do {
    seen = events_;
    changed_.wait_for(lock, stop, patience, [&] { return over() || events_ != seen; });
  } while (!over() && events_ != seen);
  ++awaited_;
  if (nonces_.empty()) {
    ++events_;
    changed_.notify_all();
  }
  return newest();
}

std::optional<std::string> NoncePool::newest() {
  if (nonces_.empty()) return std::nullopt;
  std::string nonce = std::move(nonces_.back());
  nonces_.pop_back();
  return nonce;
}

void NoncePool::clear() {
  std::lock_guard lock(mutex_);
  nonces_.clear();
}

NoncePool::Awaited::Awaited(NoncePool& pool) : pool_(pool) {
  std::lock_guard lock(pool_.mutex_);
  ++pool_.awaited_;
}

NoncePool::Awaited::~Awaited() {
  std::lock_guard lock(pool_.mutex_);
  if (--pool_.awaited_ == 0) pool_.changed_.notify_all();
}

std::size_t NoncePool::size() const {
  std::lock_guard lock(mutex_);
  return nonces_.size();
}

}  // namespace postern::acme
