// Remedies about a CA's directory name keys that exist, and what would help.
#include <gtest/gtest.h>

#include "tests/server/doctor_fixture.h"

namespace postern::server {
namespace {

bool contains(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

TEST_F(Doctor, LooksToTheResolverWhereAHostNameIsNotResolvedInTime) {
  fails("no answer from ca.test within 5s: Resolving timed out after 5000 milliseconds");
  const Findings found = directory();
  ASSERT_TRUE(one(found, Weight::Error, "Resolving timed out"));
  EXPECT_TRUE(contains(found.front().remedy, "/etc/resolv.conf")) << found.front().remedy;
}

TEST_F(Doctor, HasAProfileTakenOutWhereTheCaOffersNone) {
  provider.profile = "shortlived";
  const Findings found = directory();
  ASSERT_TRUE(one(found, Weight::Error, "offers none"));
  EXPECT_EQ(found.front().remedy, "take acme.main.profile out");
}

TEST_F(Doctor, NamesTheKeysOfTheSectionThatNamesAStagingByItsUrl) {
  provider.name = "main" + std::string(stagingByUrl);
  provider.profile = "shortlived";
  answers(200, R"({"newNonce":"n","newAccount":"a","newOrder":"o","meta":{"profiles":{"classic":""}}})");
  EXPECT_TRUE(contains(directory().front().remedy, "set acme.main.profile ")) << directory().front().remedy;
  answers(404, "nothing here");
  EXPECT_TRUE(contains(directory().front().remedy, "acme.main.staging")) << directory().front().remedy;
}

}  // namespace
}  // namespace postern::server
