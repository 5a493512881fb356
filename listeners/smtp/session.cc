#include "listeners/smtp/session.h"

#include <algorithm>
#include <cstring>
#include <exception>
#include <utility>

#include "base/text.h"
#include "listeners/smtp/command.h"

namespace postern::smtp {
namespace {

using listeners::Action;
using listeners::Step;

constexpr std::string_view goAhead = "220 2.0.0 Ready to start TLS";
constexpr std::size_t longestJunk = 1 << 20;  // of a line that never ends

// A greeting comes from the configuration; whatever it holds, it is one line.
std::string oneLine(std::string text) {
  std::replace_if(
      text.begin(), text.end(), [](char c) { return static_cast<unsigned char>(c) < ' '; }, ' ');
  return text;
}

}  // namespace

Session::Session(std::shared_ptr<const listeners::ListenerSettings> settings, listeners::Peer peer,
                 std::shared_ptr<const mail::Accounts> accounts, std::shared_ptr<const mail::Delivery> delivery,
                 Log& log, SessionOptions options)
    : sharedSettings_(std::move(settings)),
      settings_(*sharedSettings_),
      peer_(std::move(peer)),
      accounts_(std::move(accounts)),
      delivery_(std::move(delivery)),
      log_(log),
      options_(std::move(options)) {
  if (!options_.now) options_.now = [] { return SystemClock().now(); };
}

std::string Session::hostname() const {
  return settings_.hostnames.empty() ? "localhost" : settings_.hostnames.front();
}

Fields Session::about(Fields more) const {
  Fields fields{{"listener", settings_.id}, {"peer", peer_.address}};
  if (tls_.client && tls_.client->verified) fields.emplace_back("client", tls_.client->subject);
  fields.insert(fields.end(), std::make_move_iterator(more.begin()), std::make_move_iterator(more.end()));
  return fields;
}

Step Session::greet() {
  greeted_ = true;
  std::string text = settings_.greeting.empty() ? "Postern" : oneLine(settings_.greeting);
  if (text.find("ESMTP") == std::string::npos) text += " ESMTP";
  say("220 " + hostname() + " " + text);
  return advance();
}

Step Session::received(std::string_view bytes) {
  if (closed_) return {{}, Action::Close, {}, {}};
  input_ += bytes;
  return advance();
}

Step Session::encrypted(const listeners::TlsFacts& facts) {
  encrypted_ = true;
  tls_ = facts;
  if (greeted_) {
    // RFC 3207 section 4.2: forget what was said in the clear, and what was pipelined behind STARTTLS was never
    // protected at all.
    input_.clear();
    at_ = 0;
    helo_.clear();
    esmtp_ = false;
    account_ = nullptr;
    resetMail();
  }
  return {};
}

Step Session::tlsRefused() {
  refuse("454 4.7.0 TLS not available due to temporary reason");  // RFC 3207 section 4
  return advance();
}

std::string Session::farewell(Farewell why) {
  switch (why) {
    case Farewell::ShuttingDown: return "421 4.3.2 " + hostname() + " Service shutting down\r\n";
    case Farewell::IdleTooLong: return "421 4.4.2 " + hostname() + " Idle too long, closing connection\r\n";
  }
  return {};
}

bool Session::loginPending() const {
  return settings_.role == listeners::Role::Submission && !account_;
}

void Session::say(std::string_view reply) {
  reply_ += reply;
  reply_ += "\r\n";
}

void Session::refuse(std::string_view reply) {
  say(reply);
  if (++errors_ < options_.maxErrors) return;
  say("421 4.7.0 " + hostname() + " Too many errors, closing connection");
  close();
}

Step Session::advance() {
  while (work_ == Work::None && action_ == Action::Continue) {
    if (!(mode_ == Mode::Data ? takeData() : takeLine())) break;
  }
  Step step;
  step.reply = std::exchange(reply_, {});
  step.then = std::exchange(action_, Action::Continue);
  if (step.then == Action::StartTls) step.goAhead = goAhead.size() + 2;
  if (step.then == Action::Continue) {
    input_.erase(0, std::exchange(at_, 0));
  } else {
    input_.clear();
    at_ = 0;
    closed_ = step.then == Action::Close;
  }
  if (work_ != Work::None) step.work = [this] { runWork(); };
  return step;
}

bool Session::takeLine() {
  const auto rest = std::string_view(input_).substr(at_);
  const auto limit = mode_ == Mode::Command ? longestLine(rest) : longestAuthLine;
  const auto end = rest.find('\n');
  if (end == std::string_view::npos) {
    if (!overlong_ && rest.size() < limit) return false;
    if (!overlong_ && mode_ == Mode::Command && isHttpVerb(rest)) {
      close();
      return true;
    }
    overlong_ = true;
    dropped_ += rest.size();
    at_ = input_.size();
    if (dropped_ > longestJunk) {
      say("421 4.7.0 " + hostname() + " Line too long, closing connection");
      close();
    }
    return false;
  }
  auto line = rest.substr(0, end + 1);
  at_ += end + 1;
  dropped_ = 0;
  if (std::exchange(overlong_, false) || line.size() > limit) {
    if (mode_ == Mode::Command && isHttpVerb(line)) {
      close();
      return true;
    }
    refuse(mode_ == Mode::Command ? "500 5.5.2 Line too long" : "500 5.5.6 Authentication exchange line is too long");
    mode_ = Mode::Command;
    return true;
  }
  const bool whole = line.size() > 1 && line[line.size() - 2] == '\r';
  line.remove_suffix(whole ? 2 : 1);
  if (mode_ == Mode::Command && isHttpVerb(line)) {
    // A web page made a browser talk to us, or somebody tries: not a word, least of all one of its own.
    log_.debug("smtp.session.http", about({}));
    close();
  } else if (!whole) {
    refuse("500 5.5.2 Lines must end with CRLF");
  } else if (line.find_first_of(std::string_view("\r\0", 2)) != std::string_view::npos) {
    refuse("500 5.5.2 Bare CR or NUL in a command");
  } else if (mode_ == Mode::Command) {
    takeCommand(line);
  } else {
    takeResponse(line);
  }
  return true;
}

void Session::takeCommand(std::string_view line) {
  const auto [verb, argument] = parseCommand(line);
  const auto is = [word = verb](std::string_view name) { return equalsIgnoringCase(word, name); };
  if (is("EHLO")) return hello(argument, true);
  if (is("HELO")) return hello(argument, false);
  if (is("MAIL")) return mail(argument);
  if (is("RCPT")) return rcpt(argument);
  if (is("DATA")) return data(argument);
  if (is("AUTH")) {
    auth(argument);
    // The password stood in this line; it need not stand in memory.
    explicit_bzero(input_.data() + (line.data() - input_.data()), line.size());
    return;
  }
  if (is("STARTTLS")) return startTls(argument);
  if (is("QUIT")) {
    say("221 2.0.0 " + hostname() + " closing connection");
    return close();
  }
  if (is("NOOP")) return say("250 2.0.0 Ok");
  if (is("RSET")) {
    if (!argument.empty()) return refuse("501 5.5.4 RSET takes no parameters");
    resetMail();
    return say("250 2.0.0 Ok");
  }
  // Whether a mailbox exists is told to who sends to it, one at a time.
  if (is("VRFY")) {
    if (argument.empty()) return refuse("501 5.5.4 VRFY needs an address");
    return say("252 2.5.2 Cannot verify; send the message and see");
  }
  if (is("HELP")) return say("214 2.0.0 Commands: EHLO HELO MAIL RCPT DATA RSET NOOP VRFY AUTH STARTTLS QUIT");
  if (is("EXPN")) return refuse("502 5.5.1 Command not implemented");
  refuse("500 5.5.2 Command not recognized");
}

void Session::hello(std::string_view argument, bool extended) {
  if (!isDomainOrLiteral(argument)) return refuse("501 5.5.4 Say your host name or address literal");
  resetMail();
  helo_ = argument;
  esmtp_ = extended;
  if (!extended) return say("250 " + hostname());
  say("250-" + hostname());
  say("250-PIPELINING");
  say("250-SIZE " + std::to_string(options_.maxMessageSize));
  say("250-8BITMIME");
  say("250-SMTPUTF8");
  if (offersTls()) say("250-STARTTLS");
  if (offersAuth()) say("250-AUTH PLAIN LOGIN");
  say("250 ENHANCEDSTATUSCODES");
}

void Session::startTls(std::string_view argument) {
  if (encrypted_) return refuse("503 5.5.1 TLS is already active");
  if (!offersTls()) return refuse("502 5.5.1 TLS is not available here");
  if (!argument.empty()) return refuse("501 5.5.4 STARTTLS takes no parameters");
  say(goAhead);
  action_ = Action::StartTls;
}

void Session::runWork() noexcept {
  try {
    switch (work_) {
      case Work::None: break;
      case Work::Login: account_ = accounts_->authenticate(login_, password_); break;
      case Work::Spool: spool(); break;
      case Work::Commit:
        spool();
        transaction_->commit();
        transaction_.reset();
        break;
      case Work::Discard: transaction_.reset(); break;
    }
  } catch (const std::exception& error) {
    failure_ = error.what();
    if (failure_.empty()) failure_ = "unknown";
    transaction_.reset();
  }
}

Step Session::resumed() {
  const auto done = std::exchange(work_, Work::None);
  const auto failure = std::exchange(failure_, {});
  if (!failure.empty() && done != Work::Login) {
    failed_ = true;
    log_.error("smtp.delivery.failed", about({{"id", trace_.id}, {"error", failure}}));
  }
  switch (done) {
    case Work::None: break;
    case Work::Login: loggedIn(); break;
    case Work::Spool: break;
    case Work::Commit:
    case Work::Discard: endData(); break;
  }
  return advance();
}

}  // namespace postern::smtp
