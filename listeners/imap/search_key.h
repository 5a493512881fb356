// What a SEARCH looks for (RFC 3501 section 6.4.4), as a tree. Value types; pure. Depth and number of keys are bounded.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "listeners/imap/scanner.h"
#include "listeners/imap/sequence_set.h"

namespace postern::imap {

struct SearchKey {
  enum class Kind {
    All,
    And,
    Or,
    Not,
    Nothing,  // Nothing: KEYWORD, which Maildir has not
    Seen,
    Answered,
    Flagged,
    Deleted,
    Draft,
    Recent,
    Sequence,
    Uid,
    Before,
    On,
    Since,  // by INTERNALDATE
    SentBefore,
    SentOn,
    SentSince,  // by the Date header
    Larger,
    Smaller,
    Header,  // any of `fields` has `text`
    Body,
    Text,
  };
  Kind kind = Kind::All;
  std::vector<SearchKey> keys;  // of And, Or, Not
  SequenceSet set;
  std::vector<SequenceSet::Range> ranges;  // of the set, once it is known what `*` is: prepare()
  std::chrono::sys_days date{};
  std::uint32_t size = 0;
  std::string field, text;  // text: case-folded

  // 0: a listing tells; 1: the message has to be read; 2: and its bodies decoded. What costs least is asked first.
  int cost() const;
  void prepare(std::uint32_t lastSequence, std::uint32_t lastUid);
};

struct SearchProgram {
  enum class Problem { None, Syntax, Charset };
  Problem problem = Problem::None;
  SearchKey key;
};

// Everything behind "SEARCH ".
SearchProgram parseSearch(Scanner& from);

}  // namespace postern::imap
