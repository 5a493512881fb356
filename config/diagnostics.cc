#include "config/diagnostics.h"

#include <fmt/format.h>

#include <algorithm>
#include <string_view>

namespace postern::config {
namespace {

// One diagnostic is one line, whatever a file holds.
std::string oneLine(std::string_view text) {
  std::string out;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (c == '\n') {
      out += "\\n";
    } else if (byte < 0x20 || byte == 0x7f) {
      out += fmt::format("\\x{:02x}", byte);
    } else {
      out += c;
    }
  }
  return out;
}

std::string_view word(Severity severity) {
  switch (severity) {
    case Severity::Error: return "error";
    case Severity::Warning: return "warning";
    case Severity::Note: return "note";
  }
  return "";
}

}  // namespace

std::string Diagnostic::text() const {
  // A file as a whole is shown by its first line, so that every line begins FILE:LINE: for editors and scripts.
  std::string out = fmt::format("{}:{}: {}: ", place.file, std::max(place.line, 1), word(severity));
  if (!key.empty()) {
    out += key;
    if (!value.empty()) {
      const std::string head =
          value.substr(0, 2);  // of a list: ["a", "b"], [(hidden)], []; an address begins with [ too
      const bool quoted = value != "(hidden)" && head != "[\"" && head != "[(" && head != "[]";
      out += quoted ? fmt::format(" = \"{}\"", value) : " = " + value;
    }
    out += ": ";
  }
  out += problem;
  if (!remedy.empty()) out += "; " + remedy;
  return oneLine(out);
}

bool Diagnostics::hasErrors() const {
  return std::any_of(all.begin(), all.end(), [](const Diagnostic& d) { return d.severity == Severity::Error; });
}

bool Diagnostics::hasWarnings() const {
  return std::any_of(all.begin(), all.end(), [](const Diagnostic& d) { return d.severity == Severity::Warning; });
}

std::string Diagnostics::text() const {
  std::string out;
  for (const Diagnostic& diagnostic : all) out += diagnostic.text() + "\n";
  return out;
}

}  // namespace postern::config
