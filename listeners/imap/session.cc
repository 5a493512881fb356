#include "listeners/imap/session.h"

#include <algorithm>
#include <array>
#include <exception>
#include <map>
#include <utility>

namespace postern::imap {
namespace {

constexpr int mostBadCommands = 10;
constexpr std::size_t mostReply = 256 << 10;  // of one step, before the output is waited for
constexpr std::chrono::milliseconds idleInterval(1000);

// When a command may be given (RFC 3501 section 3).
constexpr unsigned before = 1, after = 2, selected = 4, always = before | after | selected, loggedIn = after | selected;

// Nobody's IMAP tag; a browser was made to talk to us.
bool isHttp(std::string_view input) {
  constexpr std::array<std::string_view, 9> verbs{"GET ",     "POST ",    "HEAD ",  "PUT ",  "DELETE ",
                                                  "OPTIONS ", "CONNECT ", "TRACE ", "PATCH "};
  return std::any_of(verbs.begin(), verbs.end(), [&](std::string_view verb) { return input.starts_with(verb); });
}

}  // namespace

struct Session::Verb {
  void (Session::*run)(Step&, Command&);
  unsigned when;
};

const Session::Verb* Session::findVerb(const std::string& name) {
  static const std::map<std::string, Verb> verbs{
      {"CAPABILITY", {&Session::capability, always}},
      {"NOOP", {&Session::noop, always}},
      {"LOGOUT", {&Session::logout, always}},
      {"ID", {&Session::id, always}},
      {"STARTTLS", {&Session::startTls, before}},
      {"LOGIN", {&Session::login, before}},
      {"AUTHENTICATE", {&Session::authenticate, before}},
      {"ENABLE", {&Session::enable, loggedIn}},
      {"NAMESPACE", {&Session::namespaces, loggedIn}},
      {"LIST", {&Session::listFolders, loggedIn}},
      {"LSUB", {&Session::listFolders, loggedIn}},
      {"SUBSCRIBE", {&Session::changeFolder, loggedIn}},
      {"UNSUBSCRIBE", {&Session::changeFolder, loggedIn}},
      {"CREATE", {&Session::changeFolder, loggedIn}},
      {"DELETE", {&Session::changeFolder, loggedIn}},
      {"RENAME", {&Session::renameFolder, loggedIn}},
      {"STATUS", {&Session::folderStatus, loggedIn}},
      {"SELECT", {&Session::select, loggedIn}},
      {"EXAMINE", {&Session::select, loggedIn}},
      {"APPEND", {&Session::appendCommand, loggedIn}},
      {"IDLE", {&Session::idle, loggedIn}},
      {"CHECK", {&Session::noop, selected}},
      {"CLOSE", {&Session::leave, selected}},
      {"UNSELECT", {&Session::leave, selected}},
      {"EXPUNGE", {&Session::expunge, selected}},
      {"UID EXPUNGE", {&Session::expunge, selected}},
      {"FETCH", {&Session::fetch, selected}},
      {"UID FETCH", {&Session::fetch, selected}},
      {"STORE", {&Session::store, selected}},
      {"UID STORE", {&Session::store, selected}},
      {"SEARCH", {&Session::search, selected}},
      {"UID SEARCH", {&Session::search, selected}},
      {"COPY", {&Session::copy, selected}},
      {"UID COPY", {&Session::copy, selected}},
      {"MOVE", {&Session::copy, selected}},
      {"UID MOVE", {&Session::copy, selected}},
  };
  const auto at = verbs.find(name);
  return at == verbs.end() ? nullptr : &at->second;
}

Session::Session(std::shared_ptr<const listeners::ListenerSettings> settings, listeners::Peer peer,
                 std::shared_ptr<const mail::Accounts> accounts, std::filesystem::path maildirRoot, Log& log)
    : sharedSettings_(std::move(settings)),
      settings_(*sharedSettings_),
      peer_(std::move(peer)),
      accounts_(std::move(accounts)),
      maildirRoot_(std::move(maildirRoot)),
      log_(log) {}

Session::~Session() = default;

Session::Step Session::greet() {
  Step step;
  const std::string host = settings_.hostnames.empty() ? "localhost" : settings_.hostnames.front();
  say(step, "*",
      "OK [CAPABILITY " + capabilities() + "] " + host + ' ' +
          (settings_.greeting.empty() ? "Postern" : settings_.greeting) + " ready");
  return step;
}

Session::Step Session::received(std::string_view bytes) {
  if (closing_) return {};
  reader_.add(bytes);
  if (job_) return {};  // it waits its turn
  return advance({});
}

Session::Step Session::encrypted(const listeners::TlsFacts& facts) {
  if (facts.client && facts.client->verified) client_ = facts.client->subject;
  // RFC 3501 section 6.2.1: what was pipelined behind STARTTLS was never protected.
  reader_.clear();
  mode_ = Mode::Command;
  tag_.clear();
  encrypted_ = true;
  return {};
}

Session::Step Session::tlsRefused() {
  Step step;
  say(step, std::exchange(tag_, {}), "NO [UNAVAILABLE] Too many handshakes are under way, try again later");
  return advance(std::move(step));
}

Session::Step Session::woken() {
  if (mode_ != Mode::Idle || job_ || closing_) return {};
  Step step;
  refresh(step, [](Step&) {});
  return advance(std::move(step));
}

std::string Session::farewell(Farewell why) {
  switch (why) {
    case Farewell::ShuttingDown: return "* BYE Server is shutting down\r\n";
    case Farewell::IdleTooLong: return "* BYE Idle for too long\r\n";
  }
  return {};
}

Session::Step Session::advance(Step step) {
  while (!step.work && step.then == listeners::Action::Continue && step.reply.size() < mostReply && turn(step)) {
  }
  if (step.work || step.then != listeners::Action::Continue) return step;
  if (step.reply.size() >= mostReply && reader_.waiting() > 0) {
    // So much was asked at once that the answers have to leave first: a job that does nothing waits for that.
    start(step, {[](std::string&) { return true; }, [](Step&) {}, {}});
  } else if (mode_ == Mode::Idle) {
    step.wakeAfter = idleInterval;
  }
  return step;
}

bool Session::turn(Step& step) {
  switch (mode_) {
    case Mode::Command: return commandTurn(step);
    case Mode::Append: return appendTurn(step);
    case Mode::Sasl:
    case Mode::Idle: break;
  }
  const auto line = reader_.takeLine();
  if (!line) return false;
  if (reader_.tooLong()) {
    close(step, "BYE Line too long");
  } else if (mode_ == Mode::Sasl) {
    saslTurn(step, *line);
  } else {
    idleTurn(step, *line);
  }
  return true;
}

bool Session::commandTurn(Step& step) {
  if (!maildir_ && reader_.between() && isHttp(reader_.ahead())) {
    closing_ = true;
    step.then = listeners::Action::Close;
    return true;
  }
  switch (reader_.next()) {
    case CommandReader::Found::Nothing: return false;
    case CommandReader::Found::Command: execute(step); return true;
    case CommandReader::Found::Literal: return literalTurn(step);
    case CommandReader::Found::TooLong: close(step, "BYE Command too long"); return true;
  }
  return false;
}

void Session::execute(Step& step) {
  const std::string_view text = reader_.text();
  const std::string tag(text.substr(0, text.find(' ')));
  // Nothing is said again that might not be a tag: a browser would take it for its answer.
  if (!isTag(tag)) {
    reader_.drop();
    return bad(step, "*", "A command begins with a tag");
  }
  Command command{tag, {}, Scanner(text.substr(tag.size()))};
  if (command.arguments.space()) command.name = command.arguments.word();
  if (command.name == "UID" && command.arguments.space()) command.name += ' ' + command.arguments.word();
  const Verb* verb = findVerb(command.name);
  const unsigned now = !maildir_ ? before : selected_ ? selected : after;
  const int badBefore = badCommands_;
  if (!verb || (!command.arguments.atEnd() && command.arguments.peek() != ' ')) {
    bad(step, tag, "Unknown command");
  } else if ((verb->when & now) == 0) {
    bad(step, tag, now == before ? "Log in first" : now == after ? "Not in this state" : "Not now");
  } else {
    tag_ = tag;
    (this->*verb->run)(step, command);
    if (badCommands_ == badBefore && maildir_) badCommands_ = 0;
  }
  reader_.drop();
}

void Session::start(Step& step, Job job) {
  job_ = std::move(job);
  jobDone_ = false;
  jobError_.clear();
  step.work = [this] { runPiece(); };
}

void Session::runPiece() noexcept {
  try {
    jobDone_ = job_->piece(jobOutput_);
  } catch (const std::exception& error) {
    jobError_ = error.what();
  }
}

Session::Step Session::resumed() {
  Step step;
  step.reply = std::exchange(jobOutput_, {});
  if (!job_) return step;
  if (jobError_.empty() && !jobDone_) {
    step.work = [this] { runPiece(); };
    return step;
  }
  const Job job = std::move(*job_);
  job_.reset();
  if (jobError_.empty()) {
    job.done(step);
  } else {
    log_.error("imap.storage.failed",
               {{"listener", settings_.id}, {"peer", peer_.address}, {"account", account_}, {"error", jobError_}});
    if (job.failed) {
      job.failed(step);
    } else {
      say(step, tag_, "NO [UNAVAILABLE] The mail cannot be reached just now");
    }
  }
  if (selected_ && selected_->lost()) close(step, "BYE The mailbox was replaced by another of its name");
  return advance(std::move(step));
}

void Session::say(Step& step, const std::string& tag, std::string_view words) {
  step.reply += tag;
  step.reply += ' ';
  step.reply += words;
  step.reply += "\r\n";
}

void Session::bad(Step& step, const std::string& tag, std::string_view why) {
  say(step, tag, "BAD " + std::string(why));
  if (++badCommands_ >= mostBadCommands) close(step, "BYE Too many bad commands");
}

void Session::close(Step& step, std::string_view words) {
  say(step, "*", words);
  closing_ = true;
  reader_.clear();
  step.work = nullptr;
  step.then = listeners::Action::Close;
}

}  // namespace postern::imap
