#include "config/document.h"

#include <toml.hpp>

#include <algorithm>
#include <cstdlib>
#include <sstream>
#include <string_view>
#include <utility>

namespace postern::config {
namespace {

using Toml = toml::basic_value<toml::discard_comments, std::map, std::vector>;

constexpr int deepest = 64;  // nested lists and dotted keys; toml11 recurses without a bound

// A walk over the text that knows strings and comments just well enough to count brackets and dots outside of them.
int nesting(std::string_view text) {
  int depth = 0, dots = 0, most = 0;
  for (std::size_t at = 0; at < text.size(); ++at) {
    const char c = text[at];
    if (c == '#') {
      at = std::min(text.find('\n', at), text.size()) - 1;
    } else if (c == '"' || c == '\'') {
      const std::string triple(3, c);
      const bool multiline = text.substr(at, 3) == triple;
      at += multiline ? 3 : 1;
      for (; at < text.size(); ++at) {
        if (c == '"' && text[at] == '\\') {
          ++at;
        } else if (multiline ? text.substr(at, 3) == triple : (text[at] == c || text[at] == '\n')) {
          at += multiline ? 2 : 0;
          break;
        }
      }
    } else if (c == '[' || c == '{') {
      ++depth;
      dots = 0;
    } else if (c == ']' || c == '}') {
      depth = std::max(depth - 1, 0);
      dots = 0;
    } else if (c == '.') {
      ++dots;
    } else if (c == '=' || c == ',' || c == '\n') {
      dots = 0;
    }
    most = std::max({most, depth, dots});
  }
  return most;
}

// The line numbers in one of toml11's messages: " --> file", "   |", " 12 | source", "   | ^--- comment", " ...", " 14
// | ...".
std::vector<int> linesIn(const std::string& message) {
  std::vector<int> found;
  const auto start = message.find("\n --> ");
  if (start == std::string::npos) return found;
  std::istringstream in(message.substr(start + 1));
  std::string line;
  for (int number = 0; std::getline(in, line); ++number) {
    if (number >= 2 && (number - 2) % 3 == 0) found.push_back(std::atoi(line.c_str()));
  }
  return found;
}

struct Wording {
  std::string_view toml11, ours, remedy;
};
// Looked for in this order in the part of the message that quotes no source line.
constexpr Wording wordings[] = {
    {"array of table", "a section [...] and a list of sections [[...]] share one name", "use one form for all of them"},
    {"expected newline", "something follows where the line should end", "one key = value a line"},
    {"newline required", "something follows where the line should end", "one section header a line"},
    {"UTF-8", "a character is not valid UTF-8", "save the file as UTF-8"},
    {"utf8", "a character is not valid UTF-8", "save the file as UTF-8"},
    {"string", "a text is not closed or holds an invalid escape", "close the quotes; write \\\\ for a backslash"},
    {"delimiter", "a text has a wrong number of closing quotes", "close it with the quotes that opened it"},
    {"escape", "a text holds an invalid escape", "write \\\\ for a backslash"},
    {"unknown value", "this is not a value", "put text into quotes"},
    {"inline table", "an inline table is set again further down", "write it as a section of its own"},
    {"inline_table", "an inline table is not closed by } on its line, or lacks a comma", "write { a = 1, b = 2 }"},
    {"missing key-value separator", "a key without = and value", "write key = value"},
    {"key expected", "a value without a key", "write key = value"},
    {"missing value", "a key without a value", "write key = value"},
    {"expected value", "a key without a value", "write key = value"},
    {"array", "a list is not closed by ], or lacks a comma", "write [\"a\", \"b\"]"},
    {"key", "this is neither a key nor a section header",
     "write key = value or [section]; quote names with other characters than A-Z a-z 0-9 _ -"},
    {"date", "this is not a value", "put text into quotes"},
    {"time", "this is not a value", "put text into quotes"},
    {"integer", "this is not a number", "put text into quotes"},
    {"Integer", "this is not a number: leading zeros are not allowed", "put text into quotes"},
    {"float", "this is not a number", "put text into quotes"},
};

// The name in 'value ("x") already exists': a key, never a value.
std::string nameIn(std::string_view head) {
  const auto open = head.find("(\"");
  const auto close = head.rfind("\")");
  if (open == std::string_view::npos || close == std::string_view::npos || close <= open) return "";
  return std::string(head.substr(open + 2, close - open - 2));
}

Diagnostic syntaxError(const std::string& message, const std::string& file, int fallbackLine) {
  const std::string head = message.substr(0, message.find("\n --> "));
  const std::vector<int> lines = linesIn(message);
  Diagnostic error;
  error.place = {file, lines.empty() ? fallbackLine : lines.front()};
  if (head.find("already exists") != std::string::npos && head.find("array of table") == std::string::npos) {
    if (lines.size() > 1) error.place.line = lines[1];
    error.key = nameIn(head);
    error.problem = "set twice; the first stands at " + file + ":" + std::to_string(lines.empty() ? 0 : lines.front());
    error.remedy = "keep one of them, and put all keys of one section under one header";
    return error;
  }
  // "expected newline" stands in the comment below the source line: toml11 3.7 writes it for "invalid line format"
  // only.
  const std::string looked = head.find("invalid line format") != std::string::npos ? "expected newline" : head;
  error.problem = "not valid TOML";
  for (const Wording& wording : wordings) {
    if (looked.find(wording.toml11) == std::string::npos) continue;
    error.problem += ": " + std::string(wording.ours);
    error.remedy = wording.remedy;
    break;
  }
  return error;
}

// Where values stand in a text. toml11's own location counts the lines anew for each value, from the first on.
class Positions {
 public:
  explicit Positions(std::string_view text) {
    for (auto at = text.find('\n'); at != std::string_view::npos; at = text.find('\n', at + 1)) feeds_.push_back(at);
  }
  // Of its first character; 0 for what toml11 knows no place of.
  static std::size_t offset(const Toml& value) {
    const auto* const region = dynamic_cast<const toml::detail::region*>(toml::detail::get_region(value));
    return region == nullptr ? 0 : static_cast<std::size_t>(region->first() - region->begin());
  }
  int line(const Toml& value) const {
    return 1 + static_cast<int>(std::lower_bound(feeds_.begin(), feeds_.end(), offset(value)) - feeds_.begin());
  }

 private:
  std::vector<std::size_t> feeds_;  // offsets of the line feeds
};

Node convert(const Toml& from, const std::string& file, const Positions& positions) {
  Node node;
  node.place = {file, positions.line(from)};
  switch (from.type()) {
    case toml::value_t::string:
      node.kind = Node::Kind::Text;
      node.text = from.as_string().str;
      break;
    case toml::value_t::integer:
      node.kind = Node::Kind::Integer;
      node.integer = from.as_integer();
      node.text = std::to_string(node.integer);
      break;
    case toml::value_t::boolean:
      node.kind = Node::Kind::Boolean;
      node.boolean = from.as_boolean();
      node.text = node.boolean ? "true" : "false";
      break;
    case toml::value_t::floating: {
      node.kind = Node::Kind::Float;
      std::ostringstream out;
      out << from.as_floating();
      node.text = out.str();
      break;
    }
    case toml::value_t::array: {
      node.kind = Node::Kind::List;
      for (const Toml& item : from.as_array()) node.items.push_back(convert(item, file, positions));
      // [[x]]: list and first table have the header as their place; of [{...}] the table begins behind the bracket.
      const auto& items = from.as_array();
      node.appends =
          !items.empty() && items.front().is_table() && Positions::offset(items.front()) == Positions::offset(from);
      break;
    }
    case toml::value_t::table:
      for (const auto& [name, member] : from.as_table()) node.members.emplace(name, convert(member, file, positions));
      break;
    case toml::value_t::empty:
    case toml::value_t::offset_datetime:
    case toml::value_t::local_datetime:
    case toml::value_t::local_date:
    case toml::value_t::local_time:
      node.kind = Node::Kind::Other;
      node.text = "a date or time";
      break;
  }
  return node;
}

}  // namespace

std::variant<Node, Diagnostic> parseDocument(const std::string& text, const std::string& file) {
  if (nesting(text) > deepest) {
    Diagnostic error;
    error.place.file = file;
    error.problem = "nested deeper than " + std::to_string(deepest) + " levels";
    return error;
  }
  try {
    std::istringstream in(text);
    // Without the file's name: it may hold what looks like a line of the message.
    return convert(toml::parse<toml::discard_comments, std::map, std::vector>(in, "-"), file, Positions(text));
  } catch (const toml::exception& e) {
    return syntaxError(e.what(), file, static_cast<int>(e.location().line()));
  } catch (const std::exception&) {  // toml11 lets std::out_of_range and the like through for some broken input
    return syntaxError("", file, 0);
  }
}

std::string dotted(const KeyPath& path) {
  std::string out;
  for (const std::string& part : path) {
    const bool bare = !part.empty() && std::all_of(part.begin(), part.end(), [](char c) {
      return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '_';
    });
    if (!out.empty()) out += '.';
    if (bare || part == "<id>" || part == "<name>") {
      out += part;
      continue;
    }
    out += '"';
    for (const char c : part) {
      if (c == '"' || c == '\\') out += '\\';
      out += c;
    }
    out += '"';
  }
  return out;
}

}  // namespace postern::config
