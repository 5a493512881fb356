// Values: the text forms of the contract (durations, sizes, rates, addresses, names), read from nodes.
//
// Pure functions; any thread. What cannot be read says what was expected and how to write it; the value itself is never
// part of those texts, since it may be a secret.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "config/document.h"
#include "listeners/settings.h"

namespace postern::config {

template <class T>
struct Parsed {
  std::optional<T> value;
  std::string problem, remedy;  // set when there is no value
  explicit operator bool() const { return value.has_value(); }
  static Parsed refused(std::string problem, std::string remedy = "") {
    return {std::nullopt, std::move(problem), std::move(remedy)};
  }
};

Parsed<std::string> toText(const Node& node);  // one line of text
Parsed<bool> toBoolean(const Node& node);      // true, "true" (as macros give it)
Parsed<std::int64_t> toCount(const Node& node, std::int64_t least, std::int64_t most);
// "30s", "1h30m"; `unit` is what a bare number is told to have meant.
Parsed<std::chrono::milliseconds> toDuration(const Node& node, std::string_view unit = "s");
Parsed<std::int64_t> toSize(const Node& node);     // bytes: 65536, "64K", "1M", "1G"
Parsed<std::string> toRate(const Node& node);      // "10/1s"
Parsed<std::string> toPath(const Node& node);      // any text that can be a file's name
Parsed<std::string> toHttpsUrl(const Node& node);  // "https://host/..."
Parsed<listeners::Address> toAddress(const Node& node);
Parsed<std::string> toIp(const Node& node);  // literal without brackets
Parsed<listeners::Network> toNetwork(const Node& node);
Parsed<std::string> toContact(const Node& node);      // a URL; a bare address gets mailto:
Parsed<std::string> toMailAddress(const Node& node);  // local part as it is, domain in lower-case A-labels

// A host name in lower-case A-labels, perhaps with a leading "*.", or an IP address in its canonical form.
Parsed<std::string> toHostname(const Node& node);
Parsed<std::string> hostname(std::string_view text);
bool isIpLiteral(const std::string& name);
bool isWildcard(std::string_view name);

}  // namespace postern::config
