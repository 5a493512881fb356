#include "acme/dns_hook.h"

#include <fmt/format.h>

#include <cstdlib>
#include <utility>

#include "base/error.h"
#include "base/program.h"
#include "base/text.h"

namespace postern::acme {
namespace {

constexpr Duration cleanUpAfterStop = std::chrono::seconds(10);

}  // namespace

DnsHook::DnsHook(std::string program, std::map<std::string, std::string> environment, Log& log, Duration longest)
    : program_(std::move(program)), environment_(std::move(environment)), log_(log), longest_(longest) {}

void DnsHook::add(const TxtRecord& record, std::stop_token stop) {
  if (stop.stop_requested()) throw Stopped();
  run("present", record, Duration(0), stop);
  log_.info("acme.dns.record.added", {{"record", record.name}, {"hook", program_}});
}

void DnsHook::remove(const TxtRecord& record, std::stop_token stop) {
  run("cleanup", record, cleanUpAfterStop, stop);
  log_.info("acme.dns.record.removed", {{"record", record.name}, {"hook", program_}});
}

void DnsHook::run(const std::string& action, const TxtRecord& record, Duration afterStop, const std::stop_token& stop) {
  const auto failed = [&](const std::string& why) {
    return makeProblem("postern:dns",
                       fmt::format("the hook program {} {} for {}: {}", program_, action, record.name, why),
                       record.name);
  };
  // No part of a challenge goes to the log.
  const auto withoutValue = [&](std::string_view line) {
    std::string text(trimmed(line));
    for (auto at = text.find(record.value); at != std::string::npos; at = text.find(record.value)) {
      text.replace(at, record.value.size(), "(value)");
    }
    return text;
  };
  Program hook{{program_, action, record.name, record.value}};
  const char* path = std::getenv("PATH");
  hook.environment.push_back(std::string("PATH=") +
                             (path ? path : "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"));
  for (const auto& [name, value] : environment_) hook.environment.push_back(name + "=" + value);
  hook.environment.push_back("POSTERN_TTL=" + std::to_string(record.ttl));
  hook.inherits = false;
  hook.limit = longest_;
  hook.afterStop = afterStop;

  ProgramEnd end;
  try {
    end = runProgram(hook, stop, [&](std::string_view line) {
      const std::string text = withoutValue(line);
      if (!text.empty()) log_.info("acme.dns.hook.output", {{"record", record.name}, {"line", text}});
    });
  } catch (const SystemError& error) {
    throw NothingChanged(failed(error.what()));
  }
  if (end.succeeded()) return;
  if (end.how == ProgramEnd::How::Stopped && action == "present") throw Stopped();
  for (std::string& line : end.lastLines) line = withoutValue(line);
  const std::string words =
      end.lastLines.empty() ? "it wrote nothing" : "its last words: " + joined(end.lastLines, " / ");
  throw Error(failed(end.words() + "; " + words));
}

}  // namespace postern::acme
