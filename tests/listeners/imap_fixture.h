// What the tests of IMAP share: a Maildir in a temporary folder, and sessions in front of it.
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/encoding.h"
#include "base/log.h"
#include "listeners/imap/session.h"
#include "listeners/mail/maildir.h"
#include "tests/support/session_driver.h"
#include "tests/support/temporary_folder.h"

namespace postern::imap {

using testing::AllOf;
using testing::EndsWith;
using testing::HasSubstr;
using testing::Not;
using testing::StartsWith;

class ImapTest : public testing::Test {
 protected:
  using Driver = support::SessionDriver;

  ImapTest() {
    settings_.id = "imap";
    settings_.protocol = listeners::Protocol::Imap;
    settings_.hostnames = {"imap.example.org"};
    settings_.tls = listeners::TlsMode::Implicit;
    settings_.tlsRequired = true;
  }
  void startTls() { settings_.tls = listeners::TlsMode::StartTls; }

  Driver make() {
    const std::vector<mail::Account> accounts{{"jane", Secret("secret"), {"jane@example.org"}},
                                              {"joe", Secret("ti\"ger"), {"joe@example.org"}}};
    return Driver(std::make_shared<Session>(std::make_shared<const listeners::ListenerSettings>(settings_),
                                            listeners::Peer{"192.0.2.7", 4000, "192.0.2.1", 993},
                                            std::make_shared<mail::Accounts>(accounts), root_, log_));
  }
  // Past the greeting, and the handshake where that comes first.
  Driver started() {
    auto driver = make();
    if (settings_.tls == listeners::TlsMode::Implicit)
      driver.startEncrypted();
    else
      driver.start();
    return driver;
  }
  Driver loggedIn() {
    auto driver = started();
    EXPECT_THAT(driver.send("l LOGIN jane secret\r\n"), StartsWith("l OK "));
    return driver;
  }
  Driver selected(const std::string& mailbox = "INBOX") {
    auto driver = loggedIn();
    EXPECT_THAT(driver.send("s SELECT " + mailbox + "\r\n"), EndsWith("s OK [READ-WRITE] Done\r\n"));
    return driver;
  }

  mail::Maildir maildir() const { return mail::Maildir(root_ / "jane"); }
  void deliver(std::string_view message, std::optional<mail::Flags> flags = {}, const std::string& mailbox = "INBOX",
               std::optional<std::chrono::sys_seconds> date = {}) {
    mail::Incoming incoming(*maildir().path(mailbox));
    incoming.append(message);
    incoming.commit(flags, date);
    // Gives it its number now, so that messages are numbered in the order of the test.
    mail::Mailbox(*maildir().path(mailbox)).scan(false);
  }
  // That many messages: "Subject: 1", ...
  void deliverNumbered(int count, const std::string& mailbox = "INBOX") {
    for (int i = 1; i <= count; ++i) {
      deliver("From: a@example.org\r\nSubject: " + std::to_string(i) + "\r\n\r\nText " + std::to_string(i) + "\r\n", {},
              mailbox);
    }
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

  support::TemporaryFolder temporary_;
  std::filesystem::path root_ = temporary_ / "mail";
  Log log_{LogSettings{LogLevel::Debug, LogFormat::Text, (temporary_ / "log").string()}};
  listeners::ListenerSettings settings_;
};

// "{5}\r\nabcde"
inline std::string literal(std::string_view bytes) {
  return "{" + std::to_string(bytes.size()) + "}\r\n" + std::string(bytes);
}
inline std::string literalPlus(std::string_view bytes) {
  return "{" + std::to_string(bytes.size()) + "+}\r\n" + std::string(bytes);
}
// How often `part` stands in `text`.
inline int countOf(std::string_view text, std::string_view part) {
  int count = 0;
  for (auto at = text.find(part); at != std::string_view::npos; at = text.find(part, at + part.size())) ++count;
  return count;
}

}  // namespace postern::imap
