#include "listeners/imap/search.h"

#include <algorithm>
#include <chrono>
#include <optional>

#include "base/text.h"
#include "listeners/imap/message_structure.h"
#include "listeners/imap/mime.h"

namespace postern::imap {
namespace {

using Kind = SearchKey::Kind;
constexpr std::size_t pieceBytes = 8 << 20;  // of messages read at one go
constexpr std::size_t pieceMessages = 20000;

// The searchable text of all parts of a message.
void collectText(const Part& part, std::string& text) {
  if (part.isMultipart() || part.isMessage()) {
    for (const auto& child : part.parts) {
      if (part.isMessage()) text += caseFolded(decodedHeader(child.header)) + '\n';
      collectText(child, text);
    }
  } else if (part.type.is("text")) {
    text += caseFolded(decodedText(part.body, part.encoding.value_or(""), part.type.parameter("charset")));
    text += '\n';
  }
}

// One message under the eyes of a search: read and decoded no sooner than a key needs it, and once.
class Candidate {
 public:
  Candidate(const SelectedMailbox& mailbox, std::size_t at) : mailbox_(mailbox), at_(at) {}

  const mail::MessageInfo& info() const { return mailbox_.messages()[at_]; }
  std::size_t bytesRead() const { return message_ ? message_->size() : 0; }

  bool matches(const SearchKey& key) {
    const auto every = [this](const SearchKey& inner) { return matches(inner); };
    const auto day = [this] { return std::chrono::floor<std::chrono::days>(info().internalDate); };
    const auto& flags = info().flags;
    switch (key.kind) {
      case Kind::All: return true;
      case Kind::Nothing: return false;
      case Kind::And: return std::all_of(key.keys.begin(), key.keys.end(), every);
      case Kind::Or: return std::any_of(key.keys.begin(), key.keys.end(), every);
      case Kind::Not: return !matches(key.keys.front());
      case Kind::Seen: return flags.seen;
      case Kind::Answered: return flags.answered;
      case Kind::Flagged: return flags.flagged;
      case Kind::Deleted: return flags.deleted;
      case Kind::Draft: return flags.draft;
      case Kind::Recent: return info().recent;
      case Kind::Sequence: return contains(key.ranges, static_cast<std::uint32_t>(at_ + 1));
      case Kind::Uid: return contains(key.ranges, info().uid);
      case Kind::Before: return day() < key.date;
      case Kind::On: return day() == key.date;
      case Kind::Since: return day() >= key.date;
      case Kind::SentBefore: return sent() && *sent() < key.date;
      case Kind::SentOn: return sent() && *sent() == key.date;
      case Kind::SentSince: return sent() && *sent() >= key.date;
      case Kind::Larger: return info().size > key.size;
      case Kind::Smaller: return info().size < key.size;
      case Kind::Header: return headerHas(key.field, key.text);
      case Kind::Body: return body().find(key.text) != std::string::npos;
      case Kind::Text:
        return header().find(key.text) != std::string::npos || body().find(key.text) != std::string::npos;
    }
    return false;
  }

 private:
  // What is gone has no text.
  const std::string& message() {
    if (!message_) message_ = mailbox_.read(at_).value_or("");
    return *message_;
  }
  const std::vector<HeaderField>& fields() {
    if (!fields_) fields_ = headerFields(message());
    return *fields_;
  }
  const std::optional<std::chrono::sys_days>& sent() {
    if (!sentKnown_) {
      sentKnown_ = true;
      const auto date = fieldValue(fields(), "Date");
      if (date) sent_ = parseHeaderDate(*date);
    }
    return sent_;
  }
  bool headerHas(const std::string& name, const std::string& text) {
    return std::any_of(fields().begin(), fields().end(), [&](const HeaderField& field) {
      return equalsIgnoringCase(field.name, name) &&
             (text.empty() || caseFolded(decodedHeader(field.value)).find(text) != std::string::npos);
    });
  }
  const std::string& header() {
    if (!header_) {
      header_.emplace();
      for (const auto& field : fields()) {
        *header_ += caseFolded(std::string(field.name) + ": " + decodedHeader(field.value)) + '\n';
      }
    }
    return *header_;
  }
  const std::string& body() {
    if (!body_) {
      body_.emplace();
      collectText(parseStructure(message()), *body_);
    }
    return *body_;
  }

  const SelectedMailbox& mailbox_;
  std::size_t at_;
  std::optional<std::string> message_, header_, body_;
  std::optional<std::vector<HeaderField>> fields_;
  std::optional<std::chrono::sys_days> sent_;
  bool sentKnown_ = false;
};

}  // namespace

bool Search::run(std::string& out) {
  if (!started_) {
    started_ = true;
    mailbox_.refresh(out, false);
    const auto& messages = mailbox_.messages();
    key_.prepare(static_cast<std::uint32_t>(messages.size()), messages.empty() ? 0 : messages.back().uid);
  }
  std::size_t bytes = 0;
  const std::size_t until = std::min(mailbox_.messages().size(), at_ + pieceMessages);
  for (; at_ < until && bytes < pieceBytes; ++at_) {
    Candidate candidate(mailbox_, at_);
    if (candidate.matches(key_)) {
      found_.push_back(byUid_ ? candidate.info().uid : static_cast<std::uint32_t>(at_ + 1));
    }
    bytes += candidate.bytesRead();
  }
  if (at_ < mailbox_.messages().size()) return false;
  out += "* SEARCH";
  for (const auto number : found_) out += ' ' + std::to_string(number);
  out += "\r\n";
  return true;
}

}  // namespace postern::imap
