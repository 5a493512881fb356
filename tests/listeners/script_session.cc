#include "tests/listeners/script_session.h"

#include <stdexcept>

namespace postern::listeners::testing {

Step ScriptSession::proceed() {
  Step all;
  for (;;) {
    const auto end = input_.find('\n');
    if (end == std::string::npos) return all;
    const std::string line = input_.substr(0, end);
    input_.erase(0, end + 1);
    const auto blank = line.find(' ');
    Step step = obey(line.substr(0, blank), blank == std::string::npos ? "" : line.substr(blank + 1));
    step.reply.insert(0, all.reply);
    all = std::move(step);
    if (all.work || all.wakeAfter || all.then != Action::Continue) return all;
  }
}

Step ScriptSession::obey(const std::string& command, const std::string& rest) {
  if (command == "echo") return say(rest);
  if (command == "peer") {
    return say(peer_.address + " " + std::to_string(peer_.port) + " " + peer_.localAddress + " " +
               std::to_string(peer_.localPort));
  }
  if (command == "facts") return say(facts_);
  if (command == "throw") throw std::runtime_error("thrown on purpose");
  if (command == "login") {
    loginNeeded_ = false;
    return say("welcome");
  }
  if (command == "big") return say(std::string(std::stoul(rest), 'x'));
  Step step = say(command == "quit"       ? "bye"
                  : command == "starttls" ? "go"
                  : command == "wake"     ? "sleeping"
                                          : "working");
  if (command == "quit") step.then = Action::Close;
  if (command == "starttls") {
    step.then = Action::StartTls;
    step.goAhead = step.reply.size();
  }
  if (command == "wake") step.wakeAfter = std::chrono::milliseconds(std::stol(rest));
  if (command == "work") step.work = [this, rest] { worked_ = "did " + rest + "\n"; };
  if (command == "gate") {
    step.work = [this] {
      gate_->pass();
      worked_ = "passed\n";
    };
  }
  if (command == "last") {
    step.work = [] {};
    step.then = Action::Close;
  }
  if (command == "throw-work") step.work = [] { throw std::runtime_error("thrown on purpose"); };
  return step;
}

}  // namespace postern::listeners::testing
