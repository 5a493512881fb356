// Sources: the files of a configuration become one document: foreign sections passed over, macros replaced, [include]
// followed, tables merged. Problems go into the report; what could be read is merged all the same, so that one run
// finds them all.
#pragma once

#include <string>
#include <vector>

#include "config/files.h"
#include "config/load.h"
#include "config/report.h"

namespace postern::config {

struct Document {
  Node root;
  std::vector<std::string> files;  // configuration files in the order they were met
  bool incomplete = false;         // a file could not be read or parsed: what is missing may stand there
};

Document readFiles(const std::string& file, const Surroundings& surroundings, Files& files, Report& report);
// Of a text in memory: includes are an error.
Document readText(const std::string& text, const std::string& name, const Surroundings& surroundings, Files& files,
                  Report& report);

}  // namespace postern::config
