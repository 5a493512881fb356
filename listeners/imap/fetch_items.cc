#include "listeners/imap/fetch_items.h"

#include <algorithm>

namespace postern::imap {
namespace {

using Kind = FetchItem::Kind;
constexpr std::size_t mostItems = 100;

FetchItem plain(Kind kind, std::string label) {
  FetchItem item;
  item.kind = kind;
  item.label = std::move(label);
  return item;
}

FetchItem section(Section::Text text, std::string label, bool setsSeen) {
  FetchItem item = plain(Kind::Section, std::move(label));
  item.section.text = text;
  item.setsSeen = setsSeen;
  return item;
}

// "<0.100>" behind the brackets.
bool parsePartial(Scanner& from, FetchItem& item) {
  if (!from.take('<')) return true;
  const auto offset = from.number();
  if (!offset || !from.take('.')) return false;
  const auto count = from.number();
  if (!count || *count == 0 || !from.take('>')) return false;
  item.partial = FetchItem::Partial{*offset, *count};
  item.label += '<' + std::to_string(*offset) + '>';
  return true;
}

std::optional<FetchItem> parseItem(Scanner& from) {
  const std::string word = from.word();
  if (word == "FLAGS") return plain(Kind::Flags, word);
  if (word == "UID") return plain(Kind::Uid, word);
  if (word == "INTERNALDATE") return plain(Kind::InternalDate, word);
  if (word == "RFC822.SIZE") return plain(Kind::Size, word);
  if (word == "ENVELOPE") return plain(Kind::Envelope, word);
  if (word == "BODYSTRUCTURE") return plain(Kind::BodyStructure, word);
  if (word == "RFC822") return section(Section::Text::Whole, word, true);
  if (word == "RFC822.HEADER") return section(Section::Text::Header, word, false);
  if (word == "RFC822.TEXT") return section(Section::Text::Body, word, true);
  if (word != "BODY" && word != "BODY.PEEK") return {};
  if (!from.take('[')) {
    if (word == "BODY") return plain(Kind::Body, word);
    return {};
  }
  auto parsed = Section::parse(from);
  if (!parsed || !from.take(']')) return {};
  FetchItem item = plain(Kind::Section, "BODY[" + parsed->name() + "]");
  item.section = std::move(*parsed);
  item.setsSeen = word == "BODY";
  if (!parsePartial(from, item)) return {};
  return item;
}

std::vector<FetchItem> fast() {
  return {plain(Kind::Flags, "FLAGS"), plain(Kind::InternalDate, "INTERNALDATE"), plain(Kind::Size, "RFC822.SIZE")};
}

std::optional<std::vector<FetchItem>> parseMacro(Scanner& from) {
  Scanner ahead = from;
  const std::string word = ahead.word();
  auto items = fast();
  if (word == "ALL" || word == "FULL") items.push_back(plain(Kind::Envelope, "ENVELOPE"));
  if (word == "FULL") items.push_back(plain(Kind::Body, "BODY"));
  if (word != "FAST" && word != "ALL" && word != "FULL") return {};
  from = ahead;
  return items;
}

}  // namespace

bool FetchItem::readsMessage() const {
  return kind == Kind::Envelope || kind == Kind::Body || kind == Kind::BodyStructure || kind == Kind::Section;
}

std::optional<std::vector<FetchItem>> parseFetchItems(Scanner& from) {
  if (auto macro = parseMacro(from)) {
    if (!from.atEnd()) return {};
    return macro;
  }
  std::vector<FetchItem> items;
  const bool list = from.take('(');
  do {
    auto item = parseItem(from);
    if (!item || items.size() >= mostItems) return {};
    if (std::find(items.begin(), items.end(), *item) == items.end()) items.push_back(std::move(*item));
  } while (list && from.space());
  if ((list && !from.take(')')) || !from.atEnd()) return {};
  return items;
}

}  // namespace postern::imap
