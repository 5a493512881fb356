#include "listeners/imap/section.h"

#include <algorithm>

#include "base/text.h"
#include "listeners/imap/response.h"

namespace postern::imap {
namespace {

constexpr std::size_t deepestSection = 100;
constexpr std::size_t mostFields = 500;

std::optional<std::uint32_t> partNumber(std::string_view digits) {
  Scanner scanner(digits);
  const auto number = scanner.number();
  if (!number || *number == 0 || !scanner.atEnd()) return {};
  return number;
}

bool parseFields(Scanner& from, std::vector<std::string>& fields) {
  if (!from.space() || !from.take('(')) return false;
  do {
    auto name = from.astring();
    if (!name || name->empty() || fields.size() >= mostFields) return false;
    fields.push_back(std::move(*name));
  } while (from.space());
  return from.take(')');
}

// The part with these numbers. `whole` tells whether it is a message itself rather than a part of one.
const Part* find(const Part& root, const std::vector<std::uint32_t>& numbers) {
  const Part* part = &root;
  bool whole = true;
  for (const auto number : numbers) {
    if (!whole && part->isMessage()) {
      part = &part->parts.front();  // the numbers go on inside
      whole = true;
    }
    if (part->isMultipart()) {
      if (number > part->parts.size()) return nullptr;
      part = &part->parts[number - 1];
      whole = false;
    } else if (whole && number == 1) {
      whole = false;  // "Every message has at least one part number"
    } else {
      return nullptr;
    }
  }
  return part;
}

std::string selectFields(std::string_view header, const std::vector<std::string>& names, bool wanted) {
  std::string made;
  for (const auto& field : headerFields(header)) {
    const bool named = std::any_of(names.begin(), names.end(),
                                   [&](const std::string& name) { return equalsIgnoringCase(name, field.name); });
    if (named == wanted) made += field.whole;
    if (named == wanted && !field.whole.ends_with('\n')) made += "\r\n";
  }
  return made + "\r\n";
}

}  // namespace

std::optional<Section> Section::parse(Scanner& from) {
  Section section;
  std::string word = from.word();
  // Numbers, then perhaps a text: "1.2.HEADER.FIELDS".
  std::string_view rest = word;
  while (!rest.empty() && rest.front() >= '0' && rest.front() <= '9') {
    const auto dot = rest.find('.');
    const auto number = partNumber(rest.substr(0, dot));
    if (!number || section.numbers.size() >= deepestSection) return {};
    section.numbers.push_back(*number);
    if (dot == std::string_view::npos) return section;
    rest.remove_prefix(dot + 1);
    if (rest.empty()) return {};
  }
  if (rest.empty()) return section;
  if (rest == "HEADER") {
    section.text = Text::Header;
  } else if (rest == "TEXT") {
    section.text = Text::Body;
  } else if (rest == "MIME" && !section.numbers.empty()) {
    section.text = Text::Mime;
  } else if (rest == "HEADER.FIELDS" || rest == "HEADER.FIELDS.NOT") {
    section.text = rest == "HEADER.FIELDS" ? Text::HeaderFields : Text::HeaderFieldsNot;
    if (!parseFields(from, section.fields)) return {};
  } else {
    return {};
  }
  return section;
}

std::string Section::name() const {
  std::string name;
  for (const auto number : numbers) name += (name.empty() ? "" : ".") + std::to_string(number);
  const auto add = [&](std::string_view word) {
    if (!name.empty()) name += '.';
    name += word;
  };
  switch (text) {
    case Text::Whole: break;
    case Text::Header: add("HEADER"); break;
    case Text::HeaderFields: add("HEADER.FIELDS"); break;
    case Text::HeaderFieldsNot: add("HEADER.FIELDS.NOT"); break;
    case Text::Body: add("TEXT"); break;
    case Text::Mime: add("MIME"); break;
  }
  if (fields.empty()) return name;
  name += " (";
  for (const auto& field : fields) {
    if (name.back() != '(') name += ' ';
    appendAString(name, field);
  }
  return name + ')';
}

std::optional<std::string_view> extract(const Section& section, std::string_view message, const Part* root,
                                        std::string& made) {
  std::string_view header, body;
  if (section.numbers.empty()) {
    if (section.text == Section::Text::Whole) return message;
    const std::size_t end = headerEnd(message);
    header = message.substr(0, end);
    body = message.substr(end);
  } else {
    const Part* part = root ? find(*root, section.numbers) : nullptr;
    if (!part) return {};
    if (section.text == Section::Text::Whole) return part->body;
    if (section.text == Section::Text::Mime) return part->header;
    if (!part->isMessage()) return {};  // HEADER and TEXT are those of an encapsulated message
    header = part->parts.front().header;
    body = part->parts.front().body;
  }
  switch (section.text) {
    case Section::Text::Header: return header;
    case Section::Text::HeaderFields:
    case Section::Text::HeaderFieldsNot:
      made = selectFields(header, section.fields, section.text == Section::Text::HeaderFields);
      return made;
    case Section::Text::Body: return body;
    case Section::Text::Whole:
    case Section::Text::Mime: break;
  }
  return {};
}

}  // namespace postern::imap
