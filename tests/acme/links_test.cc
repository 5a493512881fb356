#include "acme/links.h"

#include <gtest/gtest.h>

namespace postern::acme {
namespace {

using Urls = std::vector<std::string>;

Urls alternates(const Urls& headers, const std::string& base = "https://ca.test/acme/cert/7") {
  HttpResponse response;
  for (const std::string& header : headers) response.headers.emplace("link", header);
  return linksOf(response, "alternate", base);
}

TEST(Links, ReadsTheExampleOfRfc8555) {
  EXPECT_EQ(alternates({R"(<https://example.com/acme/directory>;rel="index")"}), Urls{});
  EXPECT_EQ(alternates({R"(<https://example.com/acme/cert/mAt3xBGaobw/1>;rel="alternate")"}),
            Urls{"https://example.com/acme/cert/mAt3xBGaobw/1"});
}

TEST(Links, TakesSeveralHeadersAndSeveralLinksInOne) {
  EXPECT_EQ(
      alternates(
          {R"(<https://a.test/1>;rel="alternate", <https://a.test/x>; rel="up", <https://a.test/2>;rel=alternate)",
           R"(<https://a.test/3>;rel="alternate")"}),
      (Urls{"https://a.test/1", "https://a.test/2", "https://a.test/3"}));
}

TEST(Links, TakesRelationsQuotedOrNotInAnyCaseAndAmongOthers) {
  EXPECT_EQ(
      alternates({"<https://a.test/1>;rel=alternate", R"(<https://a.test/2>; REL="Alternate")",
                  R"(<https://a.test/3>;rel="up alternate")", R"(<https://a.test/4>;title="a;b, c";rel="alternate")"}),
      (Urls{"https://a.test/1", "https://a.test/2", "https://a.test/3", "https://a.test/4"}));
  EXPECT_EQ(alternates({R"(<https://a.test/1>;rel="alternates")", R"(<https://a.test/2>;title=alternate)"}), Urls{});
}

TEST(Links, ResolvesRelativeUrlsAgainstTheRequests) {
  EXPECT_EQ(alternates({"</other/7>;rel=alternate", "<7/1>;rel=alternate", "<?chain=2>;rel=alternate",
                        "<//b.test/1>;rel=alternate", "<../x>;rel=alternate"}),
            (Urls{"https://ca.test/other/7", "https://ca.test/acme/cert/7/1", "https://ca.test/acme/cert/7?chain=2",
                  "https://b.test/1", "https://ca.test/acme/x"}));
}

TEST(Links, PassesOverWhatIsNoLinkAndNoHttps) {
  EXPECT_EQ(alternates({"", "<", "<https://a.test/1", ">;rel=alternate", "<>;rel=alternate", "nonsense",
                        "<http://a.test/1>;rel=alternate", "<file:///etc/passwd>;rel=alternate",
                        R"(<https://a.test/2>;rel="alternate)"}),
            Urls{"https://a.test/2"});
}

TEST(Links, NamesEachOnceAndNoMoreThanItMay) {
  Urls headers;
  for (int i = 0; i < 50; ++i) headers.push_back("<https://a.test/" + std::to_string(i) + ">;rel=alternate");
  headers.insert(headers.begin(), headers.front());
  EXPECT_EQ(alternates(headers).size(), 20U);
}

}  // namespace
}  // namespace postern::acme
