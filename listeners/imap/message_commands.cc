#include "listeners/imap/message_commands.h"

#include <algorithm>
#include <unordered_map>

namespace postern::imap {
namespace {

constexpr std::size_t storesAtOnce = 500;
constexpr std::size_t copiesAtOnce = 50;

mail::Flags combined(const mail::Flags& old, const StoreRequest& request) {
  const auto& given = request.flags;
  const auto one = [&](bool before, bool named) {
    switch (request.how) {
      case StoreRequest::How::Replace: return named;
      case StoreRequest::How::Add: return before || named;
      case StoreRequest::How::Remove: return before && !named;
    }
    return before;
  };
  return {one(old.seen, given.seen), one(old.answered, given.answered), one(old.flagged, given.flagged),
          one(old.deleted, given.deleted), one(old.draft, given.draft)};
}

// A message without flags goes to new/, where it will be \Recent to the next who looks.
std::optional<mail::Flags> unlessNone(const mail::Flags& flags) {
  if (flags == mail::Flags{}) return {};
  return flags;
}

}  // namespace

std::optional<StoreRequest> parseStore(Scanner& from) {
  StoreRequest request;
  if (from.take('+')) {
    request.how = StoreRequest::How::Add;
  } else if (from.take('-')) {
    request.how = StoreRequest::How::Remove;
  }
  const std::string word = from.word();
  if (word != "FLAGS" && word != "FLAGS.SILENT") return {};
  request.silent = word == "FLAGS.SILENT";
  if (!from.space()) return {};
  const auto flags = from.flags(true);
  if (!flags || !from.atEnd()) return {};
  request.flags = *flags;
  return request;
}

bool Store::run(std::string& out) {
  // What another session has set since is kept by + and -.
  mailbox_.refresh(out, false);
  for (std::size_t count = 0; count < storesAtOnce && next_ < places_.size(); ++count, ++next_) {
    const std::size_t place = places_[next_];
    const auto old = mailbox_.messages()[place].flags;
    const auto flags = combined(old, request_);
    if (flags != old && !mailbox_.setFlags(place, flags)) {
      missed_ = true;
      continue;
    }
    if (!request_.silent) mailbox_.tellFlags(out, place);
  }
  return next_ >= places_.size();
}

bool Copy::run() {
  try {
    for (std::size_t count = 0; count < copiesAtOnce && next_ < places_.size(); ++count, ++next_) {
      const auto& info = mailbox_.messages()[places_[next_]];
      const auto message = mailbox_.read(places_[next_]);
      if (!message) {
        missed_ = true;
        undo();
        return true;
      }
      mail::Incoming copy(target_);
      copy.append(*message);
      copy.commit(unlessNone(info.flags), info.internalDate);
      copies_.push_back(std::move(copy));
      from_.push_back(info.uid);
    }
    if (next_ < places_.size()) return false;
    number();
    return true;
  } catch (...) {
    undo();
    throw;
  }
}

void Copy::undo() noexcept {
  for (auto& copy : copies_) copy.withdraw();
  copies_.clear();
  from_.clear();
}

void Copy::number() {
  if (copies_.empty()) return;
  mail::Mailbox target(target_);
  target.scan(false);
  std::unordered_map<std::string, std::uint32_t> uids;
  for (const auto& message : target.messages()) uids.emplace(mail::baseName(message.file), message.uid);
  for (const auto& copy : copies_) {
    const auto at = uids.find(copy.name());
    if (at != uids.end()) to_.push_back(at->second);
  }
  validity_ = target.uidValidity();
}

std::string Copy::responseCode() const {
  // Where another client has taken a copy away already there is nothing true to say.
  if (to_.empty() || to_.size() != from_.size()) return {};
  // Both sets in the order of the copying: the n-th of one is the n-th of the other.
  return "[COPYUID " + std::to_string(validity_) + ' ' + formatSet(from_) + ' ' + formatSet(to_) + "] ";
}

void expunge(SelectedMailbox& mailbox, const std::optional<SequenceSet>& uids, std::string& out) {
  mailbox.refresh(out, true);
  if (mailbox.lost()) return;
  std::vector<SequenceSet::Range> ranges;
  if (uids) ranges = uids->ranges(mailbox.messages().empty() ? 0 : mailbox.messages().back().uid);
  std::vector<std::uint32_t> doomed;
  for (const auto& message : mailbox.messages()) {
    if (message.flags.deleted && (!uids || contains(ranges, message.uid))) doomed.push_back(message.uid);
  }
  if (doomed.empty()) return;
  mailbox.remove(doomed);
  mailbox.refresh(out, true);
}

std::pair<std::uint32_t, std::uint32_t> findUid(const std::filesystem::path& folder, const std::string& baseName) {
  mail::Mailbox mailbox(folder);
  mailbox.scan(false);
  const auto& messages = mailbox.messages();
  const auto found = std::find_if(messages.rbegin(), messages.rend(), [&](const auto& message) {
    return mail::baseName(message.file) == baseName;  // most likely among the newest
  });
  return {mailbox.uidValidity(), found == messages.rend() ? 0 : found->uid};
}

}  // namespace postern::imap
