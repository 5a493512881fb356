#include "acme/links.h"

#include <curl/curl.h>

#include <algorithm>

#include "base/text.h"
#include "tls/openssl.h"

namespace postern::acme {
namespace {

using UrlPtr = tls::Owned<CURLU, curl_url_cleanup>;
using TextPtr = tls::Owned<char, curl_free>;

struct Link {
  std::string target, relations;
};

// The text up to one of `ends` outside quotes, without its quotes; `rest` then begins at that end.
std::string token(std::string_view& rest, std::string_view ends) {
  std::string text;
  bool quoted = false;
  std::size_t at = 0;
  for (; at < rest.size(); ++at) {
    const char c = rest[at];
    if (c == '"') {
      quoted = !quoted;
    } else if (quoted && c == '\\' && at + 1 < rest.size()) {
      text += rest[++at];
    } else if (!quoted && ends.find(c) != std::string_view::npos) {
      break;
    } else {
      text += c;
    }
  }
  rest.remove_prefix(at);
  return std::string(trimmed(text));
}

// One header may hold several: <a>;rel="x", <b>; rel=y
std::vector<Link> linksIn(std::string_view rest) {
  std::vector<Link> links;
  for (;;) {
    const std::size_t open = rest.find('<');
    if (open == std::string_view::npos) return links;
    rest.remove_prefix(open + 1);
    const std::size_t close = rest.find('>');
    if (close == std::string_view::npos) return links;
    Link link{std::string(trimmed(rest.substr(0, close))), ""};
    rest.remove_prefix(close + 1);
    token(rest, ";,");
    while (!rest.empty() && rest.front() == ';') {
      rest.remove_prefix(1);
      const std::string name = lower(token(rest, "=;,"));
      std::string value;
      if (!rest.empty() && rest.front() == '=') {
        rest.remove_prefix(1);
        value = token(rest, ";,");
      }
      if (name == "rel" && link.relations.empty()) link.relations = value;  // the first counts (RFC 8288 section 3.3)
    }
    links.push_back(std::move(link));
  }
}

bool has(const Link& link, std::string_view relation) {
  for (const std::string& one : split(link.relations, ' ')) {
    if (equalsIgnoringCase(one, relation)) return true;
  }
  return false;
}

std::string resolved(const std::string& target, const std::string& base) {
  const UrlPtr url(curl_url());
  char* text = nullptr;
  if (!url || curl_url_set(url.get(), CURLUPART_URL, base.c_str(), 0) != CURLUE_OK ||
      curl_url_set(url.get(), CURLUPART_URL, target.c_str(), 0) != CURLUE_OK ||
      curl_url_get(url.get(), CURLUPART_URL, &text, 0) != CURLUE_OK) {
    return "";
  }
  return TextPtr(text).get();
}

}  // namespace

std::vector<std::string> linksOf(const HttpResponse& response, std::string_view relation, const std::string& requestUrl,
                                 std::size_t most) {
  std::vector<std::string> urls;
  const auto [begin, end] = response.headers.equal_range("link");
  for (auto header = begin; header != end; ++header) {
    for (const Link& link : linksIn(header->second)) {
      if (link.target.empty() || !has(link, relation)) continue;
      std::string url = resolved(link.target, requestUrl);
      if (!url.starts_with("https://") || std::find(urls.begin(), urls.end(), url) != urls.end()) continue;
      if (urls.size() == most) return urls;
      urls.push_back(std::move(url));
    }
  }
  return urls;
}

}  // namespace postern::acme
