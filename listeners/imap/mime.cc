#include "listeners/imap/mime.h"

#include <gmime/gmime.h>

#include <memory>
#include <mutex>

#include "base/text.h"

namespace postern::imap {
namespace {

void initialise() {
  static std::once_flag once;
  // Without g_mime_shutdown(): workers may still be at it when static objects go.
  std::call_once(once, [] { g_mime_init(); });
}

struct Unref {
  void operator()(gpointer object) const noexcept { g_object_unref(object); }
};
template <class T>
using ObjectPtr = std::unique_ptr<T, Unref>;

struct Free {
  void operator()(char* text) const noexcept { g_free(text); }
};
using TextPtr = std::unique_ptr<char, Free>;

struct DateFree {
  void operator()(GDateTime* date) const noexcept { g_date_time_unref(date); }
};

std::string text(const char* value) {
  return value ? value : "";
}

std::string taken(char* value) {
  const TextPtr owner(value);
  return text(value);
}

// C strings end at a NUL; what hides behind one is none of a header's business.
std::string terminated(std::string_view value) {
  return std::string(value.substr(0, value.find('\0')));
}

std::vector<Parameter> parametersOf(GMimeParamList* list) {
  std::vector<Parameter> parameters;
  const int count = list ? g_mime_param_list_length(list) : 0;
  for (int i = 0; i < count; ++i) {
    GMimeParam* parameter = g_mime_param_list_get_parameter_at(list, i);
    parameters.push_back({text(g_mime_param_get_name(parameter)), text(g_mime_param_get_value(parameter))});
  }
  return parameters;
}

std::optional<std::string> encodedPhrase(const char* name) {
  if (!name || !*name) return {};
  std::string value = text(name);
  bool plain = true;
  for (const char c : value) plain = plain && c > 0 && c != '\r' && c != '\n';
  if (plain) return value;
  return unfolded(taken(g_mime_utils_header_encode_text(nullptr, name, "utf-8")));
}

void appendAddresses(InternetAddressList* list, std::vector<Address>& addresses, int depth) {
  const int count = internet_address_list_length(list);
  for (int i = 0; i < count; ++i) {
    InternetAddress* address = internet_address_list_get_address(list, i);
    if (INTERNET_ADDRESS_IS_GROUP(address)) {
      Address begin;
      begin.mailbox = encodedPhrase(internet_address_get_name(address)).value_or("");
      addresses.push_back(std::move(begin));
      if (depth > 0) {
        appendAddresses(internet_address_group_get_members(INTERNET_ADDRESS_GROUP(address)), addresses, depth - 1);
      }
      addresses.emplace_back();
    } else {
      const std::string whole = text(internet_address_mailbox_get_addr(INTERNET_ADDRESS_MAILBOX(address)));
      const auto at = whole.rfind('@');
      Address one;
      one.name = encodedPhrase(internet_address_get_name(address));
      one.mailbox = whole.substr(0, at);
      // NIL would make it the end of a group.
      one.host = at == std::string::npos ? "" : whole.substr(at + 1);
      addresses.push_back(std::move(one));
    }
  }
}

}  // namespace

bool MediaType::is(std::string_view wantedType, std::string_view wantedSubtype) const {
  return equalsIgnoringCase(type, wantedType) && (wantedSubtype.empty() || equalsIgnoringCase(subtype, wantedSubtype));
}

std::string MediaType::parameter(std::string_view name) const {
  for (const auto& parameter : parameters) {
    if (equalsIgnoringCase(parameter.name, name)) return parameter.value;
  }
  return {};
}

MediaType parseMediaType(std::string_view value) {
  // RFC 2045 section 5.2 wants text/plain for what is no content type; GMime would say application/octet-stream.
  if (value.substr(0, value.find(';')).find('/') == std::string_view::npos) return {};
  initialise();
  const ObjectPtr<GMimeContentType> parsed(g_mime_content_type_parse(nullptr, terminated(value).c_str()));
  MediaType type;
  if (!parsed) return type;
  const std::string major = text(g_mime_content_type_get_media_type(parsed.get()));
  const std::string minor = text(g_mime_content_type_get_media_subtype(parsed.get()));
  if (!major.empty() && !minor.empty()) {
    type.type = major;
    type.subtype = minor;
  }
  type.parameters = parametersOf(g_mime_content_type_get_parameters(parsed.get()));
  return type;
}

Disposition parseDisposition(std::string_view value) {
  initialise();
  const ObjectPtr<GMimeContentDisposition> parsed(g_mime_content_disposition_parse(nullptr, terminated(value).c_str()));
  if (!parsed) return {};
  return {text(g_mime_content_disposition_get_disposition(parsed.get())),
          parametersOf(g_mime_content_disposition_get_parameters(parsed.get()))};
}

std::vector<Address> parseAddresses(std::string_view value) {
  initialise();
  std::vector<Address> addresses;
  const ObjectPtr<InternetAddressList> list(internet_address_list_parse(nullptr, terminated(value).c_str()));
  if (list) appendAddresses(list.get(), addresses, 2);
  return addresses;
}

std::optional<std::chrono::sys_days> parseHeaderDate(std::string_view value) {
  initialise();
  const std::unique_ptr<GDateTime, DateFree> date(g_mime_utils_header_decode_date(terminated(value).c_str()));
  if (!date) return {};
  int year = 0, month = 0, day = 0;
  g_date_time_get_ymd(date.get(), &year, &month, &day);
  return std::chrono::sys_days(std::chrono::year(year) / month / day);
}

std::string unfolded(std::string_view value) {
  std::string line;
  for (const char c : trimmed(value)) {
    if (c == '\r' || c == '\n') continue;  // the blank that begins the next line stays (RFC 5322 section 2.2.3)
    line += c == '\t' ? ' ' : c;
  }
  return line;
}

std::string decodedHeader(std::string_view value) {
  initialise();
  return taken(g_mime_utils_header_decode_text(nullptr, terminated(unfolded(value)).c_str()));
}

std::string decodedText(std::string_view body, std::string_view transferEncoding, std::string_view charset) {
  initialise();
  const auto encoding = g_mime_content_encoding_from_string(terminated(trimmed(transferEncoding)).c_str());
  std::string bytes;
  if (encoding == GMIME_CONTENT_ENCODING_BASE64 || encoding == GMIME_CONTENT_ENCODING_QUOTEDPRINTABLE) {
    GMimeEncoding state;
    g_mime_encoding_init_decode(&state, encoding);
    bytes.resize(g_mime_encoding_outlen(&state, body.size()));
    bytes.resize(g_mime_encoding_flush(&state, body.data(), body.size(), bytes.data()));
  } else {
    bytes = body;
  }
  if (charset.empty() || equalsIgnoringCase(charset, "us-ascii") || equalsIgnoringCase(charset, "utf-8")) return bytes;
  GMimeFilter* filter = g_mime_filter_charset_new(terminated(charset).c_str(), "utf-8");
  if (!filter) return bytes;  // unknown: its ASCII part may still be found
  const ObjectPtr<GMimeFilter> owner(filter);
  char* converted = nullptr;
  size_t length = 0, reserved = 0;
  g_mime_filter_complete(filter, bytes.data(), bytes.size(), 0, &converted, &length, &reserved);
  return std::string(converted, length);
}

std::string caseFolded(std::string_view value) {
  bool ascii = true;
  for (const char c : value) ascii = ascii && c >= 0;
  if (ascii) return lower(value);
  const TextPtr valid(g_utf8_make_valid(value.data(), static_cast<gssize>(value.size())));
  return taken(g_utf8_casefold(valid.get(), -1));
}

}  // namespace postern::imap
