// What GMime knows about MIME, in our own words: the grammar of header fields, charsets, transfer encodings. The only
// file that includes GMime's headers is mime.cc.
//
// Pure functions, any thread; the first call initialises GMime. Never fails: what is broken gives something harmless.
// Text comes out as UTF-8.
#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace postern::imap {

struct Parameter {
  std::string name, value;
};

struct MediaType {
  std::string type = "text", subtype = "plain";
  std::vector<Parameter> parameters;
  bool is(std::string_view wantedType, std::string_view wantedSubtype = {}) const;  // any subtype where empty
  std::string parameter(std::string_view name) const;                               // empty where there is none
};

struct Disposition {
  std::string value;
  std::vector<Parameter> parameters;
};

// An address, or the begin (its name in `mailbox`) or end (nothing) of a group, which have no host.
struct Address {
  std::optional<std::string> name;  // as an encoded word where it needs one
  std::optional<std::string> mailbox, host;
};

MediaType parseMediaType(std::string_view value);
Disposition parseDisposition(std::string_view value);
std::vector<Address> parseAddresses(std::string_view value);
std::optional<std::chrono::sys_days> parseHeaderDate(std::string_view value);  // the day as written, zone left aside
std::string unfolded(std::string_view value);
std::string decodedHeader(std::string_view value);  // encoded words decoded
// A body's text with its transfer encoding and charset undone.
std::string decodedText(std::string_view body, std::string_view transferEncoding, std::string_view charset);
// For comparing without regard to case.
std::string caseFolded(std::string_view text);

}  // namespace postern::imap
