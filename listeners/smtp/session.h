// smtp::Session: the engine of one SMTP connection (RFC 5321), as a state machine without sockets.
//
// Threads and life as listeners/session.h says. A session of role mx takes mail for local accounts from anybody, one of
// role submission (RFC 6409) from who has logged in. What may block, the spool, its sync and the check of a password,
// is a Step's work. Nothing throws out of here: a disk that fails is a 451 to the client and a line in the log.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "base/log.h"
#include "base/secret.h"
#include "listeners/mail/accounts.h"
#include "listeners/mail/delivery.h"
#include "listeners/session.h"
#include "listeners/settings.h"
#include "listeners/smtp/address.h"
#include "listeners/smtp/data_reader.h"
#include "listeners/smtp/trace.h"

namespace postern::smtp {

// Bounds that no configuration changes yet.
struct SessionOptions {
  std::uint64_t maxMessageSize = 50 << 20;  // bytes, as SIZE counts them
  std::size_t maxRecipients = 100;          // RFC 5321 section 4.5.3.1.8
  int maxErrors = 10;                       // commands refused until the session ends
  int maxLoginFailures = 3;
  int maxRefusedRecipients = 50;
  std::function<Time()> now;  // the machine's clock where empty
};

class Session : public listeners::Session {
 public:
  // `accounts` may be empty, not null. `delivery` is null where there is none (storage.maildir unset). `log` outlives
  // it.
  Session(std::shared_ptr<const listeners::ListenerSettings> settings, listeners::Peer peer,
          std::shared_ptr<const mail::Accounts> accounts, std::shared_ptr<const mail::Delivery> delivery, Log& log,
          SessionOptions options = {});

  listeners::Step greet() override;
  listeners::Step received(std::string_view bytes) override;
  listeners::Step encrypted(const listeners::TlsFacts& facts) override;
  listeners::Step tlsRefused() override;
  listeners::Step resumed() override;
  std::string farewell(Farewell why) override;
  bool loginPending() const override;

 private:
  enum class Mode { Command, PlainResponse, LoginName, LoginPassword, Data };
  enum class Work { None, Login, Spool, Commit, Discard };

  // The flow (session.cc).
  listeners::Step advance();
  bool takeLine();  // false: more input is needed
  void takeCommand(std::string_view line);
  void say(std::string_view reply);
  void refuse(std::string_view reply);  // say(), and close after too many
  void close() { action_ = listeners::Action::Close; }
  void runWork() noexcept;
  std::string hostname() const;
  Fields about(Fields more) const;  // with listener and peer

  // Commands without an account or a message (session.cc).
  void hello(std::string_view argument, bool extended);
  void startTls(std::string_view argument);
  bool offersTls() const { return settings_.tls == listeners::TlsMode::StartTls && !encrypted_; }
  bool mustEncrypt() const { return settings_.tlsRequired && !encrypted_; }

  // AUTH (session_auth.cc; RFC 4954).
  void auth(std::string_view argument);
  void takeResponse(std::string_view line);
  void takePlain(std::string_view base64);
  void takeLoginName(std::string_view base64);
  void takeLoginPassword(std::string_view base64);
  void loggedIn();
  bool offersAuth() const;

  // MAIL, RCPT, DATA (session_mail.cc).
  void mail(std::string_view argument);
  bool mailParameters(std::string_view text, const Path& sender);
  void rcpt(std::string_view argument);
  void refuseRecipient(std::string_view reply, const Path& path);
  void data(std::string_view argument);
  bool takeData();  // false: more input is needed
  void endData();
  void spool();  // on the worker
  void resetMail();

  const std::shared_ptr<const listeners::ListenerSettings> sharedSettings_;
  const listeners::ListenerSettings& settings_;
  const listeners::Peer peer_;
  const std::shared_ptr<const mail::Accounts> accounts_;
  const std::shared_ptr<const mail::Delivery> delivery_;
  Log& log_;
  SessionOptions options_;

  std::string input_;
  std::size_t at_ = 0;       // how far input_ has been used
  bool overlong_ = false;    // the line that is coming in was too long: dropped up to its end
  std::size_t dropped_ = 0;  // of it
  std::string reply_;
  listeners::Action action_ = listeners::Action::Continue;
  Mode mode_ = Mode::Command;
  Work work_ = Work::None;
  std::string failure_;  // what the last work met
  int errors_ = 0, loginFailures_ = 0, refusedRecipients_ = 0;

  bool greeted_ = false, encrypted_ = false, closed_ = false;
  listeners::TlsFacts tls_;
  std::string helo_;
  bool esmtp_ = false;

  std::string login_;  // the name being tried
  Secret password_;
  bool impostor_ = false;                   // asked to act for somebody else
  const mail::Account* account_ = nullptr;  // who has logged in

  bool mailGiven_ = false, utf8_ = false;
  Path sender_;
  std::vector<const mail::Account*> recipients_;
  std::string onlyRecipient_;
  DataReader reader_;
  std::string chunk_;  // content not yet spooled
  std::unique_ptr<mail::Transaction> transaction_;
  Trace trace_;
  bool begun_ = false, failed_ = false;  // the spool
  std::string verdict_;                  // on a message that was not delivered
};

}  // namespace postern::smtp
