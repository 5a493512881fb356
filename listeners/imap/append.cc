#include "listeners/imap/append.h"

#include <utility>

#include "listeners/imap/dates.h"
#include "listeners/imap/message_commands.h"

namespace postern::imap {

std::optional<AppendRequest> parseAppend(Scanner& from) {
  AppendRequest request;
  auto mailbox = from.mailbox();
  if (!mailbox || !from.space()) return {};
  request.mailbox = std::move(*mailbox);
  if (from.peek() == '(') {
    request.flags = from.flags();
    if (!request.flags || !from.space()) return {};
  }
  if (from.peek() == '"') {
    const auto text = from.string();
    request.date = text ? parseDateTime(*text) : std::nullopt;
    if (!request.date || !from.space()) return {};
  }
  const auto literal = from.openLiteral();
  if (!literal) return {};
  request.literal = *literal;
  return request;
}

void Append::refuse(std::string why) {
  incoming_.reset();
  refusal_ = std::move(why);
}

bool Append::begin(const mail::Maildir& maildir) {
  if (!maildir.exists(request_.mailbox)) {
    refuse("NO [TRYCREATE] There is no such mailbox");
    return false;
  }
  incoming_.emplace(*maildir.path(request_.mailbox));
  return true;
}

void Append::write(std::string_view bytes) {
  incoming_->append(bytes);
}

std::string Append::commit(const mail::Maildir& maildir) {
  const bool anyFlag = request_.flags && *request_.flags != mail::Flags{};
  incoming_->commit(anyFlag ? request_.flags : std::nullopt, request_.date);
  const auto [validity, uid] = findUid(*maildir.path(request_.mailbox), incoming_->name());
  incoming_.reset();
  if (uid == 0) return {};
  return "[APPENDUID " + std::to_string(validity) + ' ' + std::to_string(uid) + "] ";
}

}  // namespace postern::imap
