// Report: how load()'s parts tell what they found. It knows what must not be shown.
//
// One thread; lives for one load().
#pragma once

#include <string>

#include "config/diagnostics.h"
#include "config/document.h"

namespace postern::config {

class Report {
 public:
  void add(Severity severity, const KeyPath& path, const Node& node, std::string problem, std::string remedy = "");
  void error(const KeyPath& path, const Node& node, std::string problem, std::string remedy = "") {
    add(Severity::Error, path, node, std::move(problem), std::move(remedy));
  }
  void warning(const KeyPath& path, const Node& node, std::string problem, std::string remedy = "") {
    add(Severity::Warning, path, node, std::move(problem), std::move(remedy));
  }
  void note(const KeyPath& path, const Node& node, std::string problem, std::string remedy = "") {
    add(Severity::Note, path, node, std::move(problem), std::move(remedy));
  }
  // About something that is not there, or about a section as a whole.
  void missing(const KeyPath& path, const Place& place, std::string problem, std::string remedy = "");
  void add(Diagnostic diagnostic) { diagnostics_.all.push_back(std::move(diagnostic)); }

  // Everything so far, each once, in the order of the files and of their lines.
  Diagnostics take(const std::vector<std::string>& files);

 private:
  Diagnostics diagnostics_;
};

// The value as a diagnostic may show it: "(hidden)" for secrets, shortened, "" for tables.
std::string shown(const KeyPath& path, const Node& node);
// "FILE:LINE" of the other place.
std::string placeText(const Place& place);

}  // namespace postern::config
