// Json: a JSON value (RFC 8259), with jsoncpp behind it in one source file.
//
// A value type. Reading never throws: a member that is missing or of another type is the fallback, because what comes
// from a CA or a control socket may hold anything. Object members keep sorted order when written.
#pragma once

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

namespace postern {

class Json {
 public:
  using Array = std::vector<Json>;
  using Object = std::map<std::string, Json, std::less<>>;

  Json() = default;  // null
  Json(std::nullptr_t) {}
  Json(bool value) : value_(value) {}
  template <std::integral T>
  requires(!std::same_as<T, bool>) Json(T value) : value_(static_cast<std::int64_t>(value)) {}
  Json(double value) : value_(value) {}
  Json(const char* value) : value_(std::string(value)) {}
  Json(std::string value) : value_(std::move(value)) {}
  Json(std::string_view value) : value_(std::string(value)) {}
  Json(Array value) : value_(std::move(value)) {}
  Json(Object value) : value_(std::move(value)) {}
  template <class T>
  Json(const std::optional<T>& value) {
    if (value) *this = Json(*value);
  }
  static Json strings(const std::vector<std::string>& values);

  bool isNull() const { return std::holds_alternative<std::monostate>(value_); }
  bool isObject() const { return std::holds_alternative<Object>(value_); }
  bool isArray() const { return std::holds_alternative<Array>(value_); }
  bool isString() const { return std::holds_alternative<std::string>(value_); }

  const Json& operator[](std::string_view member) const;  // null when this is no object or has no such member
  Json& operator[](std::string_view member);              // makes this an object and the member where it is missing
  const Array& array() const;                             // empty when this is no array
  const Object& object() const;                           // empty when this is no object
  std::string string(std::string_view fallback = "") const;
  std::int64_t integer(std::int64_t fallback = 0) const;
  bool boolean(bool fallback = false) const;
  std::vector<std::string> stringList() const;  // the strings of an array, others passed over

  std::string dump() const;    // one line
  std::string pretty() const;  // indented, with a line feed at the end
  // Nothing when `text` is not one whole JSON value, or nests deeper than 64.
  static std::optional<Json> parse(std::string_view text);

  bool operator==(const Json&) const = default;

 private:
  friend struct JsonWriter;
  std::variant<std::monostate, bool, std::int64_t, double, std::string, Array, Object> value_;
};

// `text` as a JSON string with its quotes, in ASCII; bytes that are no UTF-8 become U+FFFD.
std::string quotedJson(std::string_view text);

}  // namespace postern
