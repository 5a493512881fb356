// What a FETCH asks for (RFC 3501 section 6.4.5): the macros, the items, sections and partial ranges. Value types;
// pure.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "listeners/imap/scanner.h"
#include "listeners/imap/section.h"

namespace postern::imap {

struct FetchItem {
  enum class Kind { Flags, Uid, InternalDate, Size, Envelope, Body, BodyStructure, Section };
  struct Partial {
    std::uint32_t offset = 0, count = 0;
    bool operator==(const Partial&) const = default;
  };
  Kind kind = Kind::Flags;
  Section section;  // of Kind::Section, whose label is "BODY[...]<...>", "RFC822", ...
  std::optional<Partial> partial;
  std::string label;
  bool setsSeen = false;
  bool operator==(const FetchItem&) const = default;
  bool readsMessage() const;  // whether it needs more than what a listing tells
};

// One item or a list of them, up to the end. Nothing for what is none. The same item twice comes once.
std::optional<std::vector<FetchItem>> parseFetchItems(Scanner& from);

}  // namespace postern::imap
