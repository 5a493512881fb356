// Fuzzes smtp::Session. The first byte of an input chooses role, TLS and how the rest is cut; a 0xff byte in it stands
// for the handshake where one is awaited. Checked beside memory errors: replies are whole lines, nothing runs before
// the handshake after STARTTLS, only a reply of "250 ... queued" goes with a message, no message holds a bare CR or LF.
#include <cstdint>
#include <cstdlib>
#include <string>

#include "listeners/smtp/session.h"
#include "tests/support/session_driver.h"

namespace {

using namespace postern;

void require(bool held) {
  if (!held) std::abort();
}

struct CountingDelivery : mail::Delivery {
  mutable int committed = 0;

  struct Writing : mail::Transaction {
    explicit Writing(const CountingDelivery& to) : owner(to) {}
    void append(std::string_view bytes) override { text += bytes; }
    void commit() override {
      for (std::size_t i = 0; i < text.size(); ++i) {
        if (text[i] == '\n') require(i > 0 && text[i - 1] == '\r');
        if (text[i] == '\r') require(i + 1 < text.size() && text[i + 1] == '\n');
      }
      ++owner.committed;
    }
    const CountingDelivery& owner;
    std::string text;
  };
  std::unique_ptr<mail::Transaction> begin(const std::vector<const mail::Account*>& recipients) const override {
    require(!recipients.empty());
    return std::make_unique<Writing>(*this);
  }
};

int queuedIn(std::string_view replies) {
  int count = 0;
  for (std::size_t at = 0; (at = replies.find("queued as", at)) != std::string_view::npos; ++at) ++count;
  return count;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  static Log log(LogSettings{LogLevel::Error, LogFormat::Text, "/dev/null"});
  static const auto accounts = std::make_shared<const mail::Accounts>(
      std::vector<mail::Account>{{"jane", Secret("secret"), {"jane@example.org", "postmaster@example.org"}}});
  const auto choice = data[0];
  listeners::ListenerSettings settings;
  settings.hostnames = {"mail.example.org"};
  settings.role = choice & 1 ? listeners::Role::Submission : listeners::Role::Mx;
  settings.tls = choice & 2 ? listeners::TlsMode::Implicit : listeners::TlsMode::StartTls;
  settings.tlsRequired = (choice & 4) != 0;
  settings.allowPlainText = (choice & 8) != 0;
  const std::size_t piece = choice & 16 ? 1 : choice & 32 ? 7 : size;
  smtp::SessionOptions options;
  options.maxMessageSize = 4096;

  const auto delivery = std::make_shared<CountingDelivery>();
  support::SessionDriver driver(std::make_shared<smtp::Session>(
      std::make_shared<const listeners::ListenerSettings>(settings), listeners::Peer{"192.0.2.7", 1, "192.0.2.1", 25},
      accounts, delivery, log, options));
  auto said = choice & 2 ? driver.startEncrypted() : driver.start();
  std::string_view rest(reinterpret_cast<const char*>(data) + 1, size - 1);
  while (!rest.empty() && !driver.closed()) {
    if (driver.wantsTls()) {
      const auto handshake = rest.find('\xff');
      if (handshake == std::string_view::npos) break;
      rest.remove_prefix(handshake + 1);
      said += driver.encrypt();
      continue;
    }
    said += driver.send(rest.substr(0, piece));
    rest.remove_prefix(std::min(piece, rest.size()));
  }
  require(said.empty() || said.ends_with("\r\n"));
  require(queuedIn(said) == delivery->committed);
  return 0;
}
