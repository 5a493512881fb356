// Fetch: answers a FETCH piece by piece, so that neither a large message nor many of them fill the output
// (RFC 3501 section 6.4.5).
//
// Belongs to one session; run() blocks (on a worker only) and throws SystemError.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "listeners/imap/fetch_items.h"
#include "listeners/imap/selected_mailbox.h"

namespace postern::imap {

class Fetch {
 public:
  static constexpr std::size_t pieceBytes = 256 << 10;

  // `places` as from SelectedMailbox::resolve.
  Fetch(SelectedMailbox& mailbox, std::vector<std::size_t> places, std::vector<FetchItem> items, bool byUid);

  // Appends about pieceBytes to `out`. True when everything is said.
  bool run(std::string& out);
  // Whether some of the messages were gone: RFC 2180 section 4.1.2.
  bool missed() const { return missed_; }

 private:
  // What is to be said next: words of our own, or octets of message_.
  struct Piece {
    std::string own;
    std::string_view octets;
    bool isOwn = true;
  };

  void begin(std::size_t place);
  void addItem(const FetchItem& item, std::size_t place, const Part* root);
  void addSection(const FetchItem& item, const Part* root);
  void flush(std::string& out);
  std::string& own();

  SelectedMailbox& mailbox_;
  std::vector<std::size_t> places_;
  std::vector<FetchItem> items_;
  bool reads_ = false, needsStructure_ = false, setsSeen_ = false, tellsFlags_ = false, missed_ = false;
  std::size_t next_ = 0;  // in places_
  std::string message_;
  std::vector<Piece> pieces_;
  std::size_t piece_ = 0, offset_ = 0;  // what of pieces_ was said
};

}  // namespace postern::imap
