#include "acme/objects.h"

#include <algorithm>
#include <utility>

namespace postern::acme {
namespace {

constexpr std::size_t longestText = 4096;     // of a problem: it goes into log, status and the disk
constexpr std::size_t mostSubproblems = 100;  // as many as an order has names

[[noreturn]] void refuse(const std::string& what) {
  throw Error(makeProblem("postern:malformed", "the CA's " + what));
}

std::string demanded(const Json& json, std::string_view object, std::string_view member) {
  std::string value = json[member].string();
  if (value.empty()) refuse(std::string(object) + " has no \"" + std::string(member) + "\"");
  return value;
}

void demandObject(const Json& json, const std::string& object) {
  if (!json.isObject()) refuse(object + " is not a JSON object");
}

std::string bounded(std::string text) {
  if (text.size() <= longestText) return text;
  std::size_t end = longestText;
  while (end > 0 && (static_cast<unsigned char>(text[end]) & 0xC0U) == 0x80U) --end;  // not inside a UTF-8 character
  text.resize(end);
  return text + "...";
}

std::optional<Problem> errorOf(const Json& json) {
  if (!json["error"].isObject()) return std::nullopt;
  return parseProblem(json["error"]);
}

Problem oneProblem(const Json& json) {
  Problem problem;
  problem.type = bounded(json["type"].string("about:blank"));
  problem.detail = bounded(json["detail"].string(json["title"].string()));
  problem.name = bounded(json["identifier"]["value"].string());
  std::int64_t status = json["status"].integer();
  if (status >= 100 && status <= 599) problem.status = static_cast<int>(status);
  return problem;
}

}  // namespace

bool isDead(const Authorization& authorization) {
  static constexpr std::string_view ends[] = {"invalid", "deactivated", "expired", "revoked"};
  return std::find(std::begin(ends), std::end(ends), authorization.status) != std::end(ends);
}

std::string orderedName(const Authorization& authorization) {
  return (authorization.wildcard ? "*." : "") + authorization.identifier;
}

Directory parseDirectory(const Json& json) {
  demandObject(json, "directory");
  Directory directory;
  directory.newNonce = demanded(json, "directory", "newNonce");
  directory.newAccount = demanded(json, "directory", "newAccount");
  directory.newOrder = demanded(json, "directory", "newOrder");
  directory.revokeCert = json["revokeCert"].string();
  directory.keyChange = json["keyChange"].string();
  directory.renewalInfo = json["renewalInfo"].string();
  if (json["meta"].isObject()) directory.meta = json["meta"];
  return directory;
}

AccountObject parseAccount(const Json& json) {
  demandObject(json, "account");
  AccountObject account;
  account.status = demanded(json, "account", "status");
  account.orders = json["orders"].string();
  account.contact = json["contact"].stringList();
  account.termsOfServiceAgreed = json["termsOfServiceAgreed"].boolean();
  return account;
}

Order parseOrder(const Json& json) {
  demandObject(json, "order");
  Order order;
  order.status = demanded(json, "order", "status");
  order.authorizations = json["authorizations"].stringList();
  // What the next step needs must be there; of other states, known or not, nothing is demanded.
  order.finalize = order.status == "pending" || order.status == "ready" ? demanded(json, "order", "finalize")
                                                                        : json["finalize"].string();
  order.certificate = order.status == "valid" ? demanded(json, "order", "certificate") : json["certificate"].string();
  if (order.status == "pending" && order.authorizations.empty()) refuse("order has no \"authorizations\"");
  order.error = errorOf(json);
  order.expires = parseRfc3339(json["expires"].string());
  return order;
}

Authorization parseAuthorization(const Json& json) {
  demandObject(json, "authorization");
  Authorization authorization;
  authorization.status = demanded(json, "authorization", "status");
  demandObject(json["identifier"], "authorization's \"identifier\"");
  authorization.identifier = demanded(json["identifier"], "authorization's identifier", "value");
  authorization.wildcard = json["wildcard"].boolean();
  if (authorization.identifier.starts_with("*.")) {  // which the RFC forbids, and some CAs do (ACME-Server-ADCS)
    authorization.identifier.erase(0, 2);
    authorization.wildcard = true;
  }
  for (const Json& challenge : json["challenges"].array()) {
    // A challenge of a shape that we do not know is not ours to answer.
    if (challenge["type"].string().empty() || challenge["url"].string().empty()) continue;
    authorization.challenges.push_back(parseChallenge(challenge));
  }
  return authorization;
}

Challenge parseChallenge(const Json& json) {
  demandObject(json, "challenge");
  Challenge challenge;
  challenge.type = demanded(json, "challenge", "type");
  challenge.url = demanded(json, "challenge", "url");
  challenge.status = json["status"].string("pending");
  challenge.token = json["token"].string();
  challenge.error = errorOf(json);
  return challenge;
}

Problem parseProblem(const Json& json) {
  Problem problem = oneProblem(json);
  const Json::Array& list = json["subproblems"].array();
  for (std::size_t i = 0; i < std::min(list.size(), mostSubproblems); ++i) {
    if (list[i].isObject()) problem.subproblems.push_back(oneProblem(list[i]));
  }
  // Where a person finds what to do (RFC 8555 section 7.3.3).
  const std::string instance = bounded(json["instance"].string());
  const bool isAddress = instance.starts_with("https://") || instance.starts_with("http://");
  if (problem.shortType() == "userActionRequired" && isAddress && problem.detail.find(instance) == std::string::npos) {
    problem.detail += (problem.detail.empty() ? "see " : "; see ") + instance;
  }
  // Where a single name is to blame, the whole is about that name.
  if (problem.name.empty() && problem.subproblems.size() == 1) problem.name = problem.subproblems.front().name;
  return problem;
}

}  // namespace postern::acme
