#include "listeners/proxy_header.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace postern::listeners {
namespace {

using namespace std::string_literals;

const std::string signature = "\r\n\r\n\0\r\nQUIT\n"s;

std::string v2(char versionAndCommand, char family, const std::string& rest) {
  return signature + versionAndCommand + family + static_cast<char>(rest.size() >> 8) + static_cast<char>(rest.size()) +
         rest;
}

// "1.2.3.4:5 6.7.8.9:25 (consumed)", "local (consumed)", "more" or "bad".
std::string outcome(const std::string& bytes) {
  const auto result = parseProxyHeader(bytes);
  if (std::holds_alternative<ProxyNeedsMore>(result)) return "more";
  if (std::holds_alternative<ProxyBad>(result)) return "bad";
  const auto& header = std::get<ProxyHeader>(result);
  const std::string size = " (" + std::to_string(header.consumed) + ")";
  return header.source ? header.source->text() + " " + header.destination->text() + size : "local" + size;
}

TEST(ProxyHeader, ReadsVersionOne) {
  EXPECT_EQ(outcome("PROXY TCP4 192.0.2.7 198.51.100.1 56324 25\r\nEHLO x\r\n"),
            "192.0.2.7:56324 198.51.100.1:25 (44)");
  EXPECT_EQ(outcome("PROXY TCP6 2001:db8::7 2001:db8::1 1 65535\r\n"), "[2001:db8::7]:1 [2001:db8::1]:65535 (44)");
  EXPECT_EQ(outcome("PROXY UNKNOWN\r\n"), "local (15)");
  EXPECT_EQ(outcome("PROXY UNKNOWN ffff:: whatever it says 1 2\r\nx"), "local (43)");
}

TEST(ProxyHeader, RefusesABrokenVersionOne) {
  const std::vector<std::string> broken{
      "PROXY TCP4 192.0.2.7 198.51.100.1 56324\r\n",       // a port is missing
      "PROXY TCP4 192.0.2.7 198.51.100.1 56324 25 9\r\n",  // a word too many
      "PROXY TCP4  192.0.2.7 198.51.100.1 56324 25\r\n",   // two blanks
      "PROXY TCP4 192.0.2.7 198.51.100.1 65536 25\r\n",    // no such port
      "PROXY TCP4 192.0.2.7 198.51.100.1 +1 25\r\n",       // a sign
      "PROXY TCP4 192.0.2.7 198.51.100.1 025 25\r\n",      // a leading zero
      "PROXY TCP4 2001:db8::7 2001:db8::1 1 2\r\n",        // the wrong family
      "PROXY TCP6 192.0.2.7 198.51.100.1 1 2\r\n",         // the wrong family
      "PROXY TCP4 192.0.2.7 198.51.100.1 56324 25\n",      // a bare line feed
      "PROXY TCP4 192.0.2.7\r 198.51.100.1 56324 25\r\n",  // a bare carriage return
      "PROXY UDP4 192.0.2.7 198.51.100.1 56324 25\r\n",    // no stream
      "PROXY UNKNOWN\r X\r\n",                             // smuggling a line
      "PROXY \n",                                          //
      "proxy TCP4 192.0.2.7 198.51.100.1 56324 25\r\n",    // lower case
      "EHLO mail.example.org\r\n",                         // no header at all
      "\x16\x03\x01",                                      // a ClientHello
      "PROXY UNKNOWN " + std::string(200, 'x') + "\r\n",   // longer than 107 bytes
      "PROXY UNKNOWN " + std::string(200, 'x'),            // and not ended
  };
  for (const auto& bytes : broken) EXPECT_EQ(outcome(bytes), "bad") << bytes;
}

TEST(ProxyHeader, TakesTheLongestVersionOneThereCanBe) {
  const std::string longest =
      "PROXY UNKNOWN ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff "
      "65535 65535\r\n";
  ASSERT_EQ(longest.size(), 107u);
  EXPECT_EQ(outcome(longest), "local (107)");
}

TEST(ProxyHeader, ReadsVersionTwo) {
  const std::string addresses = "\xc0\x00\x02\x07\xc6\x33\x64\x01\xdc\x04\x00\x19"s;
  EXPECT_EQ(outcome(v2('\x21', '\x11', addresses) + "rest"), "192.0.2.7:56324 198.51.100.1:25 (28)");
  const std::string six = "\x20\x01\x0d\xb8"s + std::string(11, '\0') + "\x07\x20\x01\x0d\xb8"s +
                          std::string(11, '\0') + "\x01\x00\x01\xff\xff"s;
  EXPECT_EQ(outcome(v2('\x21', '\x21', six)), "[2001:db8::7]:1 [2001:db8::1]:65535 (52)");
}

TEST(ProxyHeader, PassesOverTheTlvsOfVersionTwo) {
  const std::string addresses = "\xc0\x00\x02\x07\xc6\x33\x64\x01\xdc\x04\x00\x19"s;
  EXPECT_EQ(outcome(v2('\x21', '\x11',
                       addresses +
                           "\x02\x00\x03"
                           "abc"s +
                           std::string(500, 't'))),
            "192.0.2.7:56324 198.51.100.1:25 (534)");
}

TEST(ProxyHeader, LetsThePeerSpeakForItselfWhereTheProxyNamesNobody) {
  EXPECT_EQ(outcome(v2('\x20', '\x00', "")), "local (16)");                      // LOCAL
  EXPECT_EQ(outcome(v2('\x20', '\x11', std::string(12, 'a'))), "local (28)");    // LOCAL, whatever addresses it gives
  EXPECT_EQ(outcome(v2('\x21', '\x00', "abc")), "local (19)");                   // unspecified
  EXPECT_EQ(outcome(v2('\x21', '\x31', std::string(216, 'a'))), "local (232)");  // a UNIX stream
}

TEST(ProxyHeader, RefusesABrokenVersionTwo) {
  EXPECT_EQ(outcome(v2('\x11', '\x11', std::string(12, 'a'))), "bad");  // another version
  EXPECT_EQ(outcome(v2('\x22', '\x11', std::string(12, 'a'))), "bad");  // another command
  EXPECT_EQ(outcome(v2('\x21', '\x11', std::string(11, 'a'))), "bad");  // too short for its family
  EXPECT_EQ(outcome(v2('\x21', '\x21', std::string(35, 'a'))), "bad");
  EXPECT_EQ(outcome(v2('\x21', '\x12', std::string(12, 'a'))), "bad");  // datagrams
  EXPECT_EQ(outcome(v2('\x21', '\x11', std::string(4081, 'a'))), "bad");
  EXPECT_EQ(outcome(signature + "\x21\x11\xff\xff"s), "bad");  // said before it is sent
  EXPECT_EQ(outcome("\r\n\r\nX"), "bad");
}

TEST(ProxyHeader, AsksForMoreAtEveryByteUntilItIsWhole) {
  for (const auto& whole : {"PROXY TCP4 192.0.2.7 198.51.100.1 56324 25\r\n"s, "PROXY UNKNOWN\r\n"s,
                            v2('\x21', '\x11', std::string(12, 'a') + "tlv"), v2('\x20', '\x00', "")}) {
    for (std::size_t length = 0; length < whole.size(); ++length) {
      EXPECT_EQ(outcome(whole.substr(0, length)), "more") << length;
    }
    EXPECT_NE(outcome(whole).find("(" + std::to_string(whole.size()) + ")"), std::string::npos);
  }
}

}  // namespace
}  // namespace postern::listeners
