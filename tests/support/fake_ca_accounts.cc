// The fake CA's directory and accounts: RFC 8555 sections 7.1.1 and 7.3.
#include <utility>

#include "base/encoding.h"
#include "tests/support/fake_ca.h"
#include "tests/support/fake_ca_crypto.h"

namespace postern::test {

acme::HttpResponse FakeCa::directory() {
  Json::Object meta;
  if (!terms_.empty()) meta["termsOfService"] = terms_;
  if (externalRequired_) meta["externalAccountRequired"] = true;
  if (!profiles_.empty()) {
    Json::Object profiles;
    for (const auto& [name, description] : profiles_) profiles[name] = description;
    meta["profiles"] = std::move(profiles);
  }
  Json::Object directory{{"newNonce", entryUrl("newNonce")},   {"newAccount", entryUrl("newAccount")},
                         {"newOrder", entryUrl("newOrder")},   {"revokeCert", entryUrl("revokeCert")},
                         {"keyChange", entryUrl("keyChange")}, {"meta", std::move(meta)}};
  if (renewalInfo_) directory["renewalInfo"] = base_ + "/renewalInfo";
  for (const std::string& resource : withheld_) directory.erase(resource);
  if (future_) directory["xK3zQ"] = Json::Array{"https://community.letsencrypt.org/t/adding-random-entries/33417", 7};
  return json(200, std::move(directory));
}

acme::HttpResponse FakeCa::newAccount(const Signed& request) {
  for (const auto& [existing, account] : accounts_) {
    if (account.thumbprint != request.thumbprint) continue;
    if (account.status != "valid") throw Refusal{403, "unauthorized", "the account is deactivated"};
    acme::HttpResponse response = json(200, Json::Object{{"status", "valid"}});
    response.headers.emplace("location", existing);
    return response;
  }
  if (bindingFirst_ && !request.payload["externalAccountBinding"].isObject()) {
    throw Refusal{400, "externalAccountRequired", "The request must include a value for externalAccountBinding"};
  }
  if (request.payload["onlyReturnExisting"].boolean()) throw Refusal{400, "accountDoesNotExist", "no such account"};
  if (!terms_.empty() && !request.payload["termsOfServiceAgreed"].boolean()) {
    throw Refusal{403, "userActionRequired", "the terms of service must be agreed to"};
  }
  Account made;
  made.boundTo = externalAccountOf(request);
  made.url = url("account", nextId());
  made.thumbprint = request.thumbprint;
  made.key = tls::share(request.key.get());
  made.contact = request.payload["contact"].stringList();
  for (const std::string& contact : made.contact) {
    if (!contact.starts_with("mailto:")) throw Refusal{400, "unsupportedContact", "only mailto"};
  }
  lastAccount_ = made.url;
  ++accountsMade_;
  acme::HttpResponse response = json(201, Json::Object{{"status", "valid"}});
  response.headers.emplace("location", made.url);
  accounts_[lastAccount_] = std::move(made);
  return response;
}

// RFC 8555 section 7.3.4, the checks of its last list.
std::string FakeCa::externalAccountOf(const Signed& request) const {
  const Json& binding = request.payload["externalAccountBinding"];
  if (!binding.isObject()) {
    if (externalRequired_) throw Refusal{403, "externalAccountRequired", "accounts are bound to external ones here"};
    return "";
  }
  const auto header = Json::parse(fromBase64Url(binding["protected"].string()).value_or(""));
  const auto payload = Json::parse(fromBase64Url(binding["payload"].string()).value_or(""));
  const auto signature = fromBase64Url(binding["signature"].string());
  if (!header || !payload || !signature) throw Refusal{400, "malformed", "the binding is no flattened JWS"};
  if ((*header)["alg"].string() != "HS256" || !(*header)["nonce"].isNull() ||
      (*header)["url"].string() != request.url) {
    throw Refusal{400, "malformed", "the binding's header is wrong"};
  }
  if (thumbprintOf(*payload) != request.thumbprint) throw Refusal{400, "malformed", "the binding is of another key"};
  const std::string input = binding["protected"].string() + "." + binding["payload"].string();
  if ((*header)["kid"].string() != externalKeyId_ || externalKey_.empty() ||
      hmacSha256(externalKey_, input) != *signature) {
    throw Refusal{403, "unauthorized", "the external account is unknown or its key another"};
  }
  return externalKeyId_;
}

acme::HttpResponse FakeCa::account(const Signed& request) {
  if (request.url != request.account) throw Refusal{403, "unauthorized", "it is another account"};
  Account& found = accounts_.at(request.account);
  if (request.payload["contact"].isArray()) {
    found.contact = request.payload["contact"].stringList();
    lastAccount_ = found.url;
  }
  if (request.payload["status"].string() == "deactivated") {
    found.status = "deactivated";
    lastAccount_ = found.url;
  }
  return json(200, Json::Object{{"status", found.status},
                                {"contact", Json::strings(found.contact)},
                                {"orders", found.url + "/orders"},
                                {"termsOfServiceAgreed", true}});
}

// RFC 8555 section 7.3.5, the checks of its list.
acme::HttpResponse FakeCa::keyChange(const Signed& request) {
  const Json& inner = request.payload;
  const auto header = Json::parse(fromBase64Url(inner["protected"].string()).value_or(""));
  const auto payload = Json::parse(fromBase64Url(inner["payload"].string()).value_or(""));
  const auto signature = fromBase64Url(inner["signature"].string());
  if (!header || !payload || !signature) throw Refusal{400, "malformed", "the payload is no flattened JWS"};
  const Json& jwk = (*header)["jwk"];
  tls::KeyPtr key = keyFromJwk(jwk);
  if (!key || (*header)["url"].string() != request.url || !(*header)["nonce"].isNull()) {
    throw Refusal{400, "malformed", "the inner header is wrong"};
  }
  const std::string input = inner["protected"].string() + "." + inner["payload"].string();
  if (!signatureHolds(key.get(), input, *signature, (*header)["alg"].string())) {
    throw Refusal{400, "malformed", "the inner signature is wrong"};
  }
  if ((*payload)["account"].string() != request.account || thumbprintOf((*payload)["oldKey"]) != request.thumbprint) {
    throw Refusal{400, "malformed", "the inner payload names another account or key"};
  }
  const std::string thumbprint = thumbprintOf(jwk);
  for (const auto& [existing, account] : accounts_) {
    if (account.thumbprint == thumbprint) throw Refusal{409, "malformed", "another account has that key"};
  }
  Account& changed = accounts_.at(request.account);
  changed.key = std::move(key);
  changed.thumbprint = thumbprint;
  lastAccount_ = changed.url;
  return json(200, Json::Object{{"status", "valid"}});
}

}  // namespace postern::test
