// Secret: bytes that nobody may see: passwords, private keys, HMAC keys.
//
// A value type. It wipes its bytes when it goes, and it cannot be printed: it has no conversion and no stream operator,
// so a log field or a message made of one does not compile. Whoever needs the bytes says so with reveal().
#pragma once

#include <string>
#include <string_view>

namespace postern {

class Secret {
 public:
  Secret() = default;
  explicit Secret(std::string bytes);
  Secret(const Secret&) = default;
  Secret(Secret&& other) noexcept;
  Secret& operator=(const Secret& other);
  Secret& operator=(Secret&& other) noexcept;
  ~Secret();

  // The bytes, for as long as this object lives and is not assigned to.
  std::string_view reveal() const { return bytes_; }
  bool empty() const { return bytes_.empty(); }
  // Takes time that depends on the lengths only.
  bool operator==(const Secret& other) const;

 private:
  std::string bytes_;
};

}  // namespace postern
