#include "tests/bench/dialogue.h"

#include <array>
#include <stdexcept>

namespace postern::bench {

const Dialogue& dialogueNamed(std::string_view name) {
  static const std::array<Dialogue, 3> all{
      Dialogue{"smtp",
               {{"", "220 "}, {"EHLO bench.example.test\r\n", "250 "}, {"STARTTLS\r\n", "220 "}},
               {{"EHLO bench.example.test\r\n", "250 "}},
               {{"QUIT\r\n", "221 "}},
               {"NOOP\r\n", "250 "}},
      Dialogue{"imap",
               {{"", "* OK"}, {"a1 STARTTLS\r\n", "a1 OK"}},
               {{"a2 CAPABILITY\r\n", "a2 OK"}},
               {{"a3 LOGOUT\r\n", "a3 OK"}},
               {"a4 NOOP\r\n", "a4 OK"}},
      Dialogue{"imaps", {}, {{"", "* OK"}}, {{"a3 LOGOUT\r\n", "a3 OK"}}, {"a4 NOOP\r\n", "a4 OK"}},
  };
  for (const auto& dialogue : all) {
    if (dialogue.name == name) return dialogue;
  }
  throw std::invalid_argument("there is no dialogue \"" + std::string(name) + "\"; there are smtp, imap and imaps");
}

Answer judge(std::string_view input, std::string_view expect) {
  if (!input.ends_with("\r\n")) return Answer::Incomplete;
  input.remove_suffix(2);
  const auto before = input.rfind("\r\n");
  const std::string_view last = before == std::string_view::npos ? input : input.substr(before + 2);
  if (last.starts_with(expect)) return Answer::Expected;
  // "250-PIPELINING" and "* CAPABILITY ..." have more to come.
  const bool more = (last.size() > 3 && last[3] == '-') || last.starts_with("* ");
  return more && !last.starts_with("* BAD") ? Answer::Incomplete : Answer::Other;
}

std::string_view greetingOf(std::string_view dialogue) {
  return dialogue == "smtp" ? "220 bench.example.test ESMTP\r\n" : "* OK [CAPABILITY IMAP4rev1] bench\r\n";
}

Reply replyTo(std::string_view dialogue, std::string_view line, bool encrypted) {
  if (dialogue == "smtp") {
    if (line.starts_with("EHLO"))
      return {encrypted ? "250-bench.example.test\r\n250-PIPELINING\r\n250 8BITMIME\r\n"
                        : "250-bench.example.test\r\n250-PIPELINING\r\n250-8BITMIME\r\n250 STARTTLS\r\n"};
    if (line == "STARTTLS" && !encrypted) return {"220 go ahead\r\n", Then::StartTls};
    if (line == "QUIT") return {"221 bye\r\n", Then::Close};
    if (line == "NOOP") return {"250 OK\r\n"};
    return {"500 unknown\r\n"};
  }
  const auto space = line.find(' ');
  const std::string tag(line.substr(0, space));
  const std::string_view command = space == std::string_view::npos ? std::string_view() : line.substr(space + 1);
  if (command == "STARTTLS" && !encrypted) return {tag + " OK begin\r\n", Then::StartTls};
  if (command == "CAPABILITY") return {"* CAPABILITY IMAP4rev1 AUTH=PLAIN\r\n" + tag + " OK done\r\n"};
  if (command == "LOGOUT") return {"* BYE\r\n" + tag + " OK bye\r\n", Then::Close};
  if (command == "NOOP") return {tag + " OK done\r\n"};
  return {tag + " BAD unknown\r\n"};
}

}  // namespace postern::bench
