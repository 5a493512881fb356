// SequenceSet: "1:5,9,12:*" (RFC 3501 section 9), of sequence numbers or UIDs. A value type; pure.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>
#include <utility>
#include <vector>

#include "listeners/imap/scanner.h"

namespace postern::imap {

class SequenceSet {
 public:
  // Nothing for what is no set. Takes what it can use from the scanner.
  static std::optional<SequenceSet> parse(Scanner& from);

  // The numbers from first to last, both of them in, as ranges in rising order that do not touch. `*` stands for
  // `largest`; "9:*" holds the largest even where that is less than 9.
  using Range = std::pair<std::uint32_t, std::uint32_t>;
  std::vector<Range> ranges(std::uint32_t largest) const;
  // The largest number said outright; 0 where there is only `*`.
  std::uint32_t largestNumber() const;

 private:
  std::vector<Range> parts_;  // as said; 0 is `*`
};

// Whether ranges() of a set have the number.
bool contains(const std::vector<SequenceSet::Range>& ranges, std::uint32_t number);
// "1:3,7" of numbers in rising order.
std::string formatSet(const std::vector<std::uint32_t>& numbers);

}  // namespace postern::imap
