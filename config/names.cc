// Host names as certificates and greetings carry them: values.h's functions about names.
#include <idn2.h>

#include <algorithm>
#include <memory>

#include "base/text.h"
#include "config/values.h"

namespace postern::config {
namespace {

constexpr std::size_t longestLabel = 63, longestName = 253;  // RFC 1035 section 2.3.4, without the root's dot

std::string labelProblem(std::string_view label) {
  if (label.empty()) return "a host name has no empty labels";
  if (label.size() > longestLabel) return "a label of a host name has at most 63 characters";
  if (label.front() == '-' || label.back() == '-')
    return "a label of a host name neither begins nor ends with a hyphen";
  for (const char c : label) {
    if (!((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-')) {
      return "a host name has only letters, digits, hyphens and dots";
    }
  }
  return "";
}

// Lower-case A-labels of an IDNA name; RFC 5891, with the mapping of UTS 46 for capitals and composed letters.
Parsed<std::string> toAscii(const std::string& text) {
  std::uint8_t* out = nullptr;
  const int result = idn2_lookup_u8(reinterpret_cast<const std::uint8_t*>(text.c_str()), &out,
                                    IDN2_NFC_INPUT | IDN2_NONTRANSITIONAL | IDN2_ALABEL_ROUNDTRIP);
  const std::unique_ptr<std::uint8_t, void (*)(void*)> owner(out, idn2_free);
  if (result == IDN2_TOO_BIG_LABEL)
    return Parsed<std::string>::refused("a label of a host name has at most 63 characters");
  if (result == IDN2_TOO_BIG_DOMAIN) return Parsed<std::string>::refused("a host name has at most 253 characters");
  if (result != IDN2_OK) {
    return Parsed<std::string>::refused(std::string("not a valid internationalized name: ") + idn2_strerror(result));
  }
  return {std::string(reinterpret_cast<const char*>(out)), "", ""};
}

}  // namespace

bool isIpLiteral(const std::string& name) {
  return listeners::parseIp(name).has_value();
}

bool isWildcard(std::string_view name) {
  return name.substr(0, 2) == "*.";
}

Parsed<std::string> hostname(std::string_view text) {
  using Result = Parsed<std::string>;
  if (text.find_first_of(" \t\r\n\v\f") != std::string_view::npos) return Result::refused("a host name has no blanks");
  if (text.empty()) return Result::refused("expected a host name");
  if (text.find('\0') != std::string_view::npos) return Result::refused("a host name has no null bytes");
  if (text.back() == '.') return Result::refused("a host name ends without a dot here", "leave the last dot out");
  const bool wildcard = isWildcard(text);
  std::string name(wildcard ? text.substr(2) : text);
  const bool ascii = std::all_of(name.begin(), name.end(), [](char c) { return static_cast<unsigned char>(c) < 0x80; });
  name = ascii ? lower(name) : name;
  if (!ascii || name.find("xn--") != std::string::npos) {
    auto converted = toAscii(name);
    if (!converted) return converted;
    name = lower(*converted.value);
  }
  const std::vector<std::string> labels = split(name, '.');
  for (const std::string& label : labels) {
    if (const std::string problem = labelProblem(label); !problem.empty()) return Result::refused(problem);
  }
  if (wildcard) name = "*." + name;
  if (name.size() > longestName) return Result::refused("a host name has at most 253 characters");
  if (labels.back().find_first_not_of("0123456789") == std::string::npos) {
    return Result::refused("neither a host name nor an IP address");
  }
  return {name, "", ""};
}

Parsed<std::string> toHostname(const Node& node) {
  if (!node.isText()) return Parsed<std::string>::refused("expected a host name", "put it into quotes");
  if (auto ip = toIp(node)) return ip;
  return hostname(node.text);
}

}  // namespace postern::config
