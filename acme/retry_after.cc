#include "acme/retry_after.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <limits>

#include "base/text.h"

namespace postern::acme {
namespace {

std::optional<int> number(std::string_view text) {
  int value = 0;
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || value < 0) return std::nullopt;
  return value;
}

// As it was told, without bounds.
std::optional<Time> told(const HttpResponse& response, Time now) {
  using namespace std::chrono;
  std::string header = response.header("retry-after");
  std::string_view text = trimmed(header);
  if (text.empty()) return std::nullopt;
  if (auto date = parseHttpDate(text)) return date;
  if (!std::all_of(text.begin(), text.end(), [](char c) { return c >= '0' && c <= '9'; })) return std::nullopt;
  // More seconds than an int holds are as good as for ever.
  return now + seconds(number(text).value_or(std::numeric_limits<int>::max()));
}

}  // namespace

std::optional<Time> parseHttpDate(std::string_view text) {
  using namespace std::chrono;
  static constexpr std::array<std::string_view, 12> months{"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                                           "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
  constexpr std::string_view shape = "Sun, 06 Nov 1994 08:49:37 GMT";
  if (text.size() != shape.size() || text.substr(25) != " GMT") return std::nullopt;
  for (std::size_t at : {3U, 4U, 7U, 11U, 16U, 19U, 22U}) {
    if (text[at] != shape[at]) return std::nullopt;
  }
  auto month = std::find(months.begin(), months.end(), text.substr(8, 3));
  auto day = number(text.substr(5, 2)), year = number(text.substr(12, 4));
  auto hour = number(text.substr(17, 2)), minute = number(text.substr(20, 2)), second = number(text.substr(23, 2));
  if (month == months.end() || !day || !year || !hour || !minute || !second) return std::nullopt;
  if (*hour > 23 || *minute > 59 || *second > 60) return std::nullopt;
  year_month_day date{std::chrono::year(*year), std::chrono::month(static_cast<unsigned>(month - months.begin()) + 1),
                      std::chrono::day(static_cast<unsigned>(*day))};
  if (!date.ok()) return std::nullopt;
  return Time(sys_days(date)) + hours(*hour) + minutes(*minute) + seconds(*second);
}

std::optional<Time> retryAfter(const HttpResponse& response, Time now) {
  using namespace std::chrono;
  auto at = told(response, now);
  if (!at) return std::nullopt;
  Time longest = now + (response.status == 429 || response.status == 503 ? hours(24 * 7) : hours(24));
  return std::clamp<Time>(*at, now + seconds(1), longest);
}

std::optional<Time> pollAfter(const HttpResponse& response, Time now) {
  auto at = told(response, now);
  return at && *at > now ? retryAfter(response, now) : std::nullopt;
}

}  // namespace postern::acme
