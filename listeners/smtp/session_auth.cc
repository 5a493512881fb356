// AUTH PLAIN and LOGIN (RFC 4954, RFC 4616, draft-murchison-sasl-login).
#include <cstring>
#include <utility>

#include "base/encoding.h"
#include "base/text.h"
#include "listeners/smtp/command.h"
#include "listeners/smtp/session.h"

namespace postern::smtp {
namespace {

constexpr std::size_t longestName = 256;
constexpr const char* notBase64 = "501 5.5.2 Cannot decode the response";

// An initial response of "=" is an empty one.
std::optional<std::string> decoded(std::string_view text) {
  return text == "=" ? "" : fromBase64(text);
}

}  // namespace

bool Session::offersAuth() const {
  return settings_.role == listeners::Role::Submission && (encrypted_ || settings_.allowPlainText) && !account_;
}

void Session::auth(std::string_view argument) {
  if (settings_.role != listeners::Role::Submission) return refuse("502 5.5.1 AUTH is not available here");
  // Before anything else, and without a continuation: a client that asks for one sends its password in the clear.
  if (mustEncrypt()) return refuse("530 5.7.0 Must issue a STARTTLS command first");
  if (!encrypted_ && !settings_.allowPlainText) return refuse("538 5.7.11 Encryption required for authentication");
  if (account_) return refuse("503 5.5.1 Already authenticated");
  if (!esmtp_) return refuse("503 5.5.1 Send EHLO first");
  if (mailGiven_) return refuse("503 5.5.1 AUTH is not permitted during a mail transaction");
  const auto [mechanism, response] = parseCommand(argument);
  const bool plain = equalsIgnoringCase(mechanism, "PLAIN");
  if (mechanism.empty()) return refuse("501 5.5.4 AUTH needs a mechanism");
  if (!plain && !equalsIgnoringCase(mechanism, "LOGIN")) return refuse("504 5.5.4 Mechanism not supported");
  if (plain && !response.empty()) return takePlain(response);
  if (!response.empty()) return takeLoginName(response);
  mode_ = plain ? Mode::PlainResponse : Mode::LoginName;
  say(plain ? "334 " : "334 VXNlcm5hbWU6");
}

void Session::takeResponse(std::string_view line) {
  const auto mode = std::exchange(mode_, Mode::Command);
  if (line == "*") return refuse("501 5.0.0 Authentication cancelled");
  switch (mode) {
    case Mode::PlainResponse: takePlain(line); break;
    case Mode::LoginName: takeLoginName(line); break;
    case Mode::LoginPassword: takeLoginPassword(line); break;
    case Mode::Command:
    case Mode::Data: break;
  }
  explicit_bzero(input_.data() + (line.data() - input_.data()), line.size());
}

void Session::takePlain(std::string_view base64) {
  auto text = decoded(base64);
  if (!text) return refuse(notBase64);
  const Secret message(std::move(*text));
  const auto bytes = message.reveal();  // [authzid] NUL authcid NUL passwd
  const auto first = bytes.find('\0');
  const auto second = first == std::string_view::npos ? first : bytes.find('\0', first + 1);
  if (second == std::string_view::npos || bytes.find('\0', second + 1) != std::string_view::npos) {
    return refuse(notBase64);
  }
  const auto authorization = bytes.substr(0, first);
  login_ = bytes.substr(first + 1, second - first - 1);
  password_ = Secret(std::string(bytes.substr(second + 1)));
  // Acting for somebody else is nobody's right here; it fails like a wrong password, and as late, so that it tells as
  // little.
  impostor_ = !authorization.empty() && authorization != login_;
  if (login_.size() > longestName) login_.clear();
  work_ = Work::Login;
}

void Session::takeLoginName(std::string_view base64) {
  auto name = decoded(base64);
  if (!name) return refuse(notBase64);
  login_ = std::move(*name);
  if (login_.size() > longestName) login_.clear();
  mode_ = Mode::LoginPassword;
  say("334 UGFzc3dvcmQ6");
}

void Session::takeLoginPassword(std::string_view base64) {
  auto password = decoded(base64);
  if (!password) return refuse(notBase64);
  password_ = Secret(std::move(*password));
  work_ = Work::Login;
}

void Session::loggedIn() {
  password_ = Secret();
  const auto login = std::exchange(login_, {});
  if (std::exchange(impostor_, false)) account_ = nullptr;
  if (account_) {
    loginFailures_ = 0;
    log_.debug("smtp.login.accepted", about({{"login", login}, {"account", account_->name}}));
    return say("235 2.7.0 Authentication successful");
  }
  log_.warn("smtp.login.failed", about({{"login", login}}));
  say("535 5.7.8 Authentication credentials invalid");
  if (++loginFailures_ < options_.maxLoginFailures) return;
  say("421 4.7.0 " + hostname() + " Too many failed logins, closing connection");
  close();
}

}  // namespace postern::smtp
