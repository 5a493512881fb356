// Where the parts of a message begin and end, to the octet, and what their headers say of them.
//
// IMAP's sizes, sections and partial fetches count octets as they lie in the store. GMime's objects know the decoded
// message and not those places, so the cutting is done here and the fields' grammar is GMime's (mime.h).
//
// Everything is a view into the message, which must outlive it. Bounded: nesting beyond `deepest` and parts beyond
// `mostParts` are left uncut. Pure functions.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "listeners/imap/mime.h"

namespace postern::imap {

struct HeaderField {
  std::string_view name, value;  // the value as folded, without the final CRLF
  std::string_view whole;        // with name, folds and final CRLF
};
std::vector<HeaderField> headerFields(std::string_view header);
// The value of the first field of this name, unfolded.
std::optional<std::string> fieldValue(const std::vector<HeaderField>& fields, std::string_view name);
// Where the header of an entity ends: behind the empty line, or at the end.
std::size_t headerEnd(std::string_view entity);

struct Part {
  std::string_view header, body;  // the header with its empty line
  MediaType type;
  std::optional<std::string> encoding, id, description, md5, language, location;
  std::optional<Disposition> disposition;
  std::vector<Part> parts;  // of a multipart; of a message, the one that it encapsulates
  bool isMultipart() const { return type.is("multipart"); }
  bool isMessage() const { return type.is("message", "rfc822") && !parts.empty(); }
};

constexpr int deepest = 32;
constexpr int mostParts = 2000;

Part parseStructure(std::string_view message);
// The lines of a body: line feeds, and one more for a last line without.
std::size_t countLines(std::string_view body);

}  // namespace postern::imap
