#include "acme/http_challenges.h"

#include <gtest/gtest.h>

namespace postern::acme {
namespace {

TEST(HttpChallenges, AreFoundByTheirTokenUntilTheyAreTakenDown) {
  HttpChallenges challenges;
  EXPECT_FALSE(challenges.find("token"));
  challenges.present("token", "token.thumbprint");
  challenges.present("other", "other.thumbprint");
  EXPECT_EQ(challenges.find("token"), "token.thumbprint");
  EXPECT_FALSE(challenges.find("tok"));
  challenges.cleanUp("token");
  EXPECT_FALSE(challenges.find("token"));
  EXPECT_EQ(challenges.find("other"), "other.thumbprint");
}

}  // namespace
}  // namespace postern::acme
