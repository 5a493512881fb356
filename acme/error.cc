#include "acme/error.h"

#include <string_view>
#include <utility>

namespace postern::acme {
namespace {

std::string words(const Problem& problem) {
  std::string text = problem.shortType();
  if (!problem.detail.empty()) text += ": " + problem.detail;
  if (!problem.name.empty()) text += " (" + problem.name + ")";
  return text;
}

}  // namespace

std::string Problem::shortType() const {
  constexpr std::string_view prefix = "urn:ietf:params:acme:error:";
  return type.starts_with(prefix) ? type.substr(prefix.size()) : type;
}

Problem makeProblem(std::string type, std::string detail, std::string name) {
  Problem problem;
  problem.type = std::move(type);
  problem.detail = std::move(detail);
  problem.name = std::move(name);
  return problem;
}

Error::Error(Problem p, std::optional<Time> after)
    : std::runtime_error(words(p)), problem(std::move(p)), retryAfter(after) {}

}  // namespace postern::acme
