#include "config/values.h"

#include <arpa/inet.h>
#include <fmt/format.h>

#include <array>
#include <charconv>
#include <limits>

#include "base/text.h"

namespace postern::config {
namespace {

using std::chrono::milliseconds;

struct Unit {
  std::string_view name;
  std::int64_t milliseconds;
};
constexpr std::array<Unit, 6> units{
    {{"ms", 1}, {"s", 1000}, {"m", 60'000}, {"h", 3'600'000}, {"d", 86'400'000}, {"w", 604'800'000}}};
constexpr std::int64_t longest = 100LL * 366 * 86'400'000;  // a hundred years: sums with today's date cannot overflow

constexpr const char* durationForm = "expected a duration: numbers with a unit of ms, s, m, h, d, w";

// Reads an unsigned number at the head of `text` and takes it off.
std::optional<std::int64_t> takeNumber(std::string_view& text) {
  std::int64_t number = 0;
  if (text.empty() || text.front() < '0' || text.front() > '9') return std::nullopt;
  const auto read = std::from_chars(text.data(), text.data() + text.size(), number);
  if (read.ec != std::errc()) return std::nullopt;
  text.remove_prefix(static_cast<std::size_t>(read.ptr - text.data()));
  return number;
}

std::optional<milliseconds> durationOf(std::string_view text) {
  if (text.empty()) return std::nullopt;
  std::int64_t sum = 0;
  while (!text.empty()) {
    const auto number = takeNumber(text);
    if (!number) return std::nullopt;
    const auto letters = std::min(text.find_first_of("0123456789"), text.size());
    const std::string_view name = text.substr(0, letters);
    text.remove_prefix(letters);
    const Unit* unit = nullptr;
    for (const Unit& one : units) {
      if (one.name == name) unit = &one;
    }
    if (!unit || *number > longest / unit->milliseconds) return std::nullopt;
    sum += *number * unit->milliseconds;
    if (sum > longest) return std::nullopt;
  }
  return milliseconds(sum);
}

bool isBareNumber(const Node& node) {
  if (node.kind == Node::Kind::Integer || node.kind == Node::Kind::Float) return true;
  return node.isText() && !node.text.empty() && node.text.find_first_not_of("0123456789") == std::string::npos;
}

bool holdsControls(std::string_view text) {
  for (const char c : text) {
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) return true;
  }
  return false;
}

}  // namespace

Parsed<std::string> toText(const Node& node) {
  if (!node.isText()) return Parsed<std::string>::refused("expected a text", "put it into quotes");
  if (holdsControls(node.text))
    return Parsed<std::string>::refused("expected one line of text without control characters");
  return {node.text, "", ""};
}

Parsed<bool> toBoolean(const Node& node) {
  if (node.kind == Node::Kind::Boolean) return {node.boolean, "", ""};
  if (node.isText() && node.text == "true") return {true, "", ""};
  if (node.isText() && node.text == "false") return {false, "", ""};
  return Parsed<bool>::refused("expected true or false");
}

Parsed<std::int64_t> toCount(const Node& node, std::int64_t least, std::int64_t most) {
  const std::string form = fmt::format("expected a whole number from {} to {}", least, most);
  std::optional<std::int64_t> number;
  if (node.kind == Node::Kind::Integer) number = node.integer;
  if (node.isText()) {
    std::string_view rest = node.text;
    number = takeNumber(rest);
    if (!rest.empty()) number.reset();
  }
  if (!number || *number < least || *number > most) return Parsed<std::int64_t>::refused(form);
  return {number, "", ""};
}

Parsed<milliseconds> toDuration(const Node& node, std::string_view unit) {
  if (isBareNumber(node)) {
    return Parsed<milliseconds>::refused(
        "a duration needs a unit: ms, s, m, h, d or w",
        node.hidden ? std::string("write the unit behind the number") : fmt::format("write \"{}{}\"", node.text, unit));
  }
  if (!node.isText()) return Parsed<milliseconds>::refused(durationForm, "write \"30s\" or \"1h30m\"");
  const auto value = durationOf(node.text);
  if (!value) return Parsed<milliseconds>::refused(durationForm, "write \"30s\" or \"1h30m\"");
  return {value, "", ""};
}

Parsed<std::int64_t> toSize(const Node& node) {
  const auto refused =
      Parsed<std::int64_t>::refused("expected a size: a number of bytes, or one with K, M or G", "write \"64K\"");
  if (node.kind == Node::Kind::Integer) {
    return node.integer > 0 ? Parsed<std::int64_t>{node.integer, "", ""} : refused;
  }
  if (!node.isText()) return refused;
  std::string_view rest = node.text;
  const auto number = takeNumber(rest);
  if (!number || *number == 0) return refused;
  int shift = 0;
  if (rest == "K") shift = 10;
  if (rest == "M") shift = 20;
  if (rest == "G") shift = 30;
  if (shift == 0 && !rest.empty()) return refused;
  if (*number > (std::numeric_limits<std::int64_t>::max() >> shift)) return refused;
  return {*number << shift, "", ""};
}

Parsed<std::string> toRate(const Node& node) {
  if (node.isText()) {
    std::string_view rest = node.text;
    const auto number = takeNumber(rest);
    if (number && *number > 0 && !rest.empty() && rest.front() == '/') {
      const auto per = durationOf(rest.substr(1));
      if (per && per->count() > 0) return {fmt::format("{}/{}ms", *number, per->count()), "", ""};
    }
  }
  return Parsed<std::string>::refused("expected a rate: a number and a duration", "write \"10/1s\"");
}

Parsed<std::string> toPath(const Node& node) {
  if (!node.isText() || node.text.empty()) return Parsed<std::string>::refused("expected the path of a file or folder");
  if (holdsControls(node.text)) return Parsed<std::string>::refused("a path holds no control characters");
  // As keys have it that take a value or the file it stands in.
  if (node.text.starts_with("file:/")) return Parsed<std::string>::refused("expected a path", "leave out the file://");
  return {node.text, "", ""};
}

Parsed<std::string> toHttpsUrl(const Node& node) {
  const auto refused = Parsed<std::string>::refused("expected an https URL", "write \"https://host/path\"");
  constexpr std::string_view scheme = "https://";
  if (!node.isText() || !equalsIgnoringCase(std::string_view(node.text).substr(0, scheme.size()), scheme))
    return refused;
  const std::string_view rest = std::string_view(node.text).substr(scheme.size());
  if (rest.empty() || rest.front() == '/' || rest.front() == ':') return refused;
  for (const char c : rest) {
    if (static_cast<unsigned char>(c) <= 0x20 || static_cast<unsigned char>(c) >= 0x7f) return refused;
  }
  return {node.text, "", ""};
}

Parsed<listeners::Address> toAddress(const Node& node) {
  const auto refused =
      Parsed<listeners::Address>::refused("expected an IP address and a port", "write \"1.2.3.4:25\" or \"[::]:25\"");
  if (!node.isText()) return refused;
  auto address = listeners::parseAddress(node.text);
  if (!address) return refused;
  Node host = node;
  host.text = address->host;
  address->host = *toIp(host).value;  // canonical, so that equal addresses compare equal
  return {address, "", ""};
}

Parsed<std::string> toIp(const Node& node) {
  const auto refused =
      Parsed<std::string>::refused("expected an IP address without port", "write \"0.0.0.0\" or \"::\"");
  if (!node.isText()) return refused;
  std::string text = node.text;
  if (text.size() > 2 && text.front() == '[' && text.back() == ']') text = text.substr(1, text.size() - 2);
  if (!listeners::parseIp(text)) return refused;
  std::array<unsigned char, 16> bytes{};
  std::array<char, INET6_ADDRSTRLEN> out{};
  const int family = text.find(':') == std::string::npos ? AF_INET : AF_INET6;
  if (inet_pton(family, text.c_str(), bytes.data()) != 1) return refused;
  return {std::string(inet_ntop(family, bytes.data(), out.data(), static_cast<socklen_t>(out.size()))), "", ""};
}

Parsed<listeners::Network> toNetwork(const Node& node) {
  auto network = node.isText() ? listeners::parseNetwork(node.text) : std::nullopt;
  if (!network)
    return Parsed<listeners::Network>::refused("expected a network", "write \"10.0.0.0/8\" or \"2001:db8::/32\"");
  return {network, "", ""};
}

Parsed<std::string> toContact(const Node& node) {
  const auto refused =
      Parsed<std::string>::refused("expected a mail address or mailto: URL", "write \"postmaster@example.org\"");
  if (!node.isText()) return refused;
  constexpr std::string_view scheme = "mailto:";
  std::string_view rest = node.text;
  if (equalsIgnoringCase(rest.substr(0, scheme.size()), scheme)) rest.remove_prefix(scheme.size());
  const auto at = rest.find('@');
  if (at == 0 || at == std::string_view::npos || at + 1 == rest.size()) return refused;
  for (const char c : rest) {  // RFC 8555 section 7.3: one address, no hfields
    if (static_cast<unsigned char>(c) <= 0x20 || static_cast<unsigned char>(c) >= 0x7f || c == ',' || c == '?')
      return refused;
  }
  return {std::string(scheme) + std::string(rest), "", ""};
}

Parsed<std::string> toMailAddress(const Node& node) {
  const auto refused = Parsed<std::string>::refused("expected a mail address", "write \"user@example.org\"");
  if (!node.isText() || holdsControls(node.text)) return refused;
  const auto at = node.text.rfind('@');
  if (at == 0 || at == std::string::npos || node.text.find(' ') != std::string::npos) return refused;
  const auto domain = hostname(std::string_view(node.text).substr(at + 1));
  if (!domain || isWildcard(*domain.value)) return refused;
  return {node.text.substr(0, at + 1) + *domain.value, "", ""};
}

}  // namespace postern::config
