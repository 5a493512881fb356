#include "acme/http_solver.h"

#include <gtest/gtest.h>

#include "acme/error.h"

namespace postern::acme {
namespace {

struct HttpSolverTest : ::testing::Test {
  HttpChallenges challenges;
  HttpSolver solver{challenges};
};

TEST_F(HttpSolverTest, PutsTheKeyAuthorizationUnderItsTokenAndTakesItDownWhenItsOwnerLetsGo) {
  auto presented = solver.present({"mail.example.org", "tok-en_1", "tok-en_1.print"}, {});
  EXPECT_EQ(challenges.find("tok-en_1"), "tok-en_1.print");
  presented.reset();
  EXPECT_FALSE(challenges.find("tok-en_1"));
}

TEST_F(HttpSolverTest, KeepsATokenThatTwoOrdersShareUpUntilBothAreDone) {
  auto first = solver.present({"mail.example.org", "token", "token.print"}, {});
  auto second = solver.present({"mail.example.org", "token", "token.print"}, {});
  first.reset();
  EXPECT_EQ(challenges.find("token"), "token.print");
  second.reset();
  EXPECT_FALSE(challenges.find("token"));
}

TEST_F(HttpSolverTest, AnswersForAnAddressAsForAName) {
  auto presented = solver.present({"192.0.2.1", "token", "token.print"}, {});
  EXPECT_EQ(challenges.find("token"), "token.print");
}

TEST_F(HttpSolverTest, RefusesATokenThatIsAPathOfTheCasChoosing) {
  for (const char* token : {"", "../secret", "a/b", "a b", "a%2e"}) {
    EXPECT_THROW(solver.present({"mail.example.org", token, "x"}, {}), Error) << token;
  }
}

TEST_F(HttpSolverTest, IsTheSolverOfHttp01) {
  EXPECT_EQ(solver.type(), ChallengeType::Http01);
}

}  // namespace
}  // namespace postern::acme
