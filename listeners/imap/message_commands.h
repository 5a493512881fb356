// STORE, COPY, MOVE and EXPUNGE on the selected mailbox (RFC 3501 section 6.4, RFC 4315, RFC 6851).
//
// Each belongs to one session; run() blocks (on a worker only), does a bounded piece, returns true at the end, and
// throws SystemError.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "listeners/imap/scanner.h"
#include "listeners/imap/selected_mailbox.h"
#include "listeners/mail/incoming.h"

namespace postern::imap {

struct StoreRequest {
  enum class How { Replace, Add, Remove };
  How how = How::Replace;
  bool silent = false;
  mail::Flags flags;
};
std::optional<StoreRequest> parseStore(Scanner& from);  // "+FLAGS.SILENT (\Seen)"

class Store {
 public:
  Store(SelectedMailbox& mailbox, std::vector<std::size_t> places, StoreRequest request)
      : mailbox_(mailbox), places_(std::move(places)), request_(request) {}
  bool run(std::string& out);
  bool missed() const { return missed_; }  // some of the messages were gone

 private:
  SelectedMailbox& mailbox_;
  std::vector<std::size_t> places_;
  StoreRequest request_;
  std::size_t next_ = 0;
  bool missed_ = false;
};

// Copies all of them or none.
class Copy {
 public:
  Copy(SelectedMailbox& mailbox, std::vector<std::size_t> places, std::filesystem::path target)
      : mailbox_(mailbox), places_(std::move(places)), target_(std::move(target)) {}
  bool run();
  bool missed() const { return missed_; }  // one of the messages was gone: nothing was copied
  std::string responseCode() const;        // "[COPYUID 1 2:3 7:8] ", or nothing
  std::vector<std::uint32_t> sourceUids() const { return from_; }

 private:
  void undo() noexcept;
  void number();

  SelectedMailbox& mailbox_;
  std::vector<std::size_t> places_;
  std::filesystem::path target_;
  std::size_t next_ = 0;
  std::vector<mail::Incoming> copies_;
  std::vector<std::uint32_t> from_, to_;
  std::uint32_t validity_ = 0;
  bool missed_ = false;
};

// Removes what is marked \Deleted, of `uids` only where that is given, and tells so in `out`.
void expunge(SelectedMailbox& mailbox, const std::optional<SequenceSet>& uids, std::string& out);

// The UIDVALIDITY of a folder and the UID of the message in it with this base name. 0 for what is not there any more.
std::pair<std::uint32_t, std::uint32_t> findUid(const std::filesystem::path& folder, const std::string& baseName);

}  // namespace postern::imap
