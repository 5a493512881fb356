#include "listeners/imap/fetch.h"

#include <algorithm>

#include "listeners/imap/body_structure.h"
#include "listeners/imap/dates.h"
#include "listeners/imap/response.h"

namespace postern::imap {
namespace {

using Kind = FetchItem::Kind;

bool asks(const std::vector<FetchItem>& items, Kind kind) {
  return std::any_of(items.begin(), items.end(), [kind](const FetchItem& item) { return item.kind == kind; });
}

}  // namespace

Fetch::Fetch(SelectedMailbox& mailbox, std::vector<std::size_t> places, std::vector<FetchItem> items, bool byUid)
    : mailbox_(mailbox), places_(std::move(places)), items_(std::move(items)) {
  if (byUid && !asks(items_, Kind::Uid)) {
    FetchItem uid;
    uid.kind = Kind::Uid;
    items_.insert(items_.begin(), std::move(uid));
  }
  for (const auto& item : items_) {
    reads_ = reads_ || item.readsMessage();
    needsStructure_ = needsStructure_ || item.kind == Kind::Body || item.kind == Kind::BodyStructure ||
                      (item.kind == Kind::Section && item.section.needsStructure());
    setsSeen_ = setsSeen_ || item.setsSeen;
  }
  setsSeen_ = setsSeen_ && !mailbox_.readOnly();
  tellsFlags_ = asks(items_, Kind::Flags);
}

bool Fetch::run(std::string& out) {
  flush(out);
  if (pieces_.empty() && setsSeen_) mailbox_.refresh(out, false);  // flags that another session has set stay set
  while (pieces_.empty() && next_ < places_.size() && out.size() < pieceBytes) {
    begin(places_[next_++]);
    flush(out);
  }
  return pieces_.empty() && next_ >= places_.size();
}

void Fetch::flush(std::string& out) {
  while (piece_ < pieces_.size() && out.size() < pieceBytes) {
    const auto& piece = pieces_[piece_];
    const std::string_view left = (piece.isOwn ? std::string_view(piece.own) : piece.octets).substr(offset_);
    const auto taken = left.substr(0, pieceBytes - out.size());
    out += taken;
    offset_ += taken.size();
    if (taken.size() < left.size()) return;
    ++piece_;
    offset_ = 0;
  }
  if (piece_ < pieces_.size()) return;
  pieces_.clear();
  piece_ = 0;
  std::string().swap(message_);
}

std::string& Fetch::own() {
  if (pieces_.empty() || !pieces_.back().isOwn) pieces_.emplace_back();
  return pieces_.back().own;
}

void Fetch::begin(std::size_t place) {
  Part root;
  if (reads_) {
    auto message = mailbox_.read(place);
    if (!message) {
      missed_ = true;
      return;
    }
    message_ = std::move(*message);
    if (needsStructure_) root = parseStructure(message_);
  }
  bool nowSeen = false;
  const auto& info = mailbox_.messages()[place];
  if (setsSeen_ && !info.flags.seen) {
    auto flags = info.flags;
    flags.seen = true;
    nowSeen = mailbox_.setFlags(place, flags);
  }
  own() += "* " + std::to_string(place + 1) + " FETCH (";
  bool first = true;
  for (const auto& item : items_) {
    if (!first) own() += ' ';
    first = false;
    addItem(item, place, &root);
  }
  if (nowSeen && !tellsFlags_) {
    own() += " FLAGS ";
    appendFlags(own(), info.flags, info.recent);
  }
  own() += ")\r\n";
}

void Fetch::addItem(const FetchItem& item, std::size_t place, const Part* root) {
  const auto& info = mailbox_.messages()[place];
  std::string& out = own();
  switch (item.kind) {
    case Kind::Flags:
      out += "FLAGS ";
      appendFlags(out, info.flags, info.recent);
      break;
    case Kind::Uid: out += "UID " + std::to_string(info.uid); break;
    case Kind::InternalDate: out += "INTERNALDATE \"" + formatDateTime(info.internalDate) + '"'; break;
    case Kind::Size: out += "RFC822.SIZE " + std::to_string(info.size); break;
    case Kind::Envelope:
      out += "ENVELOPE ";
      appendEnvelope(out, message_);
      break;
    case Kind::Body:
      out += "BODY ";
      appendBodyStructure(out, *root, false);
      break;
    case Kind::BodyStructure:
      out += "BODYSTRUCTURE ";
      appendBodyStructure(out, *root, true);
      break;
    case Kind::Section: addSection(item, root); break;
  }
}

void Fetch::addSection(const FetchItem& item, const Part* root) {
  std::string made;
  auto octets = extract(item.section, message_, root, made);
  std::string& out = own();
  out += item.label + ' ';
  if (!octets) {
    out += "NIL";
    return;
  }
  if (item.partial) {
    // "Any partial fetch that attempts to read beyond the end of the text is truncated as appropriate."
    octets = octets->substr(std::min<std::size_t>(item.partial->offset, octets->size()), item.partial->count);
  }
  out += '{' + std::to_string(octets->size()) + "}\r\n";
  if (made.empty()) {
    Piece piece;
    piece.octets = *octets;
    piece.isOwn = false;
    pieces_.push_back(std::move(piece));
  } else {
    out += *octets;
  }
}

}  // namespace postern::imap
