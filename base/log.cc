#include "base/log.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <filesystem>
#include <utility>

#include "base/atomic_file.h"
#include "base/error.h"
#include "base/json.h"

namespace postern {
namespace {

std::string_view nameOf(LogLevel level) {
  switch (level) {
    case LogLevel::Trace: return "trace";
    case LogLevel::Debug: return "debug";
    case LogLevel::Info: return "info";
    case LogLevel::Warn: return "warn";
    case LogLevel::Error: return "error";
  }
  return "error";
}

// "2026-03-01T12:00:00.123Z"
std::string timestamp(Time at) {
  std::string text = rfc3339(at);
  const auto fraction = (at - std::chrono::floor<std::chrono::seconds>(at)).count();
  text.pop_back();
  return text + fmt::format(".{:03}Z", fraction);
}

// The length of the UTF-8 sequence at the front of `text`, 0 when there is none: overlong forms, surrogates and the C1
// controls, which a terminal would obey, count as none.
std::size_t printableSequence(std::string_view text) {
  const auto byte = [&](std::size_t i) { return i < text.size() ? static_cast<unsigned char>(text[i]) : 0U; };
  const auto continues = [&](std::size_t i) { return (byte(i) & 0xC0U) == 0x80U; };
  if (byte(0) >= 0xC2 && byte(0) <= 0xDF && continues(1)) return byte(0) == 0xC2 && byte(1) < 0xA0 ? 0 : 2;
  if (byte(0) >= 0xE0 && byte(0) <= 0xEF && continues(1) && continues(2)) {
    const bool overlong = byte(0) == 0xE0 && byte(1) < 0xA0;
    const bool surrogate = byte(0) == 0xED && byte(1) >= 0xA0;
    return overlong || surrogate ? 0 : 3;
  }
  if (byte(0) >= 0xF0 && byte(0) <= 0xF4 && continues(1) && continues(2) && continues(3)) {
    const bool overlong = byte(0) == 0xF0 && byte(1) < 0x90;
    const bool beyond = byte(0) == 0xF4 && byte(1) > 0x8F;
    return overlong || beyond ? 0 : 4;
  }
  return 0;
}

bool needsQuotes(std::string_view value) {
  if (value.empty()) return true;
  for (char c : value) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte <= ' ' || byte >= 0x7F || c == '"' || c == '=' || c == '\\') return true;
  }
  return false;
}

void appendQuoted(std::string& line, std::string_view value) {
  line += '"';
  while (!value.empty()) {
    const char c = value.front();
    const auto byte = static_cast<unsigned char>(c);
    std::size_t taken = 1;
    if (c == '"' || c == '\\') {
      line += '\\';
      line += c;
    } else if (c == '\n') {
      line += "\\n";
    } else if (c == '\r') {
      line += "\\r";
    } else if (c == '\t') {
      line += "\\t";
    } else if (byte >= ' ' && byte < 0x7F) {
      line += c;
    } else if (const std::size_t length = printableSequence(value); length > 0) {
      line += value.substr(0, length);
      taken = length;
    } else {
      line += fmt::format("\\x{:02x}", byte);
    }
    value.remove_prefix(taken);
  }
  line += '"';
}

void appendValue(std::string& line, std::string_view value) {
  if (needsQuotes(value)) {
    appendQuoted(line, value);
  } else {
    line += value;
  }
}

// One write(2), so that lines of several processes never mix; what a full pipe left over follows.
bool writeWhole(int descriptor, std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t written = ::write(descriptor, bytes.data(), bytes.size());
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) return false;
    bytes.remove_prefix(static_cast<std::size_t>(written));
  }
  return true;
}

int openLog(const std::string& file) {
  if (file.empty()) return STDERR_FILENO;
  createDirectories(std::filesystem::path(file).parent_path(), 0750);
  const int descriptor = open(file.c_str(), O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOCTTY, 0640);
  if (descriptor < 0) {
    const int error = errno;
    throw SystemError("cannot open the log file " + file, error);
  }
  return descriptor;
}

}  // namespace

std::string formatLogLine(LogFormat format, Time at, LogLevel level, std::string_view event, const Fields& fields) {
  std::string line;
  if (format == LogFormat::Json) {
    line = fmt::format(R"({{"time":"{}","level":"{}","event":{})", timestamp(at), nameOf(level), quotedJson(event));
    for (const Field& field : fields) {
      line += ',' + quotedJson(field.name) + ':' + quotedJson(field.value);
    }
    return line + '}';
  }
  line = fmt::format("{} {:<5} ", timestamp(at), nameOf(level));
  appendValue(line, event);
  for (const Field& field : fields) {
    line += ' ';
    line += field.name;
    line += '=';
    appendValue(line, field.value);
  }
  return line;
}

Log::Log(LogSettings settings) : level_(settings.level), descriptor_(STDERR_FILENO) {
  settings_.level = settings.level;
  settings_.format = settings.format;
  const std::string problem = configure(settings);
  if (!problem.empty()) error("log.open.failed", {{"file", std::move(settings.file)}, {"error", problem}});
}

Log::~Log() {
  if (descriptor_ != STDERR_FILENO) close(descriptor_);
}

std::string Log::configure(const LogSettings& settings) {
  int next = -1;
  try {
    next = openLog(settings.file);
  } catch (const SystemError& error) {
    return error.what();
  }
  std::lock_guard lock(mutex_);
  const int old = std::exchange(descriptor_, next);
  if (old != STDERR_FILENO) close(old);
  settings_ = settings;
  level_.store(settings.level, std::memory_order_relaxed);
  return "";
}

std::string Log::reopen() {
  LogSettings settings;
  {
    std::lock_guard lock(mutex_);
    settings = settings_;
  }
  return configure(settings);
}

void Log::write(LogLevel level, std::string_view event, const Fields& fields) {
  if (!wants(level)) return;
  const Time now = std::chrono::time_point_cast<Duration>(std::chrono::system_clock::now());
  std::lock_guard lock(mutex_);
  const std::string line = formatLogLine(settings_.format, now, level, event, fields) + '\n';
  // A full disk must not make us silent: stderr is the last resort.
  if (!writeWhole(descriptor_, line) && descriptor_ != STDERR_FILENO) writeWhole(STDERR_FILENO, line);
}

}  // namespace postern
