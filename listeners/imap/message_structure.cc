#include "listeners/imap/message_structure.h"

#include <algorithm>

#include "base/text.h"

namespace postern::imap {
namespace {

// The line that begins at `from`, with its end.
std::string_view lineAt(std::string_view text, std::size_t from) {
  const auto end = text.find('\n', from);
  return text.substr(from, end == std::string_view::npos ? text.npos : end + 1 - from);
}

bool isEmptyLine(std::string_view line) {
  return line == "\r\n" || line == "\n";
}

// The delimiter lines of RFC 2046 section 5.1.1: nothing, "--boundary" or "--boundary--", blanks aside.
enum class Delimiter { None, Next, Last };
Delimiter delimiterOf(std::string_view line, std::string_view boundary) {
  if (!line.starts_with("--") || line.substr(2, boundary.size()) != boundary) return Delimiter::None;
  auto rest = line.substr(2 + boundary.size());
  const bool last = rest.starts_with("--");
  if (last) rest.remove_prefix(2);
  if (!trimmed(rest).empty()) return Delimiter::None;
  return last ? Delimiter::Last : Delimiter::Next;
}

// What stands between the delimiter lines. The line end before a delimiter belongs to it.
std::vector<std::string_view> cut(std::string_view body, std::string_view boundary) {
  std::vector<std::string_view> pieces;
  std::size_t begin = std::string_view::npos;
  const auto close = [&](std::size_t end) {
    if (begin == std::string_view::npos) return;
    auto piece = body.substr(begin, end - begin);
    if (end < body.size() || piece.empty()) {
      if (piece.ends_with('\n')) piece.remove_suffix(1);
      if (piece.ends_with('\r')) piece.remove_suffix(1);
    }
    pieces.push_back(piece);
  };
  for (std::size_t at = 0; at < body.size();) {
    const auto line = lineAt(body, at);
    const auto delimiter = line.front() == '-' ? delimiterOf(line, boundary) : Delimiter::None;
    if (delimiter != Delimiter::None) {
      close(at);
      begin = at + line.size();
      if (delimiter == Delimiter::Last) return pieces;
    }
    at += line.size();
  }
  close(body.size());  // the last delimiter is missing
  return pieces;
}

class Cutter {
 public:
  Part part(std::string_view entity, int depth, bool inDigest) {
    Part part;
    const std::size_t end = headerEnd(entity);
    part.header = entity.substr(0, end);
    part.body = entity.substr(end);
    describe(part, inDigest);
    if (depth <= 0) return part;
    if (part.isMultipart()) {
      const std::string boundary = part.type.parameter("boundary");
      if (boundary.empty()) return part;
      const bool digest = part.type.is("multipart", "digest");
      for (const auto piece : cut(part.body, boundary)) {
        if (--left_ < 0) break;
        part.parts.push_back(this->part(piece, depth - 1, digest));
      }
    } else if (part.type.is("message", "rfc822") && --left_ >= 0) {
      part.parts.push_back(this->part(part.body, depth - 1, false));
    }
    return part;
  }

 private:
  static void describe(Part& part, bool inDigest) {
    const auto fields = headerFields(part.header);
    if (const auto type = fieldValue(fields, "Content-Type")) {
      part.type = parseMediaType(*type);
    } else if (inDigest) {
      part.type = {"message", "rfc822", {}};
    } else {
      part.type.parameters.push_back({"charset", "us-ascii"});
    }
    part.encoding = fieldValue(fields, "Content-Transfer-Encoding");
    part.id = fieldValue(fields, "Content-ID");
    part.description = fieldValue(fields, "Content-Description");
    part.md5 = fieldValue(fields, "Content-MD5");
    part.language = fieldValue(fields, "Content-Language");
    part.location = fieldValue(fields, "Content-Location");
    if (const auto disposition = fieldValue(fields, "Content-Disposition")) {
      part.disposition = parseDisposition(*disposition);
    }
  }

  int left_ = mostParts;
};

}  // namespace

std::size_t headerEnd(std::string_view entity) {
  for (std::size_t at = 0; at < entity.size();) {
    const auto line = lineAt(entity, at);
    at += line.size();
    if (isEmptyLine(line)) return at;
  }
  return entity.size();
}

std::vector<HeaderField> headerFields(std::string_view header) {
  std::vector<HeaderField> fields;
  for (std::size_t at = 0; at < header.size();) {
    std::size_t end = at + lineAt(header, at).size();
    if (isEmptyLine(header.substr(at, end - at))) break;
    while (end < header.size() && (header[end] == ' ' || header[end] == '\t')) end += lineAt(header, end).size();
    HeaderField field;
    field.whole = header.substr(at, end - at);
    at = end;
    const auto colon = field.whole.find(':');
    if (colon == std::string_view::npos) continue;
    field.name = trimmed(field.whole.substr(0, colon));
    field.value = field.whole.substr(colon + 1);
    while (field.value.ends_with('\n') || field.value.ends_with('\r')) field.value.remove_suffix(1);
    if (!field.name.empty()) fields.push_back(field);
  }
  return fields;
}

std::optional<std::string> fieldValue(const std::vector<HeaderField>& fields, std::string_view name) {
  for (const auto& field : fields) {
    if (equalsIgnoringCase(field.name, name)) return unfolded(field.value);
  }
  return {};
}

Part parseStructure(std::string_view message) {
  return Cutter().part(message, deepest, false);
}

std::size_t countLines(std::string_view body) {
  const auto feeds = static_cast<std::size_t>(std::count(body.begin(), body.end(), '\n'));
  return feeds + (body.empty() || body.back() == '\n' ? 0 : 1);
}

}  // namespace postern::imap
