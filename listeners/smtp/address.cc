#include "listeners/smtp/address.h"

#include <algorithm>
#include <cstdint>

#include "base/text.h"
#include "listeners/settings.h"

namespace postern::smtp {
namespace {

// RFC 5321 section 4.5.3.1.
constexpr std::size_t longestLocalPart = 64, longestDomain = 255, longestPath = 1000;

bool isAlnum(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}
bool isHigh(char c) {
  return static_cast<unsigned char>(c) >= 0x80;
}
bool isAtext(char c) {
  return isAlnum(c) || isHigh(c) || std::string_view("!#$%&'*+-/=?^_`{|}~").find(c) != std::string_view::npos;
}

bool isUtf8(std::string_view text) {
  for (std::size_t i = 0; i < text.size();) {
    const auto lead = static_cast<unsigned char>(text[i]);
    const std::size_t length = lead < 0x80 ? 1 : lead >> 5 == 6 ? 2 : lead >> 4 == 14 ? 3 : lead >> 3 == 30 ? 4 : 0;
    if (length == 0 || i + length > text.size()) return false;
    std::uint32_t point = length == 1 ? lead : lead & (0x7fu >> length);
    for (std::size_t j = 1; j < length; ++j) {
      const auto next = static_cast<unsigned char>(text[i + j]);
      if (next >> 6 != 2) return false;
      point = point << 6 | (next & 0x3fu);
    }
    constexpr std::uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
    if (point < least[length] || point > 0x10ffff || (point >= 0xd800 && point < 0xe000)) return false;
    i += length;
  }
  return true;
}

bool isDomain(std::string_view text) {
  if (text.empty() || text.size() > longestDomain) return false;
  for (const auto& label : split(text, '.')) {
    if (label.empty() || label.size() > 63 || label.front() == '-' || label.back() == '-') return false;
    if (!std::all_of(label.begin(), label.end(),
                     [](char c) { return isAlnum(c) || isHigh(c) || c == '-' || c == '_'; }))
      return false;
  }
  return true;
}

// "[192.0.2.1]", "[IPv6:2001:db8::1]"
bool isLiteral(std::string_view text) {
  if (text.size() < 3 || text.size() > 64 || text.front() != '[' || text.back() != ']') return false;
  text = text.substr(1, text.size() - 2);
  const bool v6 = equalsIgnoringCase(text.substr(0, 5), "IPv6:");
  if (v6) text.remove_prefix(5);
  return (text.find(':') != std::string_view::npos) == v6 && listeners::parseIp(std::string(text)).has_value();
}

// Takes a dot-string or quoted string; `meant` is what it says without quotes.
bool takeLocalPart(std::string_view& text, std::string& meant) {
  std::size_t at = 0;
  if (!text.empty() && text.front() == '"') {
    for (at = 1;; ++at) {
      if (at >= text.size()) return false;
      if (text[at] == '"') break;
      if (text[at] == '\\' && ++at >= text.size()) return false;
      if (text[at] < ' ' && !isHigh(text[at])) return false;
      if (text[at] == 0x7f) return false;
      meant += text[at];
    }
    ++at;
    if (meant.empty()) return false;
  } else {
    while (at < text.size() && (isAtext(text[at]) || text[at] == '.')) ++at;
    meant = text.substr(0, at);
    if (meant.empty() || meant.front() == '.' || meant.back() == '.' || meant.find("..") != std::string::npos) {
      return false;
    }
  }
  text.remove_prefix(at);
  return at <= longestLocalPart;
}

// "@one.example,@two.example:" is a route of RFC 821: taken and ignored, as RFC 5321 section 4.1.1.3 says.
bool dropRoute(std::string_view& text) {
  if (text.empty() || text.front() != '@') return true;
  const auto colon = text.find(':');
  if (colon == std::string_view::npos) return false;
  for (const auto& hop : split(text.substr(0, colon), ',')) {
    if (hop.empty() || hop.front() != '@' || !isDomain(std::string_view(hop).substr(1))) return false;
  }
  text.remove_prefix(colon + 1);
  return true;
}

}  // namespace

bool isDomainOrLiteral(std::string_view text) {
  return !std::any_of(text.begin(), text.end(), isHigh) && (isDomain(text) || isLiteral(text));
}

std::optional<Path> takePath(std::string_view& text) {
  if (text.empty() || text.front() != '<') return {};
  auto rest = text.substr(1, longestPath);
  Path path;
  if (!rest.empty() && rest.front() == '>') {
    text.remove_prefix(2);
    return path;
  }
  if (!dropRoute(rest)) return {};
  const char* const begin = rest.data();
  std::string meant;
  if (!takeLocalPart(rest, meant)) return {};
  if (!rest.empty() && rest.front() == '@') {
    rest.remove_prefix(1);
    const auto end = rest.find('>');
    if (end == std::string_view::npos) return {};
    path.domain = rest.substr(0, end);
    if (!isDomain(path.domain) && !isLiteral(path.domain)) return {};
    rest.remove_prefix(end);
    path.mailbox = meant + '@' + path.domain;
  } else if (equalsIgnoringCase(meant, "postmaster")) {
    path.mailbox = meant;
  } else {
    return {};
  }
  if (rest.empty() || rest.front() != '>') return {};
  path.text.assign(begin, static_cast<std::size_t>(rest.data() - begin));
  if (!isUtf8(path.text)) return {};
  path.ascii = std::none_of(path.text.begin(), path.text.end(), isHigh);
  text.remove_prefix(static_cast<std::size_t>(rest.data() - text.data()) + 1);
  return path;
}

}  // namespace postern::smtp
