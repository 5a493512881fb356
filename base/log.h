// Log: one event, one line, from the one who decided.
//
// Any thread may write; a line is written whole. An event is a dotted word ("acme.order.failed"), what varies stands in
// fields. Control characters in values are escaped, so nobody outside can begin a line of ours. Secrets have no
// conversion to a field (base/secret.h).
#pragma once

#include <atomic>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

#include "base/clock.h"

namespace postern {

enum class LogLevel { Trace, Debug, Info, Warn, Error };
enum class LogFormat { Text, Json };

struct Field {
  std::string_view name;
  std::string value;
  Field(std::string_view n, std::string_view v) : name(n), value(v) {}
  Field(std::string_view n, const char* v) : name(n), value(v) {}
  Field(std::string_view n, std::string v) : name(n), value(std::move(v)) {}
  template <class Number, class = std::enable_if_t<std::is_arithmetic_v<Number>>>
  Field(std::string_view n, Number v) : name(n), value(std::to_string(v)) {}
  Field(std::string_view n, bool v) : name(n), value(v ? "true" : "false") {}
};
using Fields = std::vector<Field>;

struct LogSettings {
  LogLevel level = LogLevel::Info;
  LogFormat format = LogFormat::Text;
  std::string file;  // empty: stderr
  bool operator==(const LogSettings&) const = default;
};

class Log {
 public:
  explicit Log(LogSettings settings = {});
  ~Log();
  Log(const Log&) = delete;
  Log& operator=(const Log&) = delete;

  // Opens the file of `settings` and goes over to it. On failure the log stays as it was and the reason is returned.
  std::string configure(const LogSettings& settings);
  // SIGUSR1: opens the same file again, for logrotate. Returns as above.
  std::string reopen();

  bool wants(LogLevel level) const { return level >= level_.load(std::memory_order_relaxed); }
  void write(LogLevel level, std::string_view event, const Fields& fields = {});
  void debug(std::string_view event, const Fields& fields = {}) { write(LogLevel::Debug, event, fields); }
  void info(std::string_view event, const Fields& fields = {}) { write(LogLevel::Info, event, fields); }
  void warn(std::string_view event, const Fields& fields = {}) { write(LogLevel::Warn, event, fields); }
  void error(std::string_view event, const Fields& fields = {}) { write(LogLevel::Error, event, fields); }

 private:
  std::atomic<LogLevel> level_;
  std::mutex mutex_;
  LogSettings settings_;
  int descriptor_;  // 2, or the open file
};

// One line as it is written, without the line feed; exposed for tests.
std::string formatLogLine(LogFormat format, Time at, LogLevel level, std::string_view event, const Fields& fields);

}  // namespace postern
