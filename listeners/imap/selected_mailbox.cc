#include "listeners/imap/selected_mailbox.h"

#include <algorithm>
#include <utility>

#include "listeners/imap/response.h"

namespace postern::imap {
namespace {

bool byUid(const mail::MessageInfo& message, std::uint32_t uid) {
  return message.uid < uid;
}

const mail::MessageInfo* find(const std::vector<mail::MessageInfo>& messages, std::uint32_t uid) {
  const auto at = std::lower_bound(messages.begin(), messages.end(), uid, byUid);
  return at == messages.end() || at->uid != uid ? nullptr : &*at;
}

std::size_t countRecent(const std::vector<mail::MessageInfo>& messages) {
  return static_cast<std::size_t>(
      std::count_if(messages.begin(), messages.end(), [](const mail::MessageInfo& m) { return m.recent; }));
}

void tellCounts(std::string& out, const std::vector<mail::MessageInfo>& messages) {
  out += "* " + std::to_string(messages.size()) + " EXISTS\r\n";
  out += "* " + std::to_string(countRecent(messages)) + " RECENT\r\n";
}

}  // namespace

SelectedMailbox::SelectedMailbox(std::string name, std::filesystem::path folder, bool readOnly)
    : name_(std::move(name)), mailbox_(std::move(folder)), readOnly_(readOnly) {}

void SelectedMailbox::scan() {
  mailbox_.scan(!readOnly_);
  if (validity_ != 0 && mailbox_.uidValidity() != validity_) lost_ = true;
}

void SelectedMailbox::open(std::string& out) {
  scan();
  validity_ = mailbox_.uidValidity();
  known_ = mailbox_.messages();
  out += "* FLAGS (\\Answered \\Flagged \\Deleted \\Seen \\Draft)\r\n";
  tellCounts(out, known_);
  const auto unseen = std::find_if(known_.begin(), known_.end(), [](const auto& m) { return !m.flags.seen; });
  if (unseen != known_.end()) {
    out += "* OK [UNSEEN " + std::to_string(unseen - known_.begin() + 1) + "] First unseen message\r\n";
  }
  out += readOnly_ ? "* OK [PERMANENTFLAGS ()] Nothing can be changed\r\n"
                   : "* OK [PERMANENTFLAGS (\\Answered \\Flagged \\Deleted \\Seen \\Draft)] Flags are kept\r\n";
  out += "* OK [UIDVALIDITY " + std::to_string(validity_) + "] UIDs are valid\r\n";
  out += "* OK [UIDNEXT " + std::to_string(mailbox_.uidNext()) + "] Predicted next UID\r\n";
}

void SelectedMailbox::tellExpunged(std::string& out) {
  const auto& now = mailbox_.messages();
  std::size_t kept = 0;
  auto there = now.begin();
  for (auto& message : known_) {
    while (there != now.end() && there->uid < message.uid) ++there;
    if (there != now.end() && there->uid == message.uid) {
      if (&known_[kept] != &message) known_[kept] = std::move(message);
      ++kept;
    } else {
      out += "* " + std::to_string(kept + 1) + " EXPUNGE\r\n";  // those behind it have moved up already
    }
  }
  known_.resize(kept);
}

void SelectedMailbox::refresh(std::string& out, bool mayExpunge) {
  scan();
  if (lost_) return;
  if (mayExpunge) tellExpunged(out);
  const auto& now = mailbox_.messages();
  auto fresh = now.begin();
  for (std::size_t i = 0; i < known_.size(); ++i) {
    auto& message = known_[i];
    while (fresh != now.end() && fresh->uid < message.uid) ++fresh;
    if (fresh == now.end()) break;
    if (fresh->uid != message.uid) continue;
    const bool news = fresh->flags != message.flags;
    message.flags = fresh->flags;
    message.recent = fresh->recent;
    if (news) tellFlags(out, i);
  }
  const std::uint32_t last = known_.empty() ? 0 : known_.back().uid;
  const auto firstNew = std::upper_bound(now.begin(), now.end(), last,
                                         [](std::uint32_t uid, const mail::MessageInfo& m) { return uid < m.uid; });
  if (firstNew == now.end()) return;
  known_.insert(known_.end(), firstNew, now.end());
  tellCounts(out, known_);
}

std::optional<std::vector<std::size_t>> SelectedMailbox::resolve(const SequenceSet& set, bool uids) const {
  std::vector<std::size_t> places;
  if (uids) {
    for (const auto& range : set.ranges(known_.empty() ? 0 : known_.back().uid)) {
      auto at = std::lower_bound(known_.begin(), known_.end(), range.first, byUid);
      for (; at != known_.end() && at->uid <= range.second; ++at) {
        places.push_back(static_cast<std::size_t>(at - known_.begin()));
      }
    }
    return places;
  }
  const auto count = static_cast<std::uint32_t>(known_.size());
  if (count == 0 && set.largestNumber() <= 1) return places;  // "1:*" is asked of empty mailboxes too
  if (set.largestNumber() > count) return {};
  for (const auto& range : set.ranges(count)) {
    for (std::size_t number = std::max(range.first, 1U); number <= range.second; ++number) places.push_back(number - 1);
  }
  return places;
}

std::optional<std::string> SelectedMailbox::read(std::size_t at) const {
  const auto* message = find(mailbox_.messages(), known_[at].uid);
  if (!message) return {};
  return mailbox_.read(*message);
}

bool SelectedMailbox::setFlags(std::size_t at, const mail::Flags& flags) {
  if (!mailbox_.setFlags(known_[at].uid, flags)) return false;
  known_[at].flags = flags;
  return true;
}

void SelectedMailbox::remove(const std::vector<std::uint32_t>& uids) {
  for (const auto uid : uids) mailbox_.remove(uid);
}

void SelectedMailbox::tellFlags(std::string& out, std::size_t at) const {
  const auto& message = known_[at];
  out += "* " + std::to_string(at + 1) + " FETCH (UID " + std::to_string(message.uid) + " FLAGS ";
  appendFlags(out, message.flags, message.recent);
  out += ")\r\n";
}

}  // namespace postern::imap
