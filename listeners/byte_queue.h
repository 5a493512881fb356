// ByteQueue: bytes on their way, appended at the end and taken from the front. Holds no more than a little memory while
// it is empty, because most connections are idle most of the time.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace postern::listeners {

class ByteQueue {
 public:
  bool empty() const { return size() == 0; }
  std::size_t size() const { return bytes_.size() - taken_; }
  // Valid until anything is appended or dropped.
  std::string_view view() const { return std::string_view(bytes_).substr(taken_); }
  void append(std::string_view more) { bytes_.append(more); }

  void drop(std::size_t count) {
    taken_ += count;
    if (taken_ >= bytes_.size()) {
      clear();
    } else if (taken_ > bytes_.size() / 2) {  // rarely enough that a byte is moved about once
      bytes_.erase(0, taken_);
      taken_ = 0;
    }
  }
  void clear() {
    if (bytes_.capacity() > keptWhileEmpty) {
      std::string().swap(bytes_);  // `= {}` would keep the memory
    } else {
      bytes_.clear();
    }
    taken_ = 0;
  }

 private:
  static constexpr std::size_t keptWhileEmpty = 128;  // a command or a reply; saves an allocation for each

  std::string bytes_;
  std::size_t taken_ = 0;  // of bytes_, from the front
};

}  // namespace postern::listeners
