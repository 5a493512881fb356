// Document: one TOML file as a tree of values, each with its place.
//
// Pure values; any thread. This is the only door to toml11: its error texts quote source lines, which may hold secrets,
// so a syntax error leaves here with a line number and words of our own.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <variant>
#include <vector>

#include "config/diagnostics.h"

namespace postern::config {

using KeyPath = std::vector<std::string>;  // the parts of a key; ids whole, unquoted

struct Node {
  enum class Kind { Text, Integer, Float, Boolean, Other, List, Table };  // Other: dates and times
  Kind kind = Kind::Table;
  std::string text;  // of a scalar: its value as text
  std::int64_t integer = 0;
  bool boolean = false;
  std::vector<Node> items;              // List
  std::map<std::string, Node> members;  // Table
  Place place;
  bool hidden = false;   // came from %{env:}% or %{file:}%: never shown
  bool broken = false;   // a macro in it failed, which is reported already: passed over without a further word
  bool appends = false;  // a list made of [[...]]: further files add to it

  bool isTable() const { return kind == Kind::Table; }
  bool isList() const { return kind == Kind::List; }
  bool isText() const { return kind == Kind::Text; }
  // The empty string or list, which switches off what would be inherited.
  bool isOff() const { return (isText() && text.empty()) || (isList() && items.empty()); }
};

// The tree of `text`, or its first syntax error.
std::variant<Node, Diagnostic> parseDocument(const std::string& text, const std::string& file);

// "server.listener.imaps.tls.acme"; ids that need it are quoted: certificate."mail.example.org".cert.
std::string dotted(const KeyPath& path);

}  // namespace postern::config
