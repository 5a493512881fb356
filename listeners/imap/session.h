// imap::Session: an IMAP4rev1 server (RFC 3501) for one connection: with STARTTLS, AUTH=PLAIN, SASL-IR, LITERAL+,
// ENABLE, ID, NAMESPACE, IDLE, UNSELECT, UIDPLUS, MOVE, CHILDREN and SPECIAL-USE, over the Maildir of one account.
//
// A state machine behind listeners/session.h: what touches the disk or hashes a password is a Job, run as a Step's
// work; commands that come meanwhile wait in the reader. Everything that is answered later is answered in order.
#pragma once

#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "base/log.h"
#include "base/secret.h"
#include "listeners/imap/append.h"
#include "listeners/imap/command_reader.h"
#include "listeners/imap/selected_mailbox.h"
#include "listeners/mail/accounts.h"
#include "listeners/mail/maildir.h"
#include "listeners/session.h"
#include "listeners/settings.h"

namespace postern::imap {

class Session final : public listeners::Session {
 public:
  // An account's Maildir is maildirRoot/<account name>. Where maildirRoot is empty, nobody can log in. `log` outlives
  // the session.
  Session(std::shared_ptr<const listeners::ListenerSettings> settings, listeners::Peer peer,
          std::shared_ptr<const mail::Accounts> accounts, std::filesystem::path maildirRoot, Log& log);
  ~Session() override;

  listeners::Step greet() override;
  listeners::Step received(std::string_view bytes) override;
  listeners::Step encrypted(const listeners::TlsFacts& facts) override;
  listeners::Step tlsRefused() override;
  listeners::Step resumed() override;
  listeners::Step woken() override;
  std::string farewell(Farewell why) override;
  bool loginPending() const override { return !maildir_; }

 private:
  using Step = listeners::Step;

  enum class Mode {
    Command,  // the next line begins a command
    Sasl,     // the next line is the answer to AUTHENTICATE's continuation
    Append,   // the next octets are the message of append_
    Idle,     // the next line should be DONE
  };
  struct Command {
    std::string tag, name;
    Scanner arguments;
  };
  // What a worker does for a command. `piece` appends to `out` and returns whether it was the last one; then `done`
  // says how it went, on the loop. `failed` takes the place of `done` when the disk did not do as told.
  struct Job {
    std::function<bool(std::string& out)> piece;
    std::function<void(Step&)> done;
    std::function<void(Step&)> failed;
  };
  struct Verb;
  static const Verb* findVerb(const std::string& name);

  // session.cc: the way of bytes and jobs
  Step advance(Step step);
  bool turn(Step& step);  // takes one thing from the input; false when more is needed
  bool commandTurn(Step& step);
  void execute(Step& step);
  void start(Step& step, Job job);
  void runPiece() noexcept;
  void bad(Step& step, const std::string& tag, std::string_view why);
  void close(Step& step, std::string_view words);
  static void say(Step& step, const std::string& tag, std::string_view words);

  // session_login.cc
  bool mayLogIn() const { return encrypted_ || (settings_.allowPlainText && !settings_.tlsRequired); }
  std::string capabilities() const;
  void capability(Step& step, Command& command);
  void noop(Step& step, Command& command);
  void logout(Step& step, Command& command);
  void startTls(Step& step, Command& command);
  void login(Step& step, Command& command);
  void authenticate(Step& step, Command& command);
  void saslTurn(Step& step, const std::string& line);
  void saslResponse(Step& step, const std::string& tag, std::string_view encoded);
  void logIn(Step& step, std::string tag, std::string name, Secret password);
  void loginFailed(Step& step, const std::string& tag, const std::string& name);
  void id(Step& step, Command& command);
  void enable(Step& step, Command& command);

  // session_folders.cc
  void namespaces(Step& step, Command& command);
  void listFolders(Step& step, Command& command);
  void changeFolder(Step& step, Command& command);  // CREATE, DELETE, SUBSCRIBE, UNSUBSCRIBE
  void renameFolder(Step& step, Command& command);
  void folderStatus(Step& step, Command& command);
  void select(Step& step, Command& command);  // and EXAMINE
  void leave(Step& step, Command& command);   // CLOSE and UNSELECT

  // session_messages.cc
  void fetch(Step& step, Command& command);
  void store(Step& step, Command& command);
  void search(Step& step, Command& command);
  void copy(Step& step, Command& command);  // and MOVE
  void expunge(Step& step, Command& command);
  void idle(Step& step, Command& command);
  void idleTurn(Step& step, const std::string& line);
  void refresh(Step& step, std::function<void(Step&)> done);

  // session_append.cc
  void appendCommand(Step& step, Command& command);
  bool literalTurn(Step& step);
  bool appendTurn(Step& step);
  void beginAppend(Step& step, std::string tag, AppendRequest request);
  void commitAppend(Step& step);

  const std::shared_ptr<const listeners::ListenerSettings> sharedSettings_;
  const listeners::ListenerSettings& settings_;
  const listeners::Peer peer_;
  const std::shared_ptr<const mail::Accounts> accounts_;
  const std::filesystem::path maildirRoot_;
  Log& log_;

  CommandReader reader_;
  Mode mode_ = Mode::Command;
  std::string tag_;  // of the command under way: AUTHENTICATE, IDLE, or the one that job_ works for
  bool encrypted_ = false, closing_ = false;
  int badCommands_ = 0, failedLogins_ = 0;

  std::optional<Job> job_;
  std::string jobOutput_, jobError_;
  bool jobDone_ = false;

  std::string account_;
  std::string client_;                    // subject of the client's certificate, where it was verified
  std::optional<mail::Maildir> maildir_;  // of the account, once it is logged in
  std::unique_ptr<SelectedMailbox> selected_;
  std::unique_ptr<Append> append_;
};

}  // namespace postern::imap
