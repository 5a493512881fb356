// Dialogue: what a mail client says and hears before and inside TLS, as the load generator speaks it and the reference
// server answers it. Values only.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace postern::bench {

struct Exchange {
  std::string_view say;     // "": only listen
  std::string_view expect;  // how the last line of the answer begins
};

struct Dialogue {
  std::string_view name;
  std::vector<Exchange> before;    // in the clear; empty: implicit TLS
  std::vector<Exchange> greeting;  // inside TLS: what leads to a session that may idle
  std::vector<Exchange> leaving;   // and what ends it
  Exchange noop;                   // what an idle session is asked to show that it lives
};

// "smtp" and "imap" begin with STARTTLS, "imaps" with the handshake. Throws std::invalid_argument for any other.
const Dialogue& dialogueNamed(std::string_view name);

enum class Answer { Incomplete, Expected, Other };
Answer judge(std::string_view input, std::string_view expect);

// The reference server's side: the answer to one line without its CRLF.
enum class Then { Continue, StartTls, Close };
struct Reply {
  std::string text;
  Then then = Then::Continue;
};
std::string_view greetingOf(std::string_view dialogue);
Reply replyTo(std::string_view dialogue, std::string_view line, bool encrypted);

}  // namespace postern::bench
