// The commands on the messages of the selected mailbox: FETCH, STORE, SEARCH, COPY, MOVE, EXPUNGE, their UID forms; and
// IDLE.
#include <utility>

#include "base/text.h"
#include "listeners/imap/fetch.h"
#include "listeners/imap/message_commands.h"
#include "listeners/imap/search.h"
#include "listeners/imap/session.h"

namespace postern::imap {
namespace {

constexpr std::string_view noSuchNumber = "BAD There is no message of that number";
constexpr std::string_view someGone = "NO [EXPUNGEISSUED] Some of the messages are gone";
constexpr std::string_view readOnlyMailbox = "NO [NOPERM] The mailbox is selected read-only";

bool byUid(const std::string& commandName) {
  return commandName.starts_with("UID ");
}

std::optional<SequenceSet> setArgument(Scanner& from) {
  if (!from.space()) return {};
  return SequenceSet::parse(from);
}

// A command whose messages are looked up once the disk was looked at, so that "*" is what is there now.
template <class Work>
struct Pending {
  SequenceSet set;
  bool uids = false, noSuch = false;
  std::optional<Work> work;

  // False when the set names what is not there.
  template <class Make>
  bool begin(SelectedMailbox& mailbox, std::string& out, Make make) {
    if (work) return true;
    mailbox.refresh(out, false);
    auto places = mailbox.resolve(set, uids);
    noSuch = !places;
    if (places) make(std::move(*places));
    return !noSuch;
  }
};

}  // namespace

void Session::refresh(Step& step, std::function<void(Step&)> done) {
  if (!selected_) return done(step);
  Job job;
  job.piece = [this](std::string& out) {
    selected_->refresh(out, true);
    return true;
  };
  if (mode_ == Mode::Idle) {
    job.failed = [this](Step& then) { close(then, "BYE [UNAVAILABLE] The mail cannot be reached just now"); };
  }
  job.done = std::move(done);
  start(step, std::move(job));
}

void Session::fetch(Step& step, Command& command) {
  auto& from = command.arguments;
  auto set = setArgument(from);
  auto items = set && from.space() ? parseFetchItems(from) : std::nullopt;
  if (!items) return bad(step, command.tag, "Expected " + command.name + " set items");
  const auto pending = std::make_shared<Pending<Fetch>>();
  pending->set = std::move(*set);
  pending->uids = byUid(command.name);
  Job job;
  job.piece = [this, pending, items = std::move(*items)](std::string& out) {
    const bool some = pending->begin(*selected_, out, [&](std::vector<std::size_t> places) {
      pending->work.emplace(*selected_, std::move(places), items, pending->uids);
    });
    return !some || pending->work->run(out);
  };
  job.done = [pending, tag = command.tag](Step& then) {
    say(then, tag, pending->noSuch ? noSuchNumber : pending->work->missed() ? someGone : "OK Done");
  };
  start(step, std::move(job));
}

void Session::store(Step& step, Command& command) {
  auto& from = command.arguments;
  auto set = setArgument(from);
  const auto request = set && from.space() ? parseStore(from) : std::nullopt;
  if (!request) return bad(step, command.tag, "Expected " + command.name + " set FLAGS (flag ...)");
  if (selected_->readOnly()) return say(step, command.tag, readOnlyMailbox);
  const auto pending = std::make_shared<Pending<Store>>();
  pending->set = std::move(*set);
  pending->uids = byUid(command.name);
  Job job;
  job.piece = [this, pending, request = *request](std::string& out) {
    const bool some = pending->begin(*selected_, out, [&](std::vector<std::size_t> places) {
      pending->work.emplace(*selected_, std::move(places), request);
    });
    return !some || pending->work->run(out);
  };
  job.done = [pending, tag = command.tag](Step& then) {
    say(then, tag, pending->noSuch ? noSuchNumber : pending->work->missed() ? someGone : "OK Done");
  };
  start(step, std::move(job));
}

void Session::search(Step& step, Command& command) {
  if (!command.arguments.space()) return bad(step, command.tag, "Expected " + command.name + " keys");
  auto program = parseSearch(command.arguments);
  switch (program.problem) {
    case SearchProgram::Problem::None: break;
    case SearchProgram::Problem::Syntax: return bad(step, command.tag, "There is an error in the search keys");
    case SearchProgram::Problem::Charset:
      return say(step, command.tag, "NO [BADCHARSET (US-ASCII UTF-8)] Unknown charset");
  }
  const auto work = std::make_shared<Search>(*selected_, std::move(program.key), byUid(command.name));
  Job job;
  job.piece = [work](std::string& out) { return work->run(out); };
  job.done = [tag = command.tag](Step& then) { say(then, tag, "OK Done"); };
  start(step, std::move(job));
}

void Session::copy(Step& step, Command& command) {
  auto& from = command.arguments;
  auto set = setArgument(from);
  auto target = set && from.space() ? from.mailbox() : std::nullopt;
  if (!target || !from.atEnd()) return bad(step, command.tag, "Expected " + command.name + " set mailbox");
  const bool moves = command.name.ends_with("MOVE");
  if (moves && selected_->readOnly()) return say(step, command.tag, readOnlyMailbox);
  const auto pending = std::make_shared<Pending<Copy>>();
  const auto noTarget = std::make_shared<bool>(false);
  pending->set = std::move(*set);
  pending->uids = byUid(command.name);
  Job job;
  job.piece = [this, pending, noTarget, moves, target = std::move(*target)](std::string& out) {
    *noTarget = !maildir_->exists(target);
    if (*noTarget) return true;
    const bool some = pending->begin(*selected_, out, [&](std::vector<std::size_t> places) {
      pending->work.emplace(*selected_, std::move(places), *maildir_->path(target));
    });
    if (!some) return true;
    if (!pending->work->run()) return false;
    if (moves && !pending->work->missed()) {
      if (const auto code = pending->work->responseCode(); !code.empty()) out += "* OK " + code + "Moved\r\n";
      selected_->remove(pending->work->sourceUids());
    }
    selected_->refresh(out, true);
    return true;
  };
  job.done = [pending, noTarget, moves, tag = command.tag](Step& then) {
    if (*noTarget) return say(then, tag, "NO [TRYCREATE] There is no such mailbox");
    if (pending->noSuch) return say(then, tag, noSuchNumber);
    if (pending->work->missed()) return say(then, tag, someGone);
    say(then, tag, "OK " + (moves ? "" : pending->work->responseCode()) + "Done");
  };
  start(step, std::move(job));
}

void Session::expunge(Step& step, Command& command) {
  std::optional<SequenceSet> set;
  if (byUid(command.name)) {
    set = setArgument(command.arguments);
    if (!set) return bad(step, command.tag, "Expected UID EXPUNGE set");
  }
  if (!command.arguments.atEnd()) return bad(step, command.tag, command.name + " takes no more than that");
  if (selected_->readOnly()) return say(step, command.tag, readOnlyMailbox);
  Job job;
  job.piece = [this, set = std::move(set)](std::string& out) {
    imap::expunge(*selected_, set, out);
    return true;
  };
  job.done = [tag = command.tag](Step& then) { say(then, tag, "OK Done"); };
  start(step, std::move(job));
}

void Session::idle(Step& step, Command& command) {
  if (!command.arguments.atEnd()) return bad(step, command.tag, "IDLE takes nothing");
  mode_ = Mode::Idle;
  step.reply += "+ idling\r\n";
  refresh(step, [](Step&) {});
}

void Session::idleTurn(Step& step, const std::string& line) {
  mode_ = Mode::Command;
  if (!equalsIgnoringCase(line, "DONE")) return bad(step, tag_, "Expected DONE");
  refresh(step, [tag = tag_](Step& then) { say(then, tag, "OK Done"); });
}

}  // namespace postern::imap
