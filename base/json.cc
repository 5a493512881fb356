#include "base/json.h"

#include <json/json.h>

#include <cmath>
#include <limits>
#include <sstream>

namespace postern {
namespace {

constexpr std::size_t deepest = 64;

// Takes a number as RFC 8259 section 6 has it off the front of `text`; jsoncpp also takes "01", "1." and "-".
bool takeNumber(std::string_view& text) {
  const auto digits = [&text] {
    std::size_t count = 0;
    for (; !text.empty() && text.front() >= '0' && text.front() <= '9'; text.remove_prefix(1)) ++count;
    return count;
  };
  if (text.front() == '-') text.remove_prefix(1);
  const bool zero = !text.empty() && text.front() == '0';
  const std::size_t whole = digits();
  if (whole == 0 || (zero && whole > 1)) return false;
  if (!text.empty() && text.front() == '.') {
    text.remove_prefix(1);
    if (digits() == 0) return false;
  }
  if (!text.empty() && (text.front() == 'e' || text.front() == 'E')) {
    text.remove_prefix(1);
    if (!text.empty() && (text.front() == '+' || text.front() == '-')) text.remove_prefix(1);
    if (digits() == 0) return false;
  }
  return true;
}

// Takes a string off, from behind its opening quote to behind its closing one.
bool takeString(std::string_view& text) {
  while (!text.empty()) {
    const char c = text.front();
    text.remove_prefix(1);
    if (c == '"') return true;
    if (static_cast<unsigned char>(c) < ' ') return false;
    if (c == '\\' && !text.empty()) text.remove_prefix(1);
  }
  return false;
}

// What jsoncpp would let pass although RFC 8259 does not, and nesting, before its recursion sees it.
bool strict(std::string_view text) {
  constexpr std::string_view tokens = " \t\r\n\"[]{}:,truefalsn";
  std::size_t depth = 0;
  while (!text.empty()) {
    const char c = text.front();
    if ((c >= '0' && c <= '9') || c == '-') {
      if (!takeNumber(text)) return false;
      continue;
    }
    // Neither comments nor "+1", which jsoncpp passes in some places.
    if (tokens.find(c) == std::string_view::npos) return false;
    text.remove_prefix(1);
    if (c == '"' && !takeString(text)) return false;
    if ((c == '[' || c == '{') && ++depth > deepest) return false;
    if ((c == ']' || c == '}') && depth-- == 0) return false;
  }
  return true;
}

Json fromJsoncpp(const ::Json::Value& value) {
  switch (value.type()) {
    case ::Json::nullValue: return {};
    case ::Json::booleanValue: return value.asBool();
    case ::Json::intValue: return std::int64_t{value.asInt64()};
    case ::Json::uintValue: return value.isInt64() ? Json(std::int64_t{value.asInt64()}) : Json(value.asDouble());
    case ::Json::realValue: return value.asDouble();
    case ::Json::stringValue: return value.asString();
    case ::Json::arrayValue: {
      Json::Array array;
      array.reserve(value.size());
      for (const auto& element : value) array.push_back(fromJsoncpp(element));
      return array;
    }
    case ::Json::objectValue: {
      Json::Object object;
      for (auto it = value.begin(); it != value.end(); ++it) object.emplace(it.name(), fromJsoncpp(*it));
      return object;
    }
  }
  return {};
}

std::string written(const ::Json::Value& value, const char* indentation) {
  ::Json::StreamWriterBuilder builder;
  builder["indentation"] = indentation;
  builder["commentStyle"] = "None";
  return ::Json::writeString(builder, value);  // non-ASCII as \u escapes, what is no UTF-8 as U+FFFD
}

}  // namespace

// Not in the header, which does not know jsoncpp.
struct JsonWriter {
  static ::Json::Value value(const Json& json) {
    struct Visitor {
      ::Json::Value operator()(std::monostate) const { return {}; }
      ::Json::Value operator()(bool b) const { return b; }
      ::Json::Value operator()(std::int64_t i) const { return ::Json::Int64{i}; }
      ::Json::Value operator()(double d) const { return std::isfinite(d) ? ::Json::Value(d) : ::Json::Value(); }
      ::Json::Value operator()(const std::string& s) const { return s; }
      ::Json::Value operator()(const Json::Array& a) const {
        ::Json::Value array(::Json::arrayValue);
        for (const auto& element : a) array.append(value(element));
        return array;
      }
      ::Json::Value operator()(const Json::Object& o) const {
        ::Json::Value object(::Json::objectValue);
        for (const auto& [name, member] : o) object[name] = value(member);
        return object;
      }
    };
    return std::visit(Visitor{}, json.value_);
  }
};

Json Json::strings(const std::vector<std::string>& values) {
  return Array(values.begin(), values.end());
}

const Json& Json::operator[](std::string_view member) const {
  static const Json null;
  const Object& members = object();
  const auto found = members.find(member);
  return found == members.end() ? null : found->second;
}

Json& Json::operator[](std::string_view member) {
  if (!isObject()) value_ = Object{};
  auto& members = std::get<Object>(value_);
  const auto found = members.find(member);
  return found == members.end() ? members[std::string(member)] : found->second;
}

const Json::Array& Json::array() const {
  static const Array none;
  const auto* array = std::get_if<Array>(&value_);
  return array == nullptr ? none : *array;
}

const Json::Object& Json::object() const {
  static const Object none;
  const auto* object = std::get_if<Object>(&value_);
  return object == nullptr ? none : *object;
}

std::string Json::string(std::string_view fallback) const {
  const auto* text = std::get_if<std::string>(&value_);
  return text == nullptr ? std::string(fallback) : *text;
}

std::int64_t Json::integer(std::int64_t fallback) const {
  if (const auto* integer = std::get_if<std::int64_t>(&value_)) return *integer;
  // 3600.0 and 36e2 are integers to RFC 8259; what has a fraction or does not fit is none.
  const auto* real = std::get_if<double>(&value_);
  constexpr double beyond = 9223372036854775808.0;
  if (real == nullptr || std::trunc(*real) != *real || *real < -beyond || *real >= beyond) return fallback;
  return static_cast<std::int64_t>(*real);
}

bool Json::boolean(bool fallback) const {
  const auto* boolean = std::get_if<bool>(&value_);
  return boolean == nullptr ? fallback : *boolean;
}

std::vector<std::string> Json::stringList() const {
  std::vector<std::string> list;
  for (const auto& element : array()) {
    if (element.isString()) list.push_back(element.string());
  }
  return list;
}

std::string Json::dump() const {
  return written(JsonWriter::value(*this), "");
}

std::string Json::pretty() const {
  return written(JsonWriter::value(*this), "  ") + '\n';
}

std::optional<Json> Json::parse(std::string_view text) {
  if (!strict(text)) return std::nullopt;
  ::Json::CharReaderBuilder builder;
  ::Json::CharReaderBuilder::strictMode(&builder.settings_);
  builder["strictRoot"] = false;  // RFC 8259 allows any value at the root
  builder["skipBom"] = false;
  ::Json::Value value;
  try {
    const std::unique_ptr<::Json::CharReader> reader(builder.newCharReader());
    if (!reader->parse(text.data(), text.data() + text.size(), &value, nullptr)) return std::nullopt;
    return fromJsoncpp(value);
  } catch (const ::Json::Exception&) {
    return std::nullopt;
  }
}

std::string quotedJson(std::string_view text) {
  return Json(text).dump();
}

}  // namespace postern
