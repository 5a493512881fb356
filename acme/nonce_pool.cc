#include "acme/nonce_pool.h"

#include <algorithm>
#include <utility>

namespace postern::acme {
namespace {

bool isNonce(const std::string& text) {
  return !text.empty() && text.size() <= 1024 && std::all_of(text.begin(), text.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '_';
  });
}

}  // namespace

void NoncePool::put(std::string nonce) {
  if (!isNonce(nonce)) return;
  std::lock_guard lock(mutex_);
  if (nonces_.size() == limit) nonces_.pop_front();
  nonces_.push_back(std::move(nonce));
}

std::optional<std::string> NoncePool::take() {
  std::lock_guard lock(mutex_);
  if (nonces_.empty()) return std::nullopt;
  std::string nonce = std::move(nonces_.back());
  nonces_.pop_back();
  return nonce;
}

void NoncePool::clear() {
  std::lock_guard lock(mutex_);
  nonces_.clear();
}

std::size_t NoncePool::size() const {
  std::lock_guard lock(mutex_);
  return nonces_.size();
}

}  // namespace postern::acme
