#include "base/error.h"

#include <gtest/gtest.h>

#include <cerrno>

namespace postern {
namespace {

TEST(Error, SaysWhatTheSystemSaid) {
  EXPECT_EQ(errnoText(EACCES), "Permission denied");
  EXPECT_EQ(errnoText(ENOENT), "No such file or directory");
  EXPECT_FALSE(errnoText(99999).empty());
}

TEST(Error, NamesTheDeedAndTheReason) {
  const SystemError error("cannot open /etc/x", EACCES);
  EXPECT_STREQ(error.what(), "cannot open /etc/x: Permission denied");
  EXPECT_EQ(error.error(), EACCES);
}

}  // namespace
}  // namespace postern
