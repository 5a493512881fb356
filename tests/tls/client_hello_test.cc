#include "tls/client_hello.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

namespace postern::tls {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

std::string withLength(std::string bytes, int lengthBytes) {
  std::string length;
  for (int i = lengthBytes - 1; i >= 0; --i) length += static_cast<char>(bytes.size() >> (8 * i) & 0xff);
  return length + bytes;
}

std::string serverNames(const std::string& name, char type = 0) {
  return withLength(type + withLength(name, 2), 2);
}

TEST(ClientHelloTest, ReadsTheHostNameInLowerCaseWithoutItsDot) {
  EXPECT_EQ(hostName(serverNames("Mail.Example.org")), "mail.example.org");
  EXPECT_EQ(hostName(serverNames("mail.example.org.")), "mail.example.org");
}

TEST(ClientHelloTest, PassesOverNamesOfOtherTypes) {
  EXPECT_EQ(hostName(serverNames("mail.example.org", 1)), "");
  EXPECT_EQ(hostName(withLength(std::string("\x01\x00\x01x", 4) + '\0' + withLength("a.example.org", 2), 2)),
            "a.example.org");
}

TEST(ClientHelloTest, TakesNoNameLongerThanANameCanBe) {
  EXPECT_EQ(hostName(serverNames(std::string(255, 'a'))).size(), 255u);
  EXPECT_EQ(hostName(serverNames(std::string(256, 'a'))), "");
}

TEST(ClientHelloTest, TakesMalformedExtensionsForNone) {
  const std::string good = serverNames("mail.example.org");
  for (std::size_t size = 0; size < good.size(); ++size) EXPECT_EQ(hostName(good.substr(0, size)), "") << size;
  EXPECT_EQ(hostName(good + "x"), "");
  const std::string protocols = withLength(withLength("imap", 1), 2);
  for (std::size_t size = 0; size < protocols.size(); ++size)
    EXPECT_THAT(offeredProtocols(protocols.substr(0, size)), IsEmpty()) << size;
  EXPECT_THAT(offeredProtocols(withLength(std::string(1, '\0'), 2)), IsEmpty());
}

TEST(ClientHelloTest, ReadsProtocolsInTheClientsOrder) {
  EXPECT_THAT(offeredProtocols(withLength(withLength("h2", 1) + withLength("acme-tls/1", 1), 2)),
              ElementsAre("h2", "acme-tls/1"));
}

}  // namespace
}  // namespace postern::tls
