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
  std::optional<Problem> problem = problemIn(response);
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
