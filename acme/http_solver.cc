#include "acme/http_solver.h"

#include <string>
#include <string_view>
#include <utility>

#include "acme/error.h"

namespace postern::acme {
namespace {

class Shown : public Presented {
 public:
  Shown(HttpChallenges& challenges, std::string token) : challenges_(challenges), token_(std::move(token)) {}
  Shown(const Shown&) = delete;
  Shown& operator=(const Shown&) = delete;
  ~Shown() override { challenges_.cleanUp(token_); }

 private:
  HttpChallenges& challenges_;
  const std::string token_;
};

constexpr std::string_view base64UrlAlphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

}  // namespace

std::unique_ptr<Presented> HttpSolver::present(const ChallengeAnswer& answer, std::stop_token) {
  if (answer.token.empty() || answer.token.find_first_not_of(base64UrlAlphabet) != std::string::npos) {
    throw Error(
        makeProblem("postern:challenge", "the CA's token is not base64url (RFC 8555 section 8.3)", answer.identifier));
  }
  auto shown = std::make_unique<Shown>(challenges_, answer.token);
  challenges_.present(answer.token, answer.keyAuthorization);
  return shown;
}

}  // namespace postern::acme
