#include "listeners/imap/dates.h"

#include <array>
#include <cstdio>

#include "base/text.h"

namespace postern::imap {
namespace {

constexpr std::array<std::string_view, 12> months{"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                                  "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};

// Takes between `least` and `most` digits from the front.
std::optional<unsigned> digits(std::string_view& text, std::size_t least, std::size_t most) {
  unsigned value = 0;
  std::size_t count = 0;
  while (count < most && count < text.size() && text[count] >= '0' && text[count] <= '9') {
    value = value * 10 + static_cast<unsigned>(text[count++] - '0');
  }
  if (count < least) return {};
  text.remove_prefix(count);
  return value;
}

bool take(std::string_view& text, char c) {
  if (text.empty() || text.front() != c) return false;
  text.remove_prefix(1);
  return true;
}

// "1-Feb-1994" from the front.
std::optional<std::chrono::sys_days> day(std::string_view& text) {
  const auto dayOfMonth = digits(text, 1, 2);
  if (!dayOfMonth || !take(text, '-') || text.size() < 3) return {};
  unsigned month = 0;
  for (unsigned i = 0; i < months.size(); ++i) {
    if (equalsIgnoringCase(text.substr(0, 3), months[i])) month = i + 1;
  }
  text.remove_prefix(3);
  if (!month || !take(text, '-')) return {};
  const auto year = digits(text, 4, 4);
  if (!year) return {};
  const std::chrono::year_month_day date{std::chrono::year(static_cast<int>(*year)), std::chrono::month(month),
                                         std::chrono::day(*dayOfMonth)};
  if (!date.ok()) return {};
  return std::chrono::sys_days(date);
}

}  // namespace

std::optional<std::chrono::sys_days> parseDate(std::string_view text) {
  const auto date = day(text);
  if (!date || !text.empty()) return {};
  return date;
}

std::optional<std::chrono::sys_seconds> parseDateTime(std::string_view text) {
  take(text, ' ');
  const auto date = day(text);
  if (!date || !take(text, ' ')) return {};
  const auto hour = digits(text, 2, 2);
  if (!hour || !take(text, ':')) return {};
  const auto minute = digits(text, 2, 2);
  if (!minute || !take(text, ':')) return {};
  const auto second = digits(text, 2, 2);
  if (!second || !take(text, ' ') || *hour > 23 || *minute > 59 || *second > 60) return {};
  const bool west = take(text, '-');
  if (!west && !take(text, '+')) return {};
  const auto zoneHour = digits(text, 2, 2), zoneMinute = digits(text, 2, 2);
  if (!zoneHour || !zoneMinute || !text.empty() || *zoneMinute > 59) return {};
  const auto offset = std::chrono::minutes(*zoneHour * 60 + *zoneMinute);
  const auto local = *date + std::chrono::hours(*hour) + std::chrono::minutes(*minute) + std::chrono::seconds(*second);
  return west ? local + offset : local - offset;
}

std::string formatDateTime(std::chrono::sys_seconds at) {
  const auto days = std::chrono::floor<std::chrono::days>(at);
  const std::chrono::year_month_day date(days);
  const std::chrono::hh_mm_ss time(at - days);
  std::array<char, 64> text{};
  const unsigned month = static_cast<unsigned>(date.month());
  std::snprintf(text.data(), text.size(), "%02u-%s-%04d %02d:%02d:%02d +0000", static_cast<unsigned>(date.day()),
                months[month - 1].data(), static_cast<int>(date.year()), static_cast<int>(time.hours().count()),
                static_cast<int>(time.minutes().count()), static_cast<int>(time.seconds().count()));
  return text.data();
}

}  // namespace postern::imap
