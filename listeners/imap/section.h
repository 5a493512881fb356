// What stands in the brackets of BODY[...] (RFC 3501 section 6.4.5), and the octets it means. Value types; pure.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "listeners/imap/message_structure.h"
#include "listeners/imap/scanner.h"

namespace postern::imap {

struct Section {
  enum class Text { Whole, Header, HeaderFields, HeaderFieldsNot, Body, Mime };
  std::vector<std::uint32_t> numbers;  // "1.2"
  Text text = Text::Whole;
  std::vector<std::string> fields;
  bool operator==(const Section&) const = default;

  // What is in the brackets, without them. Nothing for what is no section.
  static std::optional<Section> parse(Scanner& from);
  std::string name() const;  // as an answer names it
  // Whether the message must be cut into its parts for it.
  bool needsStructure() const { return !numbers.empty(); }
};

// The octets of a section: a view into the message, or in `made` where they do not lie there in one piece. Nothing when
// the message has no such part. `root` is parseStructure(message), needed only for section.needsStructure().
std::optional<std::string_view> extract(const Section& section, std::string_view message, const Part* root,
                                        std::string& made);

}  // namespace postern::imap
