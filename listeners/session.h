// Session: a protocol engine as a plain state machine without sockets: bytes in, bytes and at most one action out.
//
// A session is called by one thread at a time: by its connection's loop, except while a Step's `work` runs, when it
// belongs to the worker that runs it and the loop does not touch it (input waits; if the connection dies, the session
// lives until the work has returned). Nothing here throws; a session that cannot go on says so in its protocol's words
// and closes.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "tls/client_certificate.h"

namespace postern::listeners {

enum class Action {
  Continue,  // go on reading
  StartTls,  // send the reply, drop whatever input is there, make a TLS handshake, then call encrypted()
  Close,     // send the reply, close_notify where there is TLS, and close
};

// One turn of a session. `work` may block (disk, password hashing): it is run on a worker once the reply is on its way
// and the output buffer is nearly empty; then resumed() is called on the loop for the next step. Input waits until a
// step comes without work. So a long answer is made piece by piece: a reply and the work that makes the next one.
// With `then` other than Continue, that happens once the work is done, and resumed() is not called.
struct Step {
  std::string reply;
  Action then = Action::Continue;
  std::function<void()> work;
  std::optional<std::chrono::milliseconds> wakeAfter;  // call woken() unless input comes first (IMAP IDLE)
  // With StartTls: how much of the end of `reply` bids the client begin. Where there is no room for its handshake, that
  // is not sent, and tlsRefused() says what is said instead.
  std::size_t goAhead = 0;
};

// Who is at the other end, as far as a session needs to know.
struct Peer {
  std::string address;  // the true client's, after PROXY; text without port
  std::uint16_t port = 0;
  std::string localAddress;  // where it connected to
  std::uint16_t localPort = 0;
};

struct TlsFacts {
  std::string version, cipher, serverName;
  bool resumed = false;
  std::optional<tls::ClientCertificate> client = {};  // where one was asked for and came
};

class Session {
 public:
  virtual ~Session() = default;

  // The connection stands (implicit TLS: is encrypted, encrypted() was called before).
  virtual Step greet() = 0;
  // Bytes from the client, in pieces as they come. All are taken: what is not used yet is buffered, within bounds.
  virtual Step received(std::string_view bytes) = 0;
  // The handshake is done. After STARTTLS everything said in the clear is forgotten (RFC 3207 section 4.2). A step
  // returned after STARTTLS is sent; with implicit TLS greet() follows and the step must be empty.
  virtual Step encrypted(const TlsFacts& facts) = 0;
  // There is no room for the handshake that the last step asked for; the session goes on in the clear, or closes.
  virtual Step tlsRefused() { return {}; }
  // The work of the last step is done.
  virtual Step resumed() = 0;
  // The time of the last step's wakeAfter has passed without input.
  virtual Step woken() { return {}; }
  // The words to leave with; the connection closes behind them. `why` decides which: SMTP 421, IMAP BYE, HTTP nothing.
  enum class Farewell { ShuttingDown, IdleTooLong };
  virtual std::string farewell(Farewell why) = 0;

  // Whether a login deadline (loginTimeout in all) or the idle time-out (since the last byte) applies now.
  virtual bool loginPending() const = 0;
};

}  // namespace postern::listeners
