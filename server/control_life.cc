// The commands `revoke` and `account` that come through the control socket: the rest of the ACME life cycle.
#include <algorithm>

#include "base/text.h"
#include "server/application.h"

namespace postern::server {

namespace {

Json refusal(const std::string& reason) {
  return Json::Object{{"ok", false}, {"error", reason}};
}

// What the CA said begins with its type, so that it can be looked up; our own words stand alone.
std::string wordsOf(const acme::Error& error) {
  const auto& problem = error.problem;
  const std::string name = problem.name.empty() ? "" : " (" + problem.name + ")";
  if (problem.type.starts_with("postern:")) return problem.detail + name;
  return problem.shortType() + ": " + problem.detail + name;
}

Json accountJson(const acme::AccountAnswer& answer) {
  const auto orNull = [](const std::string& text) { return text.empty() ? Json() : Json(text); };
  return Json::Object{{"provider", answer.provider},
                      {"directory", answer.directory},
                      {"url", orNull(answer.url)},
                      {"status", answer.status},
                      {"contact", Json::strings(answer.contact)},
                      {"thumbprint", orNull(answer.thumbprint)},
                      {"terms_of_service", orNull(answer.termsOfService)},
                      {"external_account_required", answer.externalAccountRequired}};
}

// The certificates in service that `revoke` would revoke, a line each.
std::vector<std::string> inService(const acme::Status& status, const std::string& name, const std::string& provider) {
  std::vector<std::string> lines;
  for (const auto& one : status.certificates) {
    const bool named = std::any_of(one.names.begin(), one.names.end(),
                                   [&](const auto& each) { return equalsIgnoringCase(each, name); });
    if (!named || !one.certificate || (!provider.empty() && one.provider != provider)) continue;
    lines.push_back("  " + one.certificate->serial() + " for " + joined(one.names, ", ") + " (" + one.provider + ", " +
                    one.keyType + ", valid until " + rfc3339(one.certificate->notAfter()) + ")");
  }
  return lines;
}

}  // namespace

Json Application::controlRevoke(const Json& request, Rights rights, std::stop_token stop) {
  if (rights != Rights::All) return refusal("revoke needs root or the server's user");
  const std::string name = request["name"].string(), provider = request["provider"].string();
  auto& manager = serving_->manager();
  const auto lines = inService(manager.status(), name, provider);
  if (lines.empty()) {
    return refusal("no certificate in service has the name " + name +
                   (provider.empty() ? "" : " from provider " + provider));
  }
  if (!request["yes"].boolean()) {
    return refusal("this would revoke, for good,\n" + joined(lines, "\n") +
                   "\nand order new certificates with new keys; add --yes to do it");
  }
  try {
    const auto answer = manager.revoke(name, provider, static_cast<int>(request["reason"].integer()), stop);
    Json::Array revoked;
    for (const auto& one : answer.revoked) {
      revoked.push_back(
          Json::Object{{"names", Json::strings(one.id.names)}, {"source", one.id.source}, {"serial", one.serial}});
    }
    if (revoked.empty()) return refusal("no certificate in service has the name " + name);
    return Json::Object{{"ok", true}, {"revoked", revoked}};
  } catch (const acme::Error& error) {
    return refusal(wordsOf(error));
  } catch (const acme::Stopped&) {
    return refusal("the server is stopping");
  }
}

Json Application::controlAccount(const Json& request, Rights rights, std::stop_token stop) {
  if (rights != Rights::All) return refusal("account needs root or the server's user");
  const std::string action = request["action"].string(), provider = request["provider"].string();
  auto& manager = serving_->manager();
  try {
    if (action == "show") {
      return Json::Object{{"ok", true}, {"account", accountJson(manager.account(provider, stop))}};
    }
    if (action == "rollover") {
      return Json::Object{{"ok", true},
                          {"account", accountJson(manager.rolloverAccount(provider, stop))},
                          {"words", "the account has a new key"}};
    }
    if (action != "deactivate") return refusal("account can show, rollover and deactivate, not \"" + action + "\"");
    return Json::Object{
        {"ok", true},
        {"account", accountJson(manager.deactivateAccount(provider, stop))},
        {"words", "nothing is ordered or renewed with " + provider +
                      " any more, also after a restart; take it out of the configuration or change its directory. "
                      "To begin again there with a new account, remove the account's folder from the cache"}};
  } catch (const acme::Error& error) {
    return refusal(wordsOf(error));
  } catch (const acme::Stopped&) {
    return refusal("the server is stopping");
  }
}

}  // namespace postern::server
