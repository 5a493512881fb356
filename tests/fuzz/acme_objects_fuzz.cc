// A CA's answer: a line with the status, a line with Retry-After, then the body, which is read as everything a CA
// sends. Whatever comes, it becomes a value or an Error postern:malformed or postern:certificate, and stays bounded.
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "acme/answer.h"
#include "acme/issuance.h"
#include "acme/objects.h"
#include "acme/retry_after.h"

using namespace postern;
using namespace postern::acme;

namespace {

void must(bool holds) {
  if (!holds) std::abort();
}

void checkProblem(const Problem& problem) {
  must(problem.type.size() <= 5000 && problem.detail.size() <= 5000 && problem.name.size() <= 5000);
  must(problem.subproblems.size() <= 100 && problem.status >= 0 && problem.status <= 599);
  for (const Problem& sub : problem.subproblems) must(sub.subproblems.empty() && sub.detail.size() <= 5000);
}

// What `read` makes of it, or the Error of the one type that is allowed.
template <class Read>
void attempt(Read read, std::string_view allowed) {
  try {
    read();
  } catch (const Error& error) {
    must(error.problem.type == allowed);
    checkProblem(error.problem);
  }
}

std::string_view lineFrom(std::string_view& bytes) {
  std::size_t end = bytes.find('\n');
  std::string_view line = bytes.substr(0, end);
  bytes.remove_prefix(end == std::string_view::npos ? bytes.size() : end + 1);
  return line;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const tls::KeyPtr key = tls::generateKey(tls::KeyType::EcdsaP256);
  const Time now = Time(std::chrono::seconds(1'772'366'400));
  std::string_view bytes(reinterpret_cast<const char*>(data), size);
  HttpResponse response;
  std::string_view status = lineFrom(bytes);
  response.status = 200 + (status.empty() ? 0 : static_cast<unsigned char>(status.front()));
  response.headers.emplace("retry-after", lineFrom(bytes));
  response.body = bytes;

  if (auto again = retryAfter(response, now)) {
    must(*again >= now + std::chrono::seconds(1) && *again <= now + std::chrono::hours(24 * 7));
  }
  Error error = refusal(response, "the order", now);
  must(error.problem.status == response.status && !error.problem.type.empty());
  checkProblem(error.problem);

  attempt(
      [&] {
        Json json = jsonObject(response, "the order");
        attempt([&] { must(!parseDirectory(json).newOrder.empty()); }, "postern:malformed");
        attempt([&] { must(!parseOrder(json).status.empty()); }, "postern:malformed");
        attempt(
            [&] {
              for (const Challenge& challenge : parseAuthorization(json).challenges) {
                must(!challenge.type.empty() && !challenge.url.empty());
              }
            },
            "postern:malformed");
        attempt([&] { must(!parseChallenge(json).url.empty()); }, "postern:malformed");
        checkProblem(parseProblem(json));
      },
      "postern:malformed");
  // Nothing that is made up is for a key that was drawn a moment ago.
  try {
    verified(response.body, key.get(), {"mail.example.org"}, now);
    must(false);
  } catch (const Error& refused) {
    must(refused.problem.type == "postern:certificate");
  }
  return 0;
}
