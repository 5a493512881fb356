// What the tests of SMTP share: a session in front of a delivery that keeps or loses mail as it is told.
#pragma once

#include <gtest/gtest.h>

#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/encoding.h"
#include "base/error.h"
#include "base/log.h"
#include "listeners/smtp/session.h"
#include "tests/support/session_driver.h"
#include "tests/support/temporary_folder.h"

namespace postern::smtp {

// Keeps what was committed; fails where it is told to.
class FakeDelivery : public mail::Delivery {
 public:
  enum class Fails { Never, AtBegin, AtAppend, AtCommit };
  struct Message {
    std::vector<std::string> recipients;
    std::string text;
  };
  Fails fails = Fails::Never;
  mutable std::vector<Message> messages;
  mutable int open = 0;  // transactions begun and not yet gone
  mutable std::size_t largestPiece = 0;

  std::unique_ptr<mail::Transaction> begin(const std::vector<const mail::Account*>& recipients) const override {
    if (fails == Fails::AtBegin) throw SystemError("cannot begin", 28);
    std::vector<std::string> names;
    for (const auto* account : recipients) names.push_back(account->name);
    return std::make_unique<Writing>(*this, std::move(names));
  }

 private:
  struct Writing : mail::Transaction {
    Writing(const FakeDelivery& to, std::vector<std::string> names) : owner(to), message{std::move(names), {}} {
      ++owner.open;
    }
    ~Writing() override { --owner.open; }
    void append(std::string_view bytes) override {
      if (owner.fails == Fails::AtAppend && !bytes.empty()) throw SystemError("cannot write", 28);
      owner.largestPiece = std::max(owner.largestPiece, bytes.size());
      message.text += bytes;
    }
    void commit() override {
      if (owner.fails == Fails::AtCommit) throw SystemError("cannot sync", 5);
      owner.messages.push_back(message);
    }
    const FakeDelivery& owner;
    Message message;
  };
};

class SmtpTest : public testing::Test {
 protected:
  using Driver = support::SessionDriver;

  SmtpTest() {
    settings_.id = "smtp";
    settings_.hostnames = {"mx.example.org"};
    settings_.tls = listeners::TlsMode::StartTls;
    options_.now = [] { return Time(std::chrono::seconds(1772366400)); };  // 2026-03-01T12:00:00Z
  }
  void submission(bool implicit = true) {
    settings_.role = listeners::Role::Submission;
    settings_.tls = implicit ? listeners::TlsMode::Implicit : listeners::TlsMode::StartTls;
    settings_.tlsRequired = true;
  }
  Driver make() {
    std::vector<mail::Account> accounts{{"jane", Secret("secret"), {"jane@example.org", "Quoted Name@example.org"}},
                                        {"joe", Secret("tiger"), {"joe@example.org"}}};
    if (withPostmaster_) accounts.push_back({"root", Secret(), {"postmaster@example.org"}});
    return Driver(std::make_shared<Session>(std::make_shared<const listeners::ListenerSettings>(settings_),
                                            listeners::Peer{"192.0.2.7", 4000, "192.0.2.1", 25},
                                            std::make_shared<mail::Accounts>(std::move(accounts)),
                                            noDelivery_ ? nullptr : delivery_, log_, options_));
  }
  // A driver past the greeting (and the handshake, with implicit TLS).
  Driver started() {
    auto driver = make();
    if (settings_.tls == listeners::TlsMode::Implicit)
      driver.startEncrypted();
    else
      driver.start();
    return driver;
  }
  Driver greeted() {
    auto driver = started();
    driver.send("EHLO client.example\r\n");
    return driver;
  }
  Driver loggedIn() {
    auto driver = greeted();
    EXPECT_EQ(driver.send("AUTH PLAIN " + plain("jane", "secret") + "\r\n"), "235 2.7.0 Authentication successful\r\n");
    return driver;
  }
  static std::string plain(std::string_view name, std::string_view password, std::string_view authorization = "") {
    std::string text(authorization);
    text += '\0';
    text += name;
    text += '\0';
    text += password;
    return base64(text);
  }
  std::string logged() const { return support::contentOf(temporary_ / "log"); }
  // The body of the only message, behind the trace fields.
  std::string onlyText() const {
    if (delivery_->messages.size() != 1) return "messages: " + std::to_string(delivery_->messages.size());
    return delivery_->messages[0].text;
  }

  support::TemporaryFolder temporary_;
  Log log_{LogSettings{LogLevel::Debug, LogFormat::Text, (temporary_ / "log").string()}};
  listeners::ListenerSettings settings_;
  SessionOptions options_;
  std::shared_ptr<FakeDelivery> delivery_ = std::make_shared<FakeDelivery>();
  bool withPostmaster_ = false, noDelivery_ = false;
};

// The first digits of each reply, with "-" lines left out: "250 354 250".
inline std::string codes(std::string_view replies) {
  std::string result;
  while (!replies.empty()) {
    const auto end = replies.find("\r\n");
    if (end == std::string_view::npos) return result + " (no line end)";
    if (replies.substr(0, end).size() < 4) return result + " (too short)";
    if (replies[3] != '-') result += (result.empty() ? "" : " ") + std::string(replies.substr(0, 3));
    replies.remove_prefix(end + 2);
  }
  return result;
}

}  // namespace postern::smtp
