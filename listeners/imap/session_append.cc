// Literals, and the one that is a message: APPEND.
#include <algorithm>
#include <utility>

#include "listeners/imap/session.h"

namespace postern::imap {

// Reached only where no message follows: the announcement of one was literalTurn's.
void Session::appendCommand(Step& step, Command& command) {
  bad(step, command.tag, "Expected APPEND mailbox (flag ...) \"date\" {size}");
}

// The client announces a literal. A synchronizing one waits for our "+", so it can be refused here without harm; any
// other is under way already.
bool Session::literalTurn(Step& step) {
  const auto literal = reader_.literal();
  const std::string_view text = reader_.text();
  const std::string tag(text.substr(0, text.find(' ')));
  Scanner from(text.substr(tag.size()));
  const std::string name = from.space() ? from.word() : "";
  const auto refuse = [&](std::string_view why) {
    if (!literal.synchronizing) {
      close(step, "BYE [TOOBIG] The literal is too large");
      return true;
    }
    reader_.drop();
    say(step, isTag(tag) ? tag : "*", why);
    return true;
  };
  if (maildir_ && isTag(tag) && name == "APPEND" && from.space()) {
    if (auto request = parseAppend(from)) {
      if (literal.bytes > Append::largestMessage) return refuse("NO [TOOBIG] The message is too large");
      std::string owner = tag;
      reader_.drop();
      beginAppend(step, std::move(owner), std::move(*request));
      return true;
    }
  }
  // Before the password is sent.
  if (literal.synchronizing && name == "LOGIN" && !maildir_ && !mayLogIn()) {
    return refuse("NO [PRIVACYREQUIRED] Log in with TLS only");
  }
  if (!reader_.acceptLiteral()) return refuse("BAD The literal is too large");
  if (literal.synchronizing) step.reply += "+ Go on\r\n";
  return true;
}

void Session::beginAppend(Step& step, std::string tag, AppendRequest request) {
  tag_ = tag;
  append_ = std::make_unique<Append>(std::move(tag), std::move(request));
  Job job;
  job.piece = [this](std::string&) {
    append_->begin(*maildir_);
    return true;
  };
  job.done = [this](Step& then) {
    const bool waits = append_->request().literal.synchronizing;
    if (append_->refused() && waits) {
      say(then, append_->tag(), append_->refusal());
      append_.reset();
      return;
    }
    if (waits) then.reply += "+ Go on\r\n";
    mode_ = Mode::Append;
  };
  job.failed = [this, done = job.done](Step& then) {
    append_->refuse("NO [UNAVAILABLE] The message cannot be stored just now");
    done(then);
  };
  start(step, std::move(job));
}

bool Session::appendTurn(Step& step) {
  if (append_->left() > 0) {
    const auto wanted = static_cast<std::size_t>(std::min<std::uint64_t>(append_->left(), Append::pieceBytes));
    if (append_->refused()) {
      const auto skipped = reader_.takeBytes(wanted).size();
      append_->took(skipped);
      return skipped > 0;
    }
    if (reader_.waiting() < wanted) return false;
    Job job;
    job.piece = [this, bytes = std::string(reader_.takeBytes(wanted))](std::string&) {
      append_->write(bytes);
      return true;
    };
    append_->took(wanted);
    job.done = [](Step&) {};
    job.failed = [this](Step&) { append_->refuse("NO [UNAVAILABLE] The message cannot be stored just now"); };
    start(step, std::move(job));
    return true;
  }
  const auto line = reader_.takeLine();
  if (!line) return false;
  mode_ = Mode::Command;
  if (reader_.tooLong()) {
    close(step, "BYE Line too long");
  } else if (!line->empty()) {
    const std::string tag = append_->tag();
    append_.reset();
    bad(step, tag, "One message at a time");
    // A further message that does not wait for our "+" would be taken for commands.
    if (line->ends_with("+}")) close(step, "BYE One message at a time");
  } else if (append_->refused()) {
    say(step, append_->tag(), append_->refusal());
    append_.reset();
  } else {
    commitAppend(step);
  }
  return true;
}

void Session::commitAppend(Step& step) {
  const auto code = std::make_shared<std::string>();
  Job job;
  job.piece = [this, code](std::string& out) {
    *code = append_->commit(*maildir_);
    if (selected_ && selected_->name() == append_->request().mailbox) selected_->refresh(out, true);
    return true;
  };
  job.done = [this, code](Step& then) {
    say(then, append_->tag(), "OK " + *code + "Done");
    append_.reset();
  };
  job.failed = [this](Step& then) {
    say(then, append_->tag(), "NO [UNAVAILABLE] The message cannot be stored just now");
    append_.reset();
  };
  start(step, std::move(job));
}

}  // namespace postern::imap
