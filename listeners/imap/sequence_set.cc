#include "listeners/imap/sequence_set.h"

#include <algorithm>

namespace postern::imap {
namespace {

// nz-number or `*` as 0.
std::optional<std::uint32_t> bound(Scanner& from) {
  if (from.take('*')) return 0;
  const auto number = from.number();
  if (!number || *number == 0) return {};
  return number;
}

}  // namespace

std::optional<SequenceSet> SequenceSet::parse(Scanner& from) {
  SequenceSet set;
  do {
    const auto first = bound(from);
    if (!first) return {};
    const auto last = from.take(':') ? bound(from) : first;
    if (!last) return {};
    set.parts_.emplace_back(*first, *last);
  } while (from.take(','));
  return set;
}

std::vector<SequenceSet::Range> SequenceSet::ranges(std::uint32_t largest) const {
  std::vector<Range> sorted;
  sorted.reserve(parts_.size());
  for (const auto& part : parts_) {
    const std::uint32_t a = part.first ? part.first : largest, b = part.second ? part.second : largest;
    sorted.emplace_back(std::min(a, b), std::max(a, b));
  }
  std::sort(sorted.begin(), sorted.end());
  std::vector<Range> merged;
  for (const auto& range : sorted) {
    if (!merged.empty() && range.first <= merged.back().second) {
      merged.back().second = std::max(merged.back().second, range.second);
    } else {
      merged.push_back(range);
    }
  }
  return merged;
}

std::uint32_t SequenceSet::largestNumber() const {
  std::uint32_t largest = 0;
  for (const auto& part : parts_) largest = std::max({largest, part.first, part.second});
  return largest;
}

bool contains(const std::vector<SequenceSet::Range>& ranges, std::uint32_t number) {
  const auto after = std::upper_bound(ranges.begin(), ranges.end(), number,
                                      [](std::uint32_t n, const SequenceSet::Range& range) { return n < range.first; });
  return after != ranges.begin() && number <= std::prev(after)->second;
}

std::string formatSet(const std::vector<std::uint32_t>& numbers) {
  std::string text;
  for (std::size_t i = 0; i < numbers.size();) {
    std::size_t last = i;
    while (last + 1 < numbers.size() && numbers[last + 1] == numbers[last] + 1) ++last;
    if (!text.empty()) text += ',';
    text += std::to_string(numbers[i]);
    if (last > i) text += ':' + std::to_string(numbers[last]);
    i = last + 1;
  }
  return text;
}

}  // namespace postern::imap
