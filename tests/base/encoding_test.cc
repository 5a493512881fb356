#include "base/encoding.h"

#include <gtest/gtest.h>

#include <random>

namespace postern {
namespace {

TEST(Base64, GivesTheExamplesOfRfc4648Section10) {
  const std::pair<const char*, const char*> examples[] = {{"", ""},
                                                          {"f", "Zg=="},
                                                          {"fo", "Zm8="},
                                                          {"foo", "Zm9v"},
                                                          {"foob", "Zm9vYg=="},
                                                          {"fooba", "Zm9vYmE="},
                                                          {"foobar", "Zm9vYmFy"}};
  for (const auto& [bytes, text] : examples) {
    EXPECT_EQ(base64(bytes), text);
    EXPECT_EQ(fromBase64(text), bytes);
  }
}

TEST(Base64, UsesTheUrlAlphabetWithoutPadding) {
  EXPECT_EQ(base64("\xfb\xff\xfe"), "+//+");
  EXPECT_EQ(base64Url("\xfb\xff\xfe"), "-__-");
  EXPECT_EQ(base64Url("f"), "Zg");
  EXPECT_EQ(fromBase64Url("Zg"), "f");
  EXPECT_EQ(fromBase64Url("Zg=="), "f");
}

TEST(Base64, RefusesWhatIsNotExactlyEncoded) {
  for (const char* text : {"Zg", "Zg=", "Zg===", "Zm9vYg=", "Z", "Zh==", "Zm9=", "Zm9v\n", " Zm9v", "Zm-_", "=",
                           "====", "Zg==Zg==", "Z=g="}) {
    EXPECT_FALSE(fromBase64(text)) << text;
  }
  for (const char* text : {"Z", "Zh", "Zm9v=", "Zg=", "Zm+/", "Zg===", "=", "Zm9v\r\n", "Zm8=="}) {
    EXPECT_FALSE(fromBase64Url(text)) << text;
  }
}

TEST(Base64, ReadsBackWhatItWrote) {
  std::mt19937 random(1);
  for (std::size_t length = 0; length < 300; ++length) {
    std::string bytes(length, '\0');
    for (char& c : bytes) c = static_cast<char>(random());
    EXPECT_EQ(fromBase64(base64(bytes)), bytes);
    EXPECT_EQ(fromBase64Url(base64Url(bytes)), bytes);
  }
}

TEST(Hex, IsLowerCase) {
  EXPECT_EQ(hex(std::string_view("\x00\x01\xab\xff", 4)), "0001abff");
  EXPECT_EQ(hex(""), "");
}

}  // namespace
}  // namespace postern
