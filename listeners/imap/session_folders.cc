// The commands on folders: NAMESPACE, LIST, LSUB, SUBSCRIBE, CREATE, DELETE, RENAME, STATUS, SELECT, CLOSE and their
// kin.
#include <utility>

#include "listeners/imap/folder_commands.h"
#include "listeners/imap/message_commands.h"
#include "listeners/imap/session.h"

namespace postern::imap {
namespace {

constexpr std::size_t longestPattern = 500;

// The one argument that is a mailbox.
std::optional<std::string> onlyMailbox(Scanner& from) {
  if (!from.space()) return {};
  auto name = from.mailbox();
  if (!name || !from.atEnd()) return {};
  return name;
}

// How the four simple commands end.
std::string changed(const mail::Maildir& maildir, const std::string& verb, std::string name) {
  // "CREATE Work." announces inferiors, which every folder may have here.
  if (verb == "CREATE" && name.size() > 1 && name.ends_with('.')) name.pop_back();
  if (!maildir.path(name)) return "NO [CANNOT] That cannot be a mailbox name";
  mail::Maildir writable = maildir;
  if (verb == "CREATE") {
    if (maildir.exists(name)) return "NO [ALREADYEXISTS] There is such a mailbox";
    return writable.create(name) ? "OK Done" : "NO [CANNOT] That cannot be a mailbox name";
  }
  if (verb == "DELETE") {
    if (name == "INBOX") return "NO [CANNOT] INBOX stays";
    return writable.remove(name) ? "OK Done" : "NO [NONEXISTENT] There is no such mailbox";
  }
  if (verb == "SUBSCRIBE" && !maildir.exists(name)) return "NO [NONEXISTENT] There is no such mailbox";
  writable.subscribe(name, verb == "SUBSCRIBE");
  return "OK Done";
}

}  // namespace

void Session::namespaces(Step& step, Command& command) {
  if (!command.arguments.atEnd()) return bad(step, command.tag, "NAMESPACE takes nothing");
  say(step, "*", "NAMESPACE ((\"\" \".\")) NIL NIL");
  say(step, command.tag, "OK Done");
}

void Session::listFolders(Step& step, Command& command) {
  auto& from = command.arguments;
  std::optional<std::string> reference, pattern;
  if (from.space()) reference = from.mailbox();
  if (reference && from.space()) pattern = from.listMailbox();
  if (!pattern || !from.atEnd() || reference->size() + pattern->size() > longestPattern) {
    return bad(step, command.tag, "Expected " + command.name + " reference pattern");
  }
  Job job;
  job.piece = [this, request = ListRequest{command.name == "LSUB", *reference, *pattern}](std::string& out) {
    list(out, *maildir_, request);
    return true;
  };
  job.done = [tag = command.tag](Step& then) { say(then, tag, "OK Done"); };
  start(step, std::move(job));
}

void Session::changeFolder(Step& step, Command& command) {
  auto name = onlyMailbox(command.arguments);
  if (!name) return bad(step, command.tag, "Expected " + command.name + " mailbox");
  if (command.name == "DELETE" && selected_ && selected_->name() == *name) {
    return say(step, command.tag, "NO [INUSE] The mailbox is selected");
  }
  const auto answer = std::make_shared<std::string>();
  Job job;
  job.piece = [this, answer, verb = command.name, name = std::move(*name)](std::string&) {
    *answer = changed(*maildir_, verb, name);
    return true;
  };
  job.done = [answer, tag = command.tag](Step& then) { say(then, tag, *answer); };
  start(step, std::move(job));
}

void Session::renameFolder(Step& step, Command& command) {
  auto& from = command.arguments;
  std::optional<std::string> oldName, newName;
  if (from.space()) oldName = from.mailbox();
  if (oldName && from.space()) newName = from.mailbox();
  if (!newName || !from.atEnd()) return bad(step, command.tag, "Expected RENAME mailbox mailbox");
  if (selected_ && (selected_->name() == *oldName || selected_->name().starts_with(*oldName + '.')) &&
      *oldName != "INBOX") {
    return say(step, command.tag, "NO [INUSE] The mailbox is selected");
  }
  const auto answer = std::make_shared<std::string>();
  Job job;
  job.piece = [this, answer, oldName = std::move(*oldName), newName = std::move(*newName)](std::string&) {
    if (!maildir_->exists(oldName)) {
      *answer = "NO [NONEXISTENT] There is no such mailbox";
    } else if (maildir_->exists(newName)) {
      *answer = "NO [ALREADYEXISTS] There is such a mailbox";
    } else {
      *answer = maildir_->rename(oldName, newName) ? "OK Done" : "NO [CANNOT] It cannot be renamed to that";
    }
    return true;
  };
  job.done = [this, answer, tag = command.tag](Step& then) {
    // INBOX may have given its messages away.
    refresh(then, [answer, tag](Step& last) { say(last, tag, *answer); });
  };
  start(step, std::move(job));
}

void Session::folderStatus(Step& step, Command& command) {
  auto request = command.arguments.space() ? parseStatus(command.arguments) : std::nullopt;
  if (!request) return bad(step, command.tag, "Expected STATUS mailbox (item ...)");
  const auto exists = std::make_shared<bool>(false);
  Job job;
  job.piece = [this, exists, request = std::move(*request)](std::string& out) {
    *exists = status(out, *maildir_, request);
    return true;
  };
  job.done = [exists, tag = command.tag](Step& then) {
    say(then, tag, *exists ? "OK Done" : "NO [NONEXISTENT] There is no such mailbox");
  };
  start(step, std::move(job));
}

void Session::select(Step& step, Command& command) {
  auto name = onlyMailbox(command.arguments);
  if (!name) return bad(step, command.tag, "Expected " + command.name + " mailbox");
  const bool readOnly = command.name == "EXAMINE";
  selected_.reset();  // also where the new one cannot be opened (RFC 3501 section 6.3.1)
  const auto opened = std::make_shared<std::unique_ptr<SelectedMailbox>>();
  Job job;
  job.piece = [this, opened, readOnly, name = std::move(*name)](std::string& out) {
    if (!maildir_->exists(name)) return true;
    auto mailbox = std::make_unique<SelectedMailbox>(name, *maildir_->path(name), readOnly);
    std::string told;
    mailbox->open(told);
    out += told;
    *opened = std::move(mailbox);
    return true;
  };
  job.done = [this, opened, tag = command.tag](Step& then) {
    selected_ = std::move(*opened);
    if (!selected_) return say(then, tag, "NO [NONEXISTENT] There is no such mailbox");
    say(then, tag, selected_->readOnly() ? "OK [READ-ONLY] Done" : "OK [READ-WRITE] Done");
  };
  start(step, std::move(job));
}

void Session::leave(Step& step, Command& command) {
  if (!command.arguments.atEnd()) return bad(step, command.tag, command.name + " takes nothing");
  if (command.name == "UNSELECT" || selected_->readOnly()) {
    selected_.reset();
    return say(step, command.tag, "OK Done");
  }
  Job job;
  job.piece = [this](std::string&) {
    std::string unsaid;  // CLOSE tells nothing of what it removes
    imap::expunge(*selected_, {}, unsaid);
    return true;
  };
  job.done = [this, tag = command.tag](Step& then) {
    selected_.reset();
    say(then, tag, "OK Done");
  };
  start(step, std::move(job));
}

}  // namespace postern::imap
