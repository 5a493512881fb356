// Macros: %{NAME}% of [macros], %{env:NAME}% and %{file:/path}% inside values; %%{ is a literal %{.
//
// One thread; lives for one load(). What env: and file: bring in marks the value as hidden, through macros too.
#pragma once

#include <map>
#include <string>

#include "config/document.h"
#include "config/files.h"
#include "config/load.h"
#include "config/report.h"

namespace postern::config {

class Macros {
 public:
  Macros(const Surroundings& surroundings, Files& files, Report& report)
      : surroundings_(surroundings), files_(files), report_(report) {}

  // Takes the [macros] table of the main file. Unknown and cyclic ones are reported here, once.
  void define(const Node& table);
  // Replaces what stands in the texts below `node`, as far as its keys are known: what is passed over keeps its text.
  void expand(Node& node, const KeyPath& path);

 private:
  enum class State { Waiting, InWork, Done, Failed };
  struct Macro {
    Node node;
    std::string name;  // as written
    State state = State::Waiting;
  };

  void resolve(Macro& macro);
  bool expandText(Node& node, const KeyPath& path);  // false: reported
  bool append(const std::string& inner, Node& to, const KeyPath& path, const Node& whole);

  const Surroundings& surroundings_;
  Files& files_;
  Report& report_;
  std::map<std::string, Macro> macros_;  // by lower-case name
};

}  // namespace postern::config
