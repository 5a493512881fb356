#include "base/secret.h"

#include <cstring>
#include <utility>

namespace postern {
namespace {

// The whole capacity, not the size alone: a string that was longer once still holds its tail. A string that was swapped
// away keeps short contents in its own small buffer, so the other side is wiped too.
void wipe(std::string& bytes) noexcept {
  bytes.resize(bytes.capacity());
  explicit_bzero(bytes.data(), bytes.size());
  bytes.clear();
}

}  // namespace

Secret::Secret(std::string bytes) {
  bytes_.swap(bytes);
  wipe(bytes);
}

Secret::Secret(Secret&& other) noexcept {
  bytes_.swap(other.bytes_);
  wipe(other.bytes_);
}

Secret& Secret::operator=(const Secret& other) {
  if (this == &other) return *this;
  Secret copy(other);  // may throw; nothing has changed yet
  return *this = std::move(copy);
}

Secret& Secret::operator=(Secret&& other) noexcept {
  if (this == &other) return *this;
  wipe(bytes_);
  // An empty string without memory of its own: swapped with one that has some, short contents would leave their tail
  // in the other's small buffer, beside the capacity, where wipe() does not reach.
  std::string().swap(bytes_);
  bytes_.swap(other.bytes_);
  wipe(other.bytes_);
  return *this;
}

Secret::~Secret() {
  wipe(bytes_);
}

bool Secret::operator==(const Secret& other) const {
  if (bytes_.size() != other.bytes_.size()) return false;
  volatile unsigned char difference = 0;
  for (std::size_t i = 0; i < bytes_.size(); ++i) {
    difference = static_cast<unsigned char>(
        difference | (static_cast<unsigned char>(bytes_[i]) ^ static_cast<unsigned char>(other.bytes_[i])));
  }
  return difference == 0;
}

}  // namespace postern
