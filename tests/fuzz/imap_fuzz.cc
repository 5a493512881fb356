// Fuzzes imap::Session over a real Maildir. The first byte of an input chooses TLS, whether somebody is logged in and
// has selected a mailbox, and how the rest is cut; a 0xff byte in it stands for the handshake where one is awaited.
// Checked beside memory errors: what is said ends with a whole line unless a literal is on its way, nobody is logged in
// without the password, nothing runs before the handshake after STARTTLS.
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <string>

#include "listeners/imap/session.h"
#include "tests/support/session_driver.h"
#include "tests/support/temporary_folder.h"

namespace {

using namespace postern;

void require(bool held) {
  if (!held) std::abort();
}

// A Maildir for every input, so that no input depends on the one before. In memory where there is a place for that:
// the engine syncs what it stores, which would leave room for ten inputs a second.
struct Mail {
  support::TemporaryFolder folder;
  explicit Mail(bool filled) {
    if (!filled) return;
    mail::Incoming message(folder / "jane");
    message.append(
        "From: a@example.org\r\nSubject: =?utf-8?q?=C3=A9?=\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n"
        "--b\r\n\r\ntext\r\n--b\r\nContent-Type: message/rfc822\r\n\r\nSubject: inner\r\n\r\nbody\r\n--b--\r\n");
    message.commit();
  }
};

}  // namespace

extern "C" int LLVMFuzzerInitialize(int*, char***) {
  if (std::filesystem::is_directory("/dev/shm")) setenv("TMPDIR", "/dev/shm", 0);
  return 0;
}

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  static Log log(LogSettings{LogLevel::Error, LogFormat::Text, "/dev/null"});
  static const auto accounts = std::make_shared<const mail::Accounts>(
      std::vector<mail::Account>{{"jane", Secret("a secret nobody guesses"), {}}});
  const auto choice = data[0];
  const bool in = (choice & 8) != 0;
  const Mail mail(in);
  listeners::ListenerSettings settings;
  settings.hostnames = {"imap.example.org"};
  settings.tls = choice & 1 ? listeners::TlsMode::Implicit : listeners::TlsMode::StartTls;
  settings.allowPlainText = (choice & 2) != 0;
  settings.tlsRequired = (choice & 4) != 0;
  const std::size_t piece = choice & 32 ? 1 : choice & 64 ? 7 : size;

  support::SessionDriver driver(std::make_shared<imap::Session>(
      std::make_shared<const listeners::ListenerSettings>(settings), listeners::Peer{"192.0.2.7", 1, "192.0.2.1", 143},
      accounts, mail.folder.path(), log));
  if (choice & 1)
    driver.startEncrypted();
  else
    driver.start();
  if (in) driver.send("l LOGIN jane \"a secret nobody guesses\"\r\n");
  if (choice & 16) driver.send("s SELECT INBOX\r\n");
  const bool loggedIn = !driver.session().loginPending();
  require(in || !loggedIn);

  std::string said;
  std::string_view rest(reinterpret_cast<const char*>(data) + 1, size - 1);
  while (!rest.empty() && !driver.closed()) {
    if (driver.wantsTls()) {
      const auto handshake = rest.find('\xff');
      if (handshake == std::string_view::npos) break;
      rest.remove_prefix(handshake + 1);
      require(driver.encrypt().empty());
      continue;
    }
    said += driver.send(rest.substr(0, piece));
    if (driver.awaitsWake()) said += driver.wake();
    rest.remove_prefix(std::min(piece, rest.size()));
  }
  require(said.empty() || said.ends_with("\r\n"));
  require(loggedIn == !driver.session().loginPending());
  return 0;
}
