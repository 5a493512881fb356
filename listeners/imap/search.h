// Search: runs a SEARCH over the selected mailbox, piece by piece (RFC 3501 section 6.4.4).
//
// Belongs to one session; run() blocks (on a worker only) and throws SystemError.
#pragma once

#include <string>
#include <vector>

#include "listeners/imap/search_key.h"
#include "listeners/imap/selected_mailbox.h"

namespace postern::imap {

class Search {
 public:
  Search(SelectedMailbox& mailbox, SearchKey key, bool byUid)
      : mailbox_(mailbox), key_(std::move(key)), byUid_(byUid) {}

  // Goes on for a bounded number of octets. True when everything was looked at and the answer is in `out`.
  bool run(std::string& out);

 private:
  SelectedMailbox& mailbox_;
  SearchKey key_;
  bool byUid_, started_ = false;
  std::size_t at_ = 0;
  std::vector<std::uint32_t> found_;
};

}  // namespace postern::imap
