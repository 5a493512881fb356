#include "acme/answer.h"

#include <optional>

#include "acme/objects.h"
#include "acme/retry_after.h"

namespace postern::acme {
namespace {

// Problem documents of any media type: gateways in between rewrite Content-Type, a "type" or "detail" is proof enough.
std::optional<Problem> problemIn(const HttpResponse& response) {
  auto json = Json::parse(response.body);
  if (!json || !((*json)["type"].isString() || (*json)["detail"].isString())) return std::nullopt;
  return parseProblem(*json);
}

std::string mediaType(const HttpResponse& response) {
  std::string type = response.header("content-type");
  return type.empty() ? "no content type" : type.substr(0, 100);
}

}  // namespace

Error refusal(const HttpResponse& response, const std::string& request, Time now) {
  std::optional<Problem> problem;
  if (response.status / 100 == 3) {
    // Never followed: what is signed is signed for its URL, and none of the CA's resources moves by itself.
    std::string location = response.header("location").substr(0, 500);
    problem = makeProblem("postern:http", request + " was redirected (HTTP status " + std::to_string(response.status) +
                                              ") to " + (location.empty() ? "nowhere" : location) +
                                              "; set directory to the URL that the CA documents");
  } else {
    problem = problemIn(response);
  }
  if (!problem) {
    problem =
        makeProblem("postern:http", request + " was answered with HTTP status " + std::to_string(response.status) +
                                        " and no problem document (" + mediaType(response) + ")");
  }
  problem->status = response.status;
  return Error(*std::move(problem), retryAfter(response, now));
}

Json jsonObject(const HttpResponse& response, const std::string& request) {
  auto json = Json::parse(response.body);
  if (json && json->isObject()) return *std::move(json);
  Problem problem =
      makeProblem("postern:malformed", request + " was answered with what is no JSON object (" + mediaType(response) +
                                           ", " + std::to_string(response.body.size()) + " bytes)");
  problem.status = response.status;
  throw Error(std::move(problem));
}

}  // namespace postern::acme
