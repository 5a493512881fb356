#include "base/clock.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <condition_variable>
#include <cstdint>
#include <mutex>

namespace postern {
namespace {

using namespace std::chrono;

// Reads exactly `digits` digits at the front of `text` and takes them off.
std::optional<int> takeNumber(std::string_view& text, std::size_t digits) {
  if (text.size() < digits) return std::nullopt;
  int value = 0;
  for (char c : text.substr(0, digits)) {
    if (c < '0' || c > '9') return std::nullopt;
    value = value * 10 + (c - '0');
  }
  text.remove_prefix(digits);
  return value;
}

bool take(std::string_view& text, std::string_view oneOf) {
  if (text.empty() || oneOf.find(text.front()) == std::string_view::npos) return false;
  text.remove_prefix(1);
  return true;
}

std::optional<sys_days> takeDate(std::string_view& text) {
  auto y = takeNumber(text, 4);
  if (!y || !take(text, "-")) return std::nullopt;
  auto m = takeNumber(text, 2);
  if (!m || !take(text, "-")) return std::nullopt;
  auto d = takeNumber(text, 2);
  if (!d) return std::nullopt;
  year_month_day date{year{*y}, month{static_cast<unsigned>(*m)}, day{static_cast<unsigned>(*d)}};
  if (!date.ok()) return std::nullopt;
  return sys_days{date};
}

// Digits beyond milliseconds are cut off.
std::optional<milliseconds> takeFraction(std::string_view& text) {
  if (!take(text, ".")) return milliseconds{0};
  int value = 0;
  int digits = 0;
  for (; !text.empty() && text.front() >= '0' && text.front() <= '9'; text.remove_prefix(1), ++digits) {
    if (digits < 3) value = value * 10 + (text.front() - '0');
  }
  if (digits == 0) return std::nullopt;
  for (; digits < 3; ++digits) value *= 10;
  return milliseconds{value};
}

std::optional<minutes> takeOffset(std::string_view& text) {
  if (take(text, "Zz")) return minutes{0};
  if (text.empty()) return std::nullopt;
  const bool west = text.front() == '-';
  if (!take(text, "+-")) return std::nullopt;
  auto h = takeNumber(text, 2);
  if (!h || !take(text, ":")) return std::nullopt;
  auto m = takeNumber(text, 2);
  if (!m || *h > 23 || *m > 59) return std::nullopt;
  const minutes offset = hours{*h} + minutes{*m};
  return west ? -offset : offset;
}

}  // namespace

Time SystemClock::now() const {
  return time_point_cast<milliseconds>(system_clock::now());
}

bool SystemClock::wait(Duration time, std::stop_token stop) {
  // Ends at whichever clock says so first: the steady one stands still while the machine sleeps, the wall clock may be
  // set back. A slice bounds how late a jump of the wall clock is seen.
  constexpr steady_clock::duration slice = seconds(30);
  const auto wallEnd = system_clock::now() + time;
  const auto steadyEnd = steady_clock::now() + time;
  std::mutex mutex;
  std::condition_variable_any wake;
  std::unique_lock lock(mutex);
  while (!stop.stop_requested()) {
    const steady_clock::duration left =
        std::min<steady_clock::duration>(steadyEnd - steady_clock::now(), wallEnd - system_clock::now());
    if (left <= steady_clock::duration::zero()) return true;
    wake.wait_for(lock, stop, std::min(left, slice), [] { return false; });
  }
  return false;
}

std::string rfc3339(Time time) {
  const auto second = floor<seconds>(time);
  const auto date = floor<days>(second);
  const year_month_day day{date};
  const hh_mm_ss clock{second - date};
  return fmt::format("{:04}-{:02}-{:02}T{:02}:{:02}:{:02}Z", static_cast<int>(day.year()),
                     static_cast<unsigned>(day.month()), static_cast<unsigned>(day.day()), clock.hours().count(),
                     clock.minutes().count(), clock.seconds().count());
}

std::optional<Time> parseRfc3339(std::string_view text) {
  const auto date = takeDate(text);
  if (!date || !take(text, "Tt ")) return std::nullopt;  // RFC 3339 section 5.6 lets people write a blank
  const auto h = takeNumber(text, 2);
  if (!h || *h > 23 || !take(text, ":")) return std::nullopt;
  const auto m = takeNumber(text, 2);
  if (!m || *m > 59 || !take(text, ":")) return std::nullopt;
  const auto s = takeNumber(text, 2);
  if (!s || *s > 60) return std::nullopt;  // 60: a leap second, which system time counts as the next minute's first
  const auto fraction = takeFraction(text);
  if (!fraction) return std::nullopt;
  const auto offset = takeOffset(text);
  if (!offset || !text.empty()) return std::nullopt;
  return Time{*date + hours{*h} + minutes{*m} + seconds{*s} + *fraction - *offset};
}

std::string inWords(Duration time) {
  if (time < Duration::zero()) return "-" + inWords(-time);
  // Up to two minutes people count in seconds: "90s".
  if (time >= seconds(1) && time < minutes(2)) return fmt::format("{}s", duration_cast<seconds>(time).count());
  struct Unit {
    Duration length;
    std::string_view name;
  };
  constexpr std::array<Unit, 5> units{
      {{days(1), "d"}, {hours(1), "h"}, {minutes(1), "m"}, {seconds(1), "s"}, {milliseconds(1), "ms"}}};
  for (std::size_t i = 0; i < units.size(); ++i) {
    if (time < units[i].length) continue;
    std::string words = fmt::format("{}{}", time / units[i].length, units[i].name);
    const Duration rest = time % units[i].length;
    if (i + 1 < units.size() && rest >= units[i + 1].length) {
      words += fmt::format("{}{}", rest / units[i + 1].length, units[i + 1].name);
    }
    return words;
  }
  return "0s";
}

}  // namespace postern
