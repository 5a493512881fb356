// The commands before and around the login: CAPABILITY, NOOP, LOGOUT, STARTTLS, LOGIN, AUTHENTICATE, ID, ENABLE.
#include <memory>
#include <utility>

#include "base/encoding.h"
#include "listeners/imap/session.h"

namespace postern::imap {
namespace {

constexpr int mostFailedLogins = 3;
constexpr std::size_t longestLoggedName = 128;
constexpr int mostIdFields = 30;

// "NIL" or a list of pairs (RFC 2971).
bool isIdArgument(Scanner& from) {
  if (from.peek() != '(') return from.word() == "NIL" && from.atEnd();
  from.take('(');
  for (int fields = 0; !from.take(')'); ++fields) {
    if (fields >= mostIdFields || (fields > 0 && !from.space()) || !from.string() || !from.space()) return false;
    if (from.peek() == '"' || from.peek() == '{' ? !from.string().has_value() : from.word() != "NIL") return false;
  }
  return from.atEnd();
}

}  // namespace

std::string Session::capabilities() const {
  std::string names = "IMAP4rev1 LITERAL+ SASL-IR ID ENABLE IDLE";
  if (maildir_) return names + " NAMESPACE CHILDREN SPECIAL-USE UNSELECT UIDPLUS MOVE";
  if (settings_.tls == listeners::TlsMode::StartTls && !encrypted_) names += " STARTTLS";
  return names + (mayLogIn() ? " AUTH=PLAIN" : " LOGINDISABLED");
}

void Session::capability(Step& step, Command& command) {
  if (!command.arguments.atEnd()) return bad(step, command.tag, "CAPABILITY takes nothing");
  say(step, "*", "CAPABILITY " + capabilities());
  say(step, command.tag, "OK Done");
}

void Session::noop(Step& step, Command& command) {
  if (!command.arguments.atEnd()) return bad(step, command.tag, command.name + " takes nothing");
  refresh(step, [tag = command.tag](Step& then) { say(then, tag, "OK Done"); });
}

void Session::logout(Step& step, Command& command) {
  if (!command.arguments.atEnd()) return bad(step, command.tag, "LOGOUT takes nothing");
  say(step, "*", "BYE Logging out");
  say(step, command.tag, "OK Done");
  closing_ = true;
  step.then = listeners::Action::Close;
}

void Session::startTls(Step& step, Command& command) {
  if (!command.arguments.atEnd()) return bad(step, command.tag, "STARTTLS takes nothing");
  if (encrypted_) return bad(step, command.tag, "TLS is on already");
  if (settings_.tls != listeners::TlsMode::StartTls) return bad(step, command.tag, "There is no TLS here");
  const std::size_t before = step.reply.size();
  say(step, command.tag, "OK Begin TLS negotiation now");
  step.goAhead = step.reply.size() - before;
  tag_ = command.tag;  // for tlsRefused()
  reader_.clear();
  step.then = listeners::Action::StartTls;
}

void Session::login(Step& step, Command& command) {
  if (!mayLogIn()) return say(step, command.tag, "NO [PRIVACYREQUIRED] Log in with TLS only");
  auto& from = command.arguments;
  std::optional<std::string> name, password;
  if (from.space()) name = from.astring();
  if (name && from.space()) password = from.astring();
  if (!password || !from.atEnd()) return bad(step, command.tag, "Expected LOGIN name password");
  logIn(step, command.tag, std::move(*name), Secret(std::move(*password)));
}

void Session::authenticate(Step& step, Command& command) {
  // Without a continuation, which would call for the password.
  if (!mayLogIn()) return say(step, command.tag, "NO [PRIVACYREQUIRED] Log in with TLS only");
  auto& from = command.arguments;
  if (!from.space()) return bad(step, command.tag, "Expected AUTHENTICATE mechanism");
  if (const auto mechanism = from.word(); mechanism != "PLAIN") {
    if (mechanism.empty()) return bad(step, command.tag, "Expected AUTHENTICATE mechanism");
    return say(step, command.tag, "NO [CANNOT] The mechanism is PLAIN");
  }
  if (from.atEnd()) {
    mode_ = Mode::Sasl;
    step.reply += "+ \r\n";
    return;
  }
  if (!from.space()) return bad(step, command.tag, "Expected AUTHENTICATE PLAIN response");
  const auto initial = from.rest();
  saslResponse(step, command.tag, initial == "=" ? std::string_view() : initial);
}

void Session::saslTurn(Step& step, const std::string& line) {
  mode_ = Mode::Command;
  const std::string tag = tag_;
  if (line == "*") return bad(step, tag, "Cancelled");
  saslResponse(step, tag, line);
}

void Session::saslResponse(Step& step, const std::string& tag, std::string_view encoded) {
  // RFC 4616: [authzid] NUL authcid NUL passwd
  const auto message = fromBase64(encoded);
  const auto first = message ? message->find('\0') : std::string::npos;
  const auto second = first == std::string::npos ? first : message->find('\0', first + 1);
  if (second == std::string::npos) return bad(step, tag, "That is not base64 of a PLAIN message");
  const auto authorization = message->substr(0, first);
  auto name = message->substr(first + 1, second - first - 1);
  Secret password(message->substr(second + 1));
  if (name.empty() || password.reveal().find('\0') != std::string_view::npos) {
    return bad(step, tag, "That is not base64 of a PLAIN message");
  }
  if (!authorization.empty() && authorization != name) {
    return say(step, tag, "NO [AUTHORIZATIONFAILED] Nobody acts for another here");
  }
  logIn(step, tag, std::move(name), std::move(password));
}

void Session::logIn(Step& step, std::string tag, std::string name, Secret password) {
  if (maildirRoot_.empty() || !accounts_) {
    return say(step, tag, "NO [UNAVAILABLE] No mail can be read on this server");
  }
  struct Attempt {
    std::string tag, name;
    Secret password;
    std::string account;
  };
  const auto attempt = std::make_shared<Attempt>(Attempt{std::move(tag), std::move(name), std::move(password), {}});
  Job job;
  job.piece = [this, attempt](std::string&) {
    if (const auto* account = accounts_->authenticate(attempt->name, attempt->password))
      attempt->account = account->name;
    return true;
  };
  job.done = [this, attempt](Step& then) {
    if (attempt->account.empty()) return loginFailed(then, attempt->tag, attempt->name);
    account_ = attempt->account;
    maildir_.emplace(maildirRoot_ / account_);
    badCommands_ = 0;
    Fields fields{{"account", account_}, {"peer", peer_.address}, {"listener", settings_.id}};
    if (!client_.empty()) fields.emplace_back("client", client_);
    log_.info("imap.login.ok", fields);
    say(then, attempt->tag, "OK [CAPABILITY " + capabilities() + "] Logged in");
  };
  start(step, std::move(job));
}

void Session::loginFailed(Step& step, const std::string& tag, const std::string& name) {
  log_.warn("imap.login.failed",
            {{"login", name.substr(0, longestLoggedName)}, {"peer", peer_.address}, {"listener", settings_.id}});
  say(step, tag, "NO [AUTHENTICATIONFAILED] Wrong name or password");
  if (++failedLogins_ >= mostFailedLogins) close(step, "BYE Too many failed logins");
}

void Session::id(Step& step, Command& command) {
  if (!command.arguments.space() || !isIdArgument(command.arguments)) {
    return bad(step, command.tag, "Expected ID NIL or ID (field value ...)");
  }
  say(step, "*", "ID (\"name\" \"Postern\")");
  say(step, command.tag, "OK Done");
}

void Session::enable(Step& step, Command& command) {
  if (!command.arguments.space() || command.arguments.atEnd()) {
    return bad(step, command.tag, "Expected ENABLE capability");
  }
  say(step, "*", "ENABLED");  // there is none that has to be enabled
  say(step, command.tag, "OK Done");
}

}  // namespace postern::imap
