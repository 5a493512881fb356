#include "config/report.h"

#include <algorithm>

#include "config/keys.h"

namespace postern::config {
namespace {

constexpr std::size_t longestShown = 120;
const std::string hidden = "(hidden)";

}  // namespace

std::string shown(const KeyPath& path, const Node& node) {
  if (isSecret(path) || node.hidden) return hidden;
  switch (node.kind) {
    case Node::Kind::Table: return "";
    case Node::Kind::List: {
      std::string out;
      for (const Node& item : node.items) {
        if (item.isTable()) return "";
        const std::string one = shown(path, item);
        out += (out.empty() ? "" : ", ") + (one == hidden ? one : "\"" + one + "\"");
      }
      return "[" + (out.size() > longestShown ? out.substr(0, longestShown) + "..." : out) + "]";
    }
    case Node::Kind::Text:
      if (node.text.find("-----BEGIN") != std::string::npos) return hidden;  // perhaps a key under the wrong name
      if (node.text.size() > longestShown) return node.text.substr(0, longestShown) + "...";
      return node.text;
    case Node::Kind::Integer:
    case Node::Kind::Float:
    case Node::Kind::Boolean:
    case Node::Kind::Other: return node.text;
  }
  return "";
}

std::string placeText(const Place& place) {
  return place.file + ":" + std::to_string(std::max(place.line, 1));
}

void Report::add(Severity severity, const KeyPath& path, const Node& node, std::string problem, std::string remedy) {
  KeyPath plain;
  for (const std::string& part : path) {
    if (part != "[]") plain.push_back(part);
  }
  diagnostics_.all.push_back(
      {severity, node.place, dotted(plain), shown(path, node), std::move(problem), std::move(remedy)});
}

void Report::missing(const KeyPath& path, const Place& place, std::string problem, std::string remedy) {
  add(Severity::Error, path, Node(), std::move(problem), std::move(remedy));
  diagnostics_.all.back().place = place;
  diagnostics_.all.back().value.clear();
}

Diagnostics Report::take(const std::vector<std::string>& files) {
  const auto rank = [&files](const Diagnostic& d) {
    return std::find(files.begin(), files.end(), d.place.file) - files.begin();
  };
  std::vector<Diagnostic> once;
  for (Diagnostic& diagnostic : diagnostics_.all) {
    if (std::find(once.begin(), once.end(), diagnostic) == once.end()) once.push_back(std::move(diagnostic));
  }
  std::stable_sort(once.begin(), once.end(), [&rank](const Diagnostic& a, const Diagnostic& b) {
    return std::pair(rank(a), a.place.line) < std::pair(rank(b), b.place.line);
  });
  diagnostics_.all.clear();
  return {std::move(once)};
}

}  // namespace postern::config
