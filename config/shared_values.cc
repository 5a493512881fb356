// What keys of several sections have in common: secrets that may stand in a file of their own, programs to be run.
#include "config/sections.h"

namespace postern::config {

std::optional<std::string> readSecretText(const Reader& reader, const Found& found) {
  constexpr std::string_view scheme = "file://";
  if (!found || !found.node->isText() || found.node->broken) return std::nullopt;
  const std::string& text = found.node->text;
  if (!text.starts_with(scheme)) return text;
  Files::Content content = reader.files().read(text.substr(scheme.size()));
  if (!content.text) {
    reader.error(found, "the file cannot be read: " + content.why, "check the path and who may read it");
    return std::nullopt;
  }
  if (!content.text->empty() && content.text->back() == '\n') content.text->pop_back();
  if (content.text->empty()) {
    reader.error(found, "the file is empty");
    return std::nullopt;
  }
  return std::move(content.text);
}

std::string readProgram(const Reader& reader, const Found& found) {
  if (!found || !toPath(*found.node)) return "";
  const std::string why = reader.files().whyNotExecutable(found.node->text);
  if (why.empty()) return found.node->text;
  reader.error(found, "expected a program: " + why,
               why == "not executable" ? "make it executable for the user who runs postern: chmod 755"
                                       : "give the path of an executable file");
  return "";
}

}  // namespace postern::config
