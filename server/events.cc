#include "server/events.h"

#include <utility>

#include "base/error.h"
#include "base/program.h"
#include "base/text.h"

namespace postern::server {
namespace {

constexpr std::size_t mostWaiting = 1000;
constexpr auto atTheEnd = std::chrono::milliseconds(1500);  // base/program needs another half second to kill

Json timeOrNull(const std::optional<Time>& time) {
  return time ? Json(rfc3339(*time)) : Json();
}

}  // namespace

Json eventJson(const acme::Event& event, Time now) {
  const auto& status = event.certificate;
  const auto& certificate = status.certificate;
  Json error;
  if (const auto& last = status.lastError) {
    error = Json::Object{{"type", last->type},
                         {"detail", last->detail},
                         {"name", last->name.empty() ? Json() : Json(last->name)},
                         {"at", rfc3339(last->at)}};
  }
  return Json::Object{{"event", acme::nameOf(event.kind)},
                      {"time", rfc3339(now)},
                      {"names", Json::strings(status.names)},
                      {"provider", status.provider},
                      {"key_type", status.keyType},
                      {"serial", certificate ? Json(certificate->serial()) : Json()},
                      {"issuer", certificate ? Json(certificate->issuer()) : Json()},
                      {"not_before", certificate ? Json(rfc3339(certificate->notBefore())) : Json()},
                      {"not_after", certificate ? Json(rfc3339(certificate->notAfter())) : Json()},
                      {"renew_at", timeOrNull(status.renewAt)},
                      {"attempts", status.attempts},
                      {"last_error", error},
                      {"next_attempt", timeOrNull(status.nextAttempt)}};
}

EventHook::EventHook(const Clock& clock, Log& log, Duration limit) : clock_(clock), log_(log), limit_(limit) {}

EventHook::~EventHook() {
  {
    std::unique_lock lock(mutex_);
    changed_.wait_for(lock, atTheEnd, [this] { return waiting_.empty() && !calling_; });
    if (!waiting_.empty()) log_.warn("events.dropped", {{"count", waiting_.size()}, {"reason", "the server ends"}});
    waiting_.clear();
  }
  thread_ = {};
}

void EventHook::configure(const std::string& program) {
  std::lock_guard lock(mutex_);
  program_ = program;
  if (program_.empty()) waiting_.clear();
}

void EventHook::tell(const acme::Event& event) {
  std::lock_guard lock(mutex_);
  if (program_.empty()) return;
  if (waiting_.size() >= mostWaiting) {
    if (dropped_++ == 0) log_.error("events.full", {{"waiting", waiting_.size()}, {"hook", program_}});
    return;
  }
  waiting_.push_back({std::string(acme::nameOf(event.kind)), joined(event.certificate.names),
                      eventJson(event, clock_.now()).dump() + "\n"});
  if (!thread_.joinable()) thread_ = std::jthread([this](std::stop_token stop) { run(stop); });
  changed_.notify_all();
}

void EventHook::run(std::stop_token stop) {
  std::unique_lock lock(mutex_);
  while (changed_.wait(lock, stop, [this] { return !waiting_.empty(); })) {
    const Waiting event = std::move(waiting_.front());
    waiting_.pop_front();
    const std::string program = program_;
    const std::size_t dropped = std::exchange(dropped_, 0);
    calling_ = true;
    lock.unlock();
    if (dropped > 0) log_.error("events.dropped", {{"count", dropped}, {"reason", "too many were waiting"}});
    call(program, event, stop);
    lock.lock();
    calling_ = false;
    changed_.notify_all();
  }
}

void EventHook::call(const std::string& program, const Waiting& event, std::stop_token stop) {
  const auto failed = [&](const std::string& reason) {
    log_.error("events.hook.failed",
               {{"hook", program}, {"event", event.kind}, {"names", event.names}, {"error", reason}});
  };
  try {
    Program hook{{program, event.kind}, event.json};
    hook.limit = limit_;
    const ProgramEnd end = runProgram(hook, stop, [&](std::string_view line) {
      log_.info("events.hook.output", {{"event", event.kind}, {"names", event.names}, {"line", line}});
    });
    if (end.succeeded()) {
      log_.debug("events.hook.called", {{"event", event.kind}, {"names", event.names}});
    } else {
      failed(end.words());
    }
  } catch (const std::exception& error) {
    failed(error.what());
  }
}

}  // namespace postern::server
