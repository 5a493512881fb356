#include "server/commands_life.h"

#include <unistd.h>

#include <iostream>
#include <memory>
#include <utility>
#include <vector>

#include "base/json.h"
#include "base/text.h"
#include "server/commands_ask.h"

namespace postern::server {
namespace {

constexpr std::pair<const char*, int> reasons[] = {
    {"unspecified", 0},        {"keyCompromise", 1},        {"cACompromise", 2},    {"affiliationChanged", 3},
    {"superseded", 4},         {"cessationOfOperation", 5}, {"certificateHold", 6}, {"removeFromCRL", 8},
    {"privilegeWithdrawn", 9}, {"aACompromise", 10}};

std::string reasonNames() {
  std::vector<std::string> names;
  for (const auto& [name, number] : reasons) names.push_back(std::string(name) + " (" + std::to_string(number) + ")");
  return joined(names, ", ");
}

struct Revoke {
  ServerPlace place;
  std::string name, provider, reason = "unspecified";
  bool yes = false;
};

int revoke(const Revoke& options) {
  const auto answer = ask(options.place, Json::Object{{"command", "revoke"},
                                                      {"name", options.name},
                                                      {"provider", options.provider},
                                                      {"reason", *revocationReason(options.reason)},
                                                      {"yes", options.yes}});
  if (!answer) return 1;
  for (const auto& one : (*answer)["revoked"].array()) {
    std::cout << joined(one["names"].stringList()) << ": revoked " << one["serial"].string()
              << "; a new certificate with a new key is ordered\n";
  }
  return 0;
}

struct Account {
  ServerPlace place;
  std::string provider;
  bool yes = false, json = false;
};

// Somebody who sits at a terminal is asked once before what cannot be taken back; a script has meant what it says.
bool meant(const Account& options) {
  if (options.yes || ::isatty(STDIN_FILENO) == 0 || ::isatty(STDERR_FILENO) == 0) return true;
  const auto answer = ask(options.place, Json::Object{{"command", "status"}});
  if (!answer) return false;
  std::string url;
  for (const auto& provider : (*answer)["status"]["providers"].array()) {
    if (provider["name"].string() == options.provider) url = provider["account"].string();
  }
  if (url.empty()) return true;  // there is nothing to lose, and the server says why
  std::cerr << "This deactivates, for good, the account " << url << " of provider " << options.provider
            << ".\nIts certificates stay valid, and nothing is ordered or renewed there any more.\n"
            << "Deactivate it? [y/N] " << std::flush;
  std::string line;
  std::getline(std::cin, line);
  const std::string words(trimmed(line));
  if (equalsIgnoringCase(words, "y") || equalsIgnoringCase(words, "yes")) return true;
  std::cerr << "nothing was done\n";
  return false;
}

int account(const std::string& action, const Account& options) {
  if (action == "deactivate" && !meant(options)) return 1;
  const auto answer =
      ask(options.place, Json::Object{{"command", "account"}, {"action", action}, {"provider", options.provider}});
  if (!answer) return 1;
  const Json& account = (*answer)["account"];
  if (options.json) {
    std::cout << account.pretty();
    return 0;
  }
  const auto line = [](const std::string& what, const std::string& value) {
    std::cout << what << std::string(17 - what.size(), ' ') << (value.empty() ? "-" : value) << "\n";
  };
  line("provider", account["provider"].string());
  line("directory", account["directory"].string());
  line("account", account["url"].string());
  line("status", account["status"].string());
  line("contact", joined(account["contact"].stringList(), ", "));
  line("key thumbprint", account["thumbprint"].string());
  line("terms of service", account["terms_of_service"].string());
  line("external account", account["external_account_required"].boolean() ? "required" : "not required");
  if (const std::string words = (*answer)["words"].string(); !words.empty()) std::cout << words << "\n";
  return 0;
}

CLI::App* accountCommand(CLI::App& parent, const std::string& action, const std::string& words,
                         const std::shared_ptr<Account>& options, std::function<int()>& chosen) {
  auto* command = parent.add_subcommand(action, words);
  command->add_option("PROVIDER", options->provider, "An [acme.<name>] section")->required();
  command->add_flag("--json", options->json, "Print JSON");
  options->place.addTo(*command);
  command->callback([action, options, &chosen] { chosen = [action, options] { return account(action, *options); }; });
  return command;
}

}  // namespace

std::optional<int> revocationReason(const std::string& text) {
  for (const auto& [name, number] : reasons) {
    if (equalsIgnoringCase(text, name) || text == std::to_string(number)) return number;
  }
  return {};
}

void addLifeCycleCommands(CLI::App& app, std::function<int()>& chosen) {
  const auto revocation = std::make_shared<Revoke>();
  auto* revokeApp = app.add_subcommand("revoke", "Revoke the certificates in service for a name; order new ones");
  revokeApp->add_option("NAME", revocation->name, "Any name of the certificate")->required();
  revokeApp->add_option("--provider", revocation->provider, "Only certificates of this [acme.<name>]");
  revokeApp->add_option("--reason", revocation->reason, "RFC 5280: " + reasonNames())
      ->check([](const std::string& text) {
        return revocationReason(text) ? std::string() : "\"" + text + "\" is none of " + reasonNames();
      });
  revokeApp->add_flag("--yes", revocation->yes, "Really: a revocation cannot be taken back");
  revocation->place.addTo(*revokeApp);
  revokeApp->callback([revocation, &chosen] { chosen = [revocation] { return revoke(*revocation); }; });

  const auto options = std::make_shared<Account>();
  auto* accountApp = app.add_subcommand("account", "Show, re-key or deactivate the account with a CA");
  accountApp->require_subcommand(1);
  accountCommand(*accountApp, "show", "Show the account as the CA knows it", options, chosen);
  accountCommand(*accountApp, "rollover", "Give the account a new key", options, chosen);
  accountCommand(*accountApp, "deactivate", "Deactivate the account for ever; at a terminal this is asked once more",
                 options, chosen)
      ->add_flag("--yes", options->yes, "Do not ask");
}

}  // namespace postern::server
