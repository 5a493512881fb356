// Small things about text that the standard library lacks. ASCII only: names of hosts are A-labels by the time they
// come here. Pure functions.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace postern {

std::string lower(std::string_view text);
bool equalsIgnoringCase(std::string_view a, std::string_view b);
std::string_view trimmed(std::string_view text);  // without blanks, tabs, CR and LF at both ends
std::string joined(const std::vector<std::string>& parts, std::string_view between = ",");
std::vector<std::string> split(std::string_view text, char at);  // "a,,b" gives three; "" gives one empty
// The entry of `candidates` nearest to `word` by edit distance, if near enough to be a slip of the hand; else "".
std::string nearest(std::string_view word, const std::vector<std::string>& candidates);

}  // namespace postern
