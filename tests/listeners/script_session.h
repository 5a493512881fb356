// ScriptSession: a session of one-line commands that makes a connection do each thing it can do.
//
//   echo WORDS   replies "WORDS"             quit        replies "bye" and closes
//   starttls     replies "go"                big N       replies N bytes of 'x' and a line end
//   work WORDS   replies "working", then, from a worker, "did WORDS"
//   gate         like work, but the worker waits until openGate()
//   last         works, then closes          wake MS     replies "woken" after that time without input
//   login        ends the login deadline     throw, throw-work
//   peer         who the peer is             facts       of TLS
#pragma once

#include <condition_variable>
#include <memory>
#include <mutex>
#include <string>
#include <utility>

#include "listeners/session.h"

namespace postern::listeners::testing {

// What a worker waits at.
class Gate {
 public:
  void open() {
    std::lock_guard lock(mutex_);
    open_ = true;
    changed_.notify_all();
  }
  void pass() {
    std::unique_lock lock(mutex_);
    ++arrived_;
    changed_.wait(lock, [this] { return open_; });
  }
  int arrived() {
    std::lock_guard lock(mutex_);
    return arrived_;
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  bool open_ = false;
  int arrived_ = 0;
};

class ScriptSession final : public Session {
 public:
  explicit ScriptSession(Peer peer, std::shared_ptr<Gate> gate = nullptr, bool loginNeeded = false)
      : peer_(std::move(peer)), gate_(std::move(gate)), loginNeeded_(loginNeeded) {}

  Step greet() override { return say("hello"); }
  Step received(std::string_view bytes) override {
    input_ += bytes;
    return proceed();
  }
  Step encrypted(const TlsFacts& facts) override {
    facts_ = facts.version + " " + facts.cipher + " " + facts.serverName + (facts.resumed ? " resumed" : " full");
    if (facts.client) facts_ += " " + facts.client->subject + (facts.client->verified ? " verified" : " not verified");
    input_.clear();
    return said_ ? say("encrypted") : Step{};
  }
  Step resumed() override {
    Step step = proceed();
    step.reply.insert(0, std::exchange(worked_, {}));
    return step;
  }
  Step tlsRefused() override { return say("busy"); }
  Step woken() override { return say("woken"); }
  std::string farewell(Farewell why) override { return why == Farewell::ShuttingDown ? "shutting down\n" : "idle\n"; }
  bool loginPending() const override { return loginNeeded_; }

 private:
  Step say(const std::string& words) {
    said_ = true;
    Step step;
    step.reply = words + "\n";
    return step;
  }
  Step proceed();
  Step obey(const std::string& command, const std::string& rest);

  const Peer peer_;
  const std::shared_ptr<Gate> gate_;
  bool loginNeeded_, said_ = false;
  std::string input_, facts_, worked_;
};

}  // namespace postern::listeners::testing
