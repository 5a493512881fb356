#include "config/values.h"

#include <gtest/gtest.h>

namespace postern::config {
namespace {

using namespace std::chrono_literals;

Node text(const std::string& value) {
  Node node;
  node.kind = Node::Kind::Text;
  node.text = value;
  return node;
}
Node number(std::int64_t value) {
  Node node;
  node.kind = Node::Kind::Integer;
  node.integer = value;
  node.text = std::to_string(value);
  return node;
}

TEST(Values, ADurationIsNumbersWithUnits) {
  EXPECT_EQ(toDuration(text("250ms")).value, 250ms);
  EXPECT_EQ(toDuration(text("30s")).value, 30s);
  EXPECT_EQ(toDuration(text("1m")).value, 1min);
  EXPECT_EQ(toDuration(text("2h")).value, 2h);
  EXPECT_EQ(toDuration(text("30d")).value, 24h * 30);
  EXPECT_EQ(toDuration(text("2w")).value, 24h * 14);
  EXPECT_EQ(toDuration(text("1h30m")).value, 90min);
  EXPECT_EQ(toDuration(text("1m500ms")).value, 60500ms);
  EXPECT_EQ(toDuration(text("0s")).value, 0ms);
}

TEST(Values, ADurationInAnyOtherFormIsRefused) {
  for (const char* bad : {"", "s", "1", "1x", "1.5h", "-1s", "1h 30m", " 1s", "1s ", "1S", "h1",
                          "99999999999999999999s", "9223372036854775807w", "200000d"}) {
    EXPECT_FALSE(toDuration(text(bad))) << bad;
  }
}

TEST(Values, ABareNumberIsToldItsUnit) {
  EXPECT_EQ(toDuration(number(30)).remedy, "write \"30s\"");
  EXPECT_EQ(toDuration(text("30")).remedy, "write \"30s\"");
  EXPECT_EQ(toDuration(number(30), "d").remedy, "write \"30d\"");
  EXPECT_NE(toDuration(number(30)).problem.find("unit"), std::string::npos);
  Node hidden = text("4711");
  hidden.hidden = true;
  EXPECT_EQ(toDuration(hidden).remedy.find("4711"), std::string::npos);
}

TEST(Values, ASizeTakesBytesOrKMG) {
  EXPECT_EQ(toSize(number(65536)).value, 65536);
  EXPECT_EQ(toSize(text("512")).value, 512);
  EXPECT_EQ(toSize(text("64K")).value, 65536);
  EXPECT_EQ(toSize(text("1M")).value, 1 << 20);
  EXPECT_EQ(toSize(text("2G")).value, 2LL << 30);
  for (const char* bad : {"", "K", "1T", "1KB", "-1", "1.5M", "0", "9223372036854775807G"})
    EXPECT_FALSE(toSize(text(bad))) << bad;
}

TEST(Values, ARateIsANumberPerDuration) {
  EXPECT_EQ(toRate(text("10/1s")).value, "10/1000ms");
  EXPECT_EQ(toRate(text("10/1s")).value, toRate(text("10/1000ms")).value);
  for (const char* bad : {"10", "10/", "/1s", "10/1", "0/1s", "10/0s", "a/1s"}) EXPECT_FALSE(toRate(text(bad))) << bad;
}

TEST(Values, AnAddressIsALiteralAndAPort) {
  EXPECT_EQ(toAddress(text("1.2.3.4:25")).value->text(), "1.2.3.4:25");
  EXPECT_EQ(toAddress(text("[::]:25")).value->text(), "[::]:25");
  EXPECT_EQ(toAddress(text("[0:0::1]:0")).value->text(), "[::1]:0");
  for (const char* bad : {"", "25", ":25", "1.2.3.4", "1.2.3.4:", "1.2.3.4:65536", "1.2.3:25", "::1:25", "[::1]",
                          "[1.2.3.4]:25", "localhost:25", "1.2.3.4:25x", "[::1:25", "1.2.3.4:-1"}) {
    EXPECT_FALSE(toAddress(text(bad))) << bad;
  }
}

TEST(Values, AnAddressKnowsLoopbackAndFamily) {
  EXPECT_TRUE(toAddress(text("127.0.0.2:1")).value->isLoopback());
  EXPECT_TRUE(toAddress(text("[::1]:1")).value->isLoopback());
  EXPECT_TRUE(toAddress(text("[::ffff:127.0.0.1]:1")).value->isLoopback());
  EXPECT_FALSE(toAddress(text("0.0.0.0:1")).value->isLoopback());
  EXPECT_FALSE(toAddress(text("[::]:1")).value->isLoopback());
  EXPECT_TRUE(toAddress(text("[::]:1")).value->isIpv6());
  EXPECT_FALSE(toAddress(text("0.0.0.0:1")).value->isIpv6());
}

TEST(Values, ANetworkContainsItsAddressesOnly) {
  const auto ten = *toNetwork(text("10.1.2.3/8")).value;
  EXPECT_TRUE(ten.contains(*listeners::parseIp("10.255.0.1")));
  EXPECT_FALSE(ten.contains(*listeners::parseIp("11.0.0.1")));
  EXPECT_EQ(ten, *toNetwork(text("10.0.0.0/8")).value);
  const auto odd = *toNetwork(text("192.168.4.0/22")).value;
  EXPECT_TRUE(odd.contains(*listeners::parseIp("192.168.7.255")));
  EXPECT_FALSE(odd.contains(*listeners::parseIp("192.168.8.0")));
  EXPECT_TRUE(toNetwork(text("::1")).value->contains(*listeners::parseIp("::1")));
  EXPECT_TRUE(toNetwork(text("0.0.0.0/0")).value->contains(*listeners::parseIp("8.8.8.8")));
  EXPECT_FALSE(toNetwork(text("0.0.0.0/0")).value->contains(*listeners::parseIp("2001:db8::1")));
  EXPECT_TRUE(toNetwork(text("::/0")).value->contains(*listeners::parseIp("8.8.8.8")));
  for (const char* bad : {"", "10.0.0.0/33", "::/129", "10.0.0.0/", "10.0.0.0/-1", "10.0.0/8", "x"}) {
    EXPECT_FALSE(toNetwork(text(bad))) << bad;
  }
}

TEST(Values, CountsKeepTheirBounds) {
  EXPECT_EQ(toCount(number(5), 1, 10).value, 5);
  EXPECT_EQ(toCount(text("5"), 1, 10).value, 5);
  EXPECT_FALSE(toCount(number(0), 1, 10));
  EXPECT_FALSE(toCount(number(11), 1, 10));
  EXPECT_FALSE(toCount(text("5x"), 1, 10));
  EXPECT_FALSE(toCount(text("-5"), -10, 10));
}

TEST(Values, ABareContactGetsMailto) {
  EXPECT_EQ(toContact(text("a@example.org")).value, "mailto:a@example.org");
  EXPECT_EQ(toContact(text("mailto:a@example.org")).value, "mailto:a@example.org");
  for (const char* bad : {"", "a", "@b", "a@", "a@b,c@d", "mailto:a@b?subject=x", "a b@c"})
    EXPECT_FALSE(toContact(text(bad))) << bad;
}

TEST(Values, AMailAddressHasItsDomainInLowerCase) {
  EXPECT_EQ(toMailAddress(text("Alice@EXAMPLE.org")).value, "Alice@example.org");
  EXPECT_EQ(toMailAddress(text("b@b\xc3\xbc"
                               "cher.example"))
                .value,
            "b@xn--bcher-kva.example");
  for (const char* bad : {"", "a", "@b", "a@", "a b@c.d", "a@*.b.c", "a@b c"})
    EXPECT_FALSE(toMailAddress(text(bad))) << bad;
}

TEST(Values, ADirectoryIsAnHttpsUrl) {
  EXPECT_TRUE(toHttpsUrl(text("https://localhost:14000/dir")));
  EXPECT_TRUE(toHttpsUrl(text("HTTPS://ca.example")));
  for (const char* bad : {"", "http://x/", "https://", "https:///x", "x", "https://a b/"})
    EXPECT_FALSE(toHttpsUrl(text(bad))) << bad;
}

TEST(Names, AreLowerCasedAndBecomeALabels) {
  EXPECT_EQ(hostname("MAIL.Example.ORG").value, "mail.example.org");
  EXPECT_EQ(hostname("m\xc3\xbcnchen.example").value, "xn--mnchen-3ya.example");
  EXPECT_EQ(hostname("M\xc3\x9cNCHEN.example").value, "xn--mnchen-3ya.example");
  EXPECT_EQ(hostname("xn--mnchen-3ya.example").value, "xn--mnchen-3ya.example");
  EXPECT_EQ(hostname("*.Example.org").value, "*.example.org");
  EXPECT_EQ(hostname("localhost").value, "localhost");
}

TEST(Names, ThatACaWouldRefuseSayWhy) {
  const std::string label(64, 'a');
  const std::string part(60, 'b');
  const struct {
    std::string name, problem;
  } cases[] = {{"mail example.org", "blanks"},
               {"mail.example.org ", "blanks"},
               {label + ".org", "63 characters"},
               {part + "." + part + "." + part + "." + part + "." + part + ".org", "253 characters"},
               {"mail..org", "empty labels"},
               {".org", "empty labels"},
               {"-a.org", "hyphen"},
               {"a-.org", "hyphen"},
               {"a_b.org", "letters, digits"},
               {"mail.example.org.", "dot"},
               {"1.2.3", "neither"},
               {"a.*.org", "letters, digits"},
               {"**.org", "letters, digits"},
               {"", "expected a host name"},
               {"xn--a.org", "internationalized"},
               {"a@b.org", "letters, digits"},
               {std::string("a\0b.org", 7), "null"},
               {"a\xff.org", "internationalized"},
               {"*.", "dot"}};
  for (const auto& one : cases) {
    const auto parsed = hostname(one.name);
    EXPECT_FALSE(parsed) << one.name;
    EXPECT_NE(parsed.problem.find(one.problem), std::string::npos) << one.name << ": " << parsed.problem;
  }
}

TEST(Names, AddressesAreHostnamesInOneForm) {
  EXPECT_EQ(toHostname(text("[2001:DB8::0]")).value, "2001:db8::");
  EXPECT_EQ(toHostname(text("192.0.2.1")).value, "192.0.2.1");
  EXPECT_TRUE(isIpLiteral("192.0.2.1"));
  EXPECT_FALSE(isIpLiteral("mail.example.org"));
}

}  // namespace
}  // namespace postern::config
