// MAIL, RCPT and DATA: a message from its envelope to the 250 that makes it ours (RFC 5321 sections 3.3 and 4.1.1).
#include <fmt/format.h>

#include <atomic>
#include <charconv>
#include <utility>

#include "base/text.h"
#include "listeners/smtp/command.h"
#include "listeners/smtp/session.h"

namespace postern::smtp {
namespace {

constexpr std::size_t chunkSize = 64 << 10;  // of content in memory

std::string newId(Time at) {
  static std::atomic<unsigned> count{0};
  return fmt::format("{:X}{:03X}", at.time_since_epoch().count(), count++ & 0xfff);
}

}  // namespace

void Session::resetMail() {
  mailGiven_ = utf8_ = begun_ = failed_ = false;
  sender_ = {};
  recipients_.clear();
  onlyRecipient_.clear();
  reader_ = {};
  chunk_.clear();
  transaction_.reset();
  verdict_.clear();
}

void Session::mail(std::string_view argument) {
  if (mustEncrypt()) return refuse("530 5.7.0 Must issue a STARTTLS command first");
  if (loginPending()) return refuse("530 5.7.0 Authentication required");
  if (helo_.empty()) return refuse("503 5.5.1 Send EHLO first");
  if (mailGiven_) return refuse("503 5.5.1 Nested MAIL command");
  if (!dropKeyword(argument, "FROM:")) return refuse("501 5.5.4 Syntax: MAIL FROM:<address>");
  const auto sender = takePath(argument);
  if (!sender || (!sender->null() && sender->domain.empty())) return refuse("501 5.1.7 Bad sender address syntax");
  if (!mailParameters(argument, *sender)) return;
  sender_ = *sender;
  mailGiven_ = true;
  say("250 2.1.0 Ok");
}

bool Session::mailParameters(std::string_view text, const Path& sender) {
  const auto no = [this](std::string_view reply) {
    refuse(reply);
    return false;
  };
  const auto parameters = parseParameters(text);
  if (!parameters) return no("501 5.5.4 Malformed MAIL parameters");
  bool utf8 = false;
  for (const auto& parameter : *parameters) {
    const auto& value = parameter.value;
    if (parameter.keyword == "SIZE") {
      std::uint64_t size = 0;
      const auto end = value.data() + value.size();
      const auto result = std::from_chars(value.data(), end, size);
      if (value.empty() || result.ptr != end || value.size() > 20) return no("501 5.5.4 Bad value of SIZE");
      if (result.ec != std::errc() || size > options_.maxMessageSize) {
        return no("552 5.3.4 Message size exceeds the limit");
      }
    } else if (parameter.keyword == "BODY") {
      if (!equalsIgnoringCase(value, "7BIT") && !equalsIgnoringCase(value, "8BITMIME")) {
        return no("501 5.5.4 Bad value of BODY");
      }
    } else if (parameter.keyword == "SMTPUTF8") {
      if (parameter.hasValue) return no("501 5.5.4 SMTPUTF8 takes no value");
      utf8 = true;
    } else if (parameter.keyword == "AUTH" && settings_.role == listeners::Role::Submission) {
      // RFC 4954 section 5: taken from who has logged in, and told to nobody.
      if (value.empty()) return no("501 5.5.4 Bad value of AUTH");
    } else {
      return no("555 5.5.4 MAIL parameter not recognized");
    }
  }
  if (!sender.ascii && !utf8) return no("553 5.6.7 Address needs SMTPUTF8");
  utf8_ = utf8;
  return true;
}

void Session::refuseRecipient(std::string_view reply, const Path& path) {
  log_.debug("smtp.message.refused",
             about({{"from", sender_.text}, {"to", path.text}, {"reason", std::string(reply)}}));
  say(reply);
  if (++refusedRecipients_ < options_.maxRefusedRecipients) return;
  say("421 4.7.0 " + hostname() + " Too many refused recipients, closing connection");
  close();
}

void Session::rcpt(std::string_view argument) {
  if (!mailGiven_) return refuse("503 5.5.1 Send MAIL first");
  if (!dropKeyword(argument, "TO:")) return refuse("501 5.5.4 Syntax: RCPT TO:<address>");
  const auto path = takePath(argument);
  if (!path || path->null()) return refuse("501 5.1.3 Bad recipient address syntax");
  const auto parameters = parseParameters(argument);
  if (!parameters) return refuse("501 5.5.4 Malformed RCPT parameters");
  if (!parameters->empty()) return refuse("555 5.5.4 RCPT parameter not recognized");
  if (!path->ascii && !utf8_) return refuse("553 5.6.7 Address needs SMTPUTF8");
  if (recipients_.size() >= options_.maxRecipients) return say("452 4.5.3 Too many recipients");

  const bool bare = path->domain.empty();  // <postmaster>
  if (!bare && !accounts_->isLocalDomain(path->domain)) {
    return refuseRecipient(settings_.role == listeners::Role::Mx
                               ? "550 5.7.1 Relaying denied"
                               : "550 5.7.1 Cannot relay: only local recipients are served here",
                           *path);
  }
  const auto* account = bare ? accounts_->postmaster() : accounts_->recipient(path->mailbox);
  if (!account) return refuseRecipient("550 5.1.1 No such user here", *path);
  // The user is ours; that nothing is stored is for the administrator to mend, so the sender may keep the message.
  if (!delivery_) return refuseRecipient("451 4.3.5 Local delivery is switched off", *path);
  recipients_.push_back(account);
  onlyRecipient_ = recipients_.size() == 1 ? path->text : "";
  say("250 2.1.5 Ok");
}

void Session::data(std::string_view argument) {
  if (!argument.empty()) return refuse("501 5.5.4 DATA takes no parameters");
  if (!mailGiven_) return refuse("503 5.5.1 Send MAIL first");
  if (recipients_.empty()) return refuse("554 5.5.1 No valid recipients");
  trace_ = {};
  trace_.at = options_.now();
  trace_.id = newId(trace_.at);
  trace_.sender = sender_.text;
  trace_.helo = helo_;
  trace_.peerAddress = peer_.address;
  trace_.hostname = hostname();
  trace_.onlyRecipient = onlyRecipient_;
  trace_.esmtp = esmtp_;
  trace_.authenticated = account_ != nullptr;
  trace_.utf8 = utf8_;
  trace_.encrypted = encrypted_;
  trace_.tls = tls_;
  reader_ = {};
  mode_ = Mode::Data;
  say("354 End data with <CR><LF>.<CR><LF>");
}

bool Session::takeData() {
  const auto rest = std::string_view(input_).substr(at_, chunkSize);
  at_ += reader_.take(rest, chunk_);
  const bool tooLarge = reader_.size() > options_.maxMessageSize;
  const bool lost = tooLarge || reader_.spoiled() || failed_;
  if (lost) chunk_.clear();
  if (reader_.ended()) {
    mode_ = Mode::Command;
    if (reader_.spoiled())
      verdict_ = "550 5.6.11 Bare CR or LF in the message is not permitted";
    else if (tooLarge)
      verdict_ = "552 5.3.4 Message size exceeds the limit";
    else if (failed_)
      verdict_ = "451 4.3.0 Cannot store the message now, try again later";
    if (!lost)
      work_ = Work::Commit;
    else if (transaction_)
      work_ = Work::Discard;
    else
      endData();
    return true;
  }
  if (lost && reader_.taken() > 4 * options_.maxMessageSize + chunkSize) {
    // Nobody reads for ever what he will not keep.
    say("421 4.3.4 " + hostname() + " Message far too large, closing connection");
    close();
    return true;
  }
  if (!lost && chunk_.size() >= chunkSize) work_ = Work::Spool;
  return work_ != Work::None || at_ < input_.size();
}

void Session::spool() {
  if (!begun_) {
    begun_ = true;
    transaction_ = delivery_->begin(recipients_);
    transaction_->append(traceFields(trace_));
    if (trace_.authenticated) transaction_->append(missingFields(chunk_, trace_));
    if (!beginsWithHeader(chunk_)) transaction_->append("\r\n");
  }
  transaction_->append(chunk_);
  chunk_.clear();
}

void Session::endData() {
  if (failed_ && verdict_.empty()) verdict_ = "451 4.3.0 Cannot store the message now, try again later";
  if (verdict_.empty()) {
    log_.info("smtp.message.accepted", about({{"id", trace_.id},
                                              {"from", sender_.text},
                                              {"recipients", recipients_.size()},
                                              {"size", reader_.size()},
                                              {"login", account_ ? account_->name : ""}}));
    say("250 2.0.0 Ok: queued as " + trace_.id);
    errors_ = 0;
  } else {
    log_.debug("smtp.message.refused", about({{"id", trace_.id}, {"from", sender_.text}, {"reason", verdict_}}));
    say(verdict_);
  }
  resetMail();
}

}  // namespace postern::smtp
