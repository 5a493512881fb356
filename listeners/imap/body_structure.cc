#include "listeners/imap/body_structure.h"

#include <algorithm>
#include <array>

#include "base/text.h"
#include "listeners/imap/response.h"

namespace postern::imap {
namespace {

void appendAddresses(std::string& out, const std::vector<HeaderField>& fields, std::string_view name) {
  std::string value;
  for (const auto& field : fields) {
    if (!equalsIgnoringCase(field.name, name)) continue;
    if (!value.empty()) value += ", ";
    value += field.value;
  }
  const auto addresses = parseAddresses(value);
  if (addresses.empty()) {
    out += "NIL";
    return;
  }
  out += '(';
  for (const auto& address : addresses) {
    out += '(';
    appendNString(out, address.name);
    out += " NIL ";
    appendNString(out, address.mailbox);
    out += ' ';
    appendNString(out, address.host);
    out += ')';
  }
  out += ')';
}

// A value that ASCII cannot hold goes as RFC 2231 writes it.
void appendParameter(std::string& out, const Parameter& parameter) {
  const bool ascii = std::all_of(parameter.value.begin(), parameter.value.end(), [](char c) { return c > 0; });
  appendString(out, ascii ? parameter.name : parameter.name + '*');
  out += ' ';
  if (ascii) return appendString(out, parameter.value);
  constexpr std::string_view digits = "0123456789ABCDEF";
  std::string encoded = "utf-8''";
  for (const char c : parameter.value) {
    const auto byte = static_cast<unsigned char>(c);
    if ((c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || c == '.' || c == '-' ||
        c == '_') {
      encoded += c;
    } else {
      encoded += {'%', digits[byte >> 4], digits[byte & 15]};
    }
  }
  appendString(out, encoded);
}

void appendParameters(std::string& out, const std::vector<Parameter>& parameters) {
  if (parameters.empty()) {
    out += "NIL";
    return;
  }
  out += '(';
  for (std::size_t i = 0; i < parameters.size(); ++i) {
    if (i > 0) out += ' ';
    appendParameter(out, parameters[i]);
  }
  out += ')';
}

void appendDisposition(std::string& out, const std::optional<Disposition>& disposition) {
  if (!disposition || disposition->value.empty()) {
    out += "NIL";
    return;
  }
  out += '(';
  appendString(out, disposition->value);
  out += ' ';
  appendParameters(out, disposition->parameters);
  out += ')';
}

void appendLanguage(std::string& out, const std::optional<std::string>& language) {
  if (!language || language->find(',') == std::string::npos) return appendNString(out, language);
  out += '(';
  bool first = true;
  for (const auto& tag : split(*language, ',')) {
    if (!first) out += ' ';
    first = false;
    appendString(out, trimmed(tag));
  }
  out += ')';
}

void appendExtension(std::string& out, const Part& part) {
  out += ' ';
  appendDisposition(out, part.disposition);
  out += ' ';
  appendLanguage(out, part.language);
  out += ' ';
  appendNString(out, part.location);
}

void appendMultipart(std::string& out, const Part& part, bool extended) {
  if (part.parts.empty()) {
    // The grammar wants one part at least.
    appendBodyStructure(out, Part{}, extended);
  }
  for (const auto& child : part.parts) appendBodyStructure(out, child, extended);
  out += ' ';
  appendString(out, part.type.subtype);
  if (!extended) return;
  out += ' ';
  appendParameters(out, part.type.parameters);
  appendExtension(out, part);
}

void appendSingle(std::string& out, const Part& part, bool extended) {
  appendString(out, part.type.type);
  out += ' ';
  appendString(out, part.type.subtype);
  out += ' ';
  appendParameters(out, part.type.parameters);
  out += ' ';
  appendNString(out, part.id);
  out += ' ';
  appendNString(out, part.description);
  out += ' ';
  const std::string encoding = part.encoding ? std::string(trimmed(*part.encoding)) : "";
  appendString(out, encoding.empty() ? "7bit" : encoding);
  out += ' ' + std::to_string(part.body.size());
  if (part.type.is("message", "rfc822")) {
    const Part none;
    const Part& inner = part.parts.empty() ? none : part.parts.front();
    out += ' ';
    appendEnvelope(out, inner.header);
    out += ' ';
    appendBodyStructure(out, inner, extended);
    out += ' ' + std::to_string(countLines(part.body));
  } else if (part.type.is("text")) {
    out += ' ' + std::to_string(countLines(part.body));
  }
  if (!extended) return;
  out += ' ';
  appendNString(out, part.md5);
  appendExtension(out, part);
}

}  // namespace

void appendEnvelope(std::string& out, std::string_view header) {
  const auto fields = headerFields(header);
  const auto has = [&](std::string_view name) {
    const auto value = fieldValue(fields, name);
    return value && !trimmed(*value).empty();
  };
  out += '(';
  appendNString(out, fieldValue(fields, "Date"));
  out += ' ';
  appendNString(out, fieldValue(fields, "Subject"));
  for (const std::string_view name : std::array<std::string_view, 6>{"From", "Sender", "Reply-To", "To", "Cc", "Bcc"}) {
    // "If the Sender or Reply-To lines are absent or empty, the server sets them to the value of the From line."
    const bool asFrom = (name == "Sender" || name == "Reply-To") && !has(name);
    out += ' ';
    appendAddresses(out, fields, asFrom ? "From" : name);
  }
  out += ' ';
  appendNString(out, fieldValue(fields, "In-Reply-To"));
  out += ' ';
  appendNString(out, fieldValue(fields, "Message-ID"));
  out += ')';
}

void appendBodyStructure(std::string& out, const Part& part, bool extended) {
  out += '(';
  if (part.isMultipart()) {
    appendMultipart(out, part, extended);
  } else {
    appendSingle(out, part, extended);
  }
  out += ')';
}

}  // namespace postern::imap
