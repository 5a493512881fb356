// Diagnostics: what is wrong with a configuration, each with the place, the problem and the remedy. Values; collected,
// never thrown, so that one run shows them all.
#pragma once

#include <string>
#include <vector>

namespace postern::config {

struct Place {
  std::string file;
  int line = 0;  // 1-based; 0: the file as a whole
  bool operator==(const Place&) const = default;
};

enum class Severity { Error, Warning, Note };  // Note: a line of information, such as a section that was passed over

struct Diagnostic {
  Severity severity = Severity::Error;
  Place place;
  std::string key;      // dotted, "server.tls.timeout"; "" where it is about no key
  std::string value;    // as written; "(hidden)" for secrets and what came from %{env:} or %{file:}; "" when absent
  std::string problem;  // what was found and what was expected
  std::string remedy;   // "" where none can be told

  // "FILE:LINE: error: server.tls.timeout = "30": a duration needs a unit ...; write "30s"".
  std::string text() const;
  bool operator==(const Diagnostic&) const = default;
};

struct Diagnostics {
  std::vector<Diagnostic> all;  // in the order of the files
  bool hasErrors() const;
  bool hasWarnings() const;
  std::string text() const;  // a line each
};

}  // namespace postern::config
