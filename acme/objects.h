// The JSON objects of RFC 8555 section 7.1 as values. Unknown members, statuses and challenge types are kept as text
// and passed over; a member without which nothing can go on is an Error postern:malformed that names it.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "acme/error.h"
#include "base/clock.h"
#include "base/json.h"

namespace postern::acme {

struct Directory {
  std::string newNonce, newAccount, newOrder;      // required
  std::string revokeCert, keyChange, renewalInfo;  // "" when the CA has none
  Json meta;                                       // termsOfService, website, externalAccountRequired, profiles, ...
};

struct AccountObject {  // 7.1.2
  std::string url, status, orders;
  std::vector<std::string> contact;
  bool termsOfServiceAgreed = false;
};

struct Order {
  std::string url;
  std::string status;  // pending, ready, processing, valid, invalid, or what comes
  std::vector<std::string> authorizations;
  std::string finalize, certificate;
  std::optional<Problem> error;
  std::optional<Time> expires;
  std::optional<Time> retryAfter;  // of the answer that brought it, as pollAfter()
};

struct Challenge {
  std::string type, url, status, token;  // token "" where the type has none
  std::optional<Problem> error;
  std::optional<Time> retryAfter;
};

struct Authorization {
  std::string url, status, identifier;  // identifier: the value; a wildcard's without "*."
  bool wildcard = false;
  std::vector<Challenge> challenges;
  std::optional<Time> retryAfter;
};

// Statuses (RFC 8555 section 7.1.6) from which an authorization does not come back; one that we do not know is none.
bool isDead(const Authorization& authorization);
// The name as it was ordered: "*.example.org" for a wildcard.
std::string orderedName(const Authorization& authorization);

Directory parseDirectory(const Json& json);
AccountObject parseAccount(const Json& json);
Order parseOrder(const Json& json);
Authorization parseAuthorization(const Json& json);
Challenge parseChallenge(const Json& json);
Problem parseProblem(const Json& json);  // never throws

}  // namespace postern::acme
