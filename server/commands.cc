#include "server/commands.h"

#include <CLI/CLI.hpp>
#include <openssl/crypto.h>

#include <cstdlib>
#include <functional>
#include <iostream>
#include <string>
#include <vector>

#include "base/text.h"
#include "server/application.h"
#include "server/check.h"
#include "server/commands_ask.h"
#include "server/commands_life.h"
#include "server/descriptors.h"
#include "server/doctor.h"
#include "server/load_all.h"
#include "server/passwd.h"
#include "server/signals.h"
#include "server/status.h"
#include "server/version.h"

namespace postern::server {

namespace {

int run(const std::string& config) {
  Signals signals;  // before any thread
  raiseDescriptorLimit();
  return Application(config, signals).run();
}

int check(const std::string& file, bool json, bool strict) {
  const auto everything = loadAll(file, SystemClock().now());
  const auto& loaded = everything.loaded;
  const bool refused = !loaded.settings || (strict && loaded.diagnostics.hasWarnings());
  if (json) {
    Json report = checkJson(loaded);
    report["ok"] = !refused;
    std::cout << report.pretty();
  } else {
    std::cerr << loaded.diagnostics.text();
    if (loaded.settings) std::cout << checkText(*loaded.settings);
  }
  return refused ? 1 : 0;
}

int status(const ServerPlace& place, bool json) {
  const auto answer = ask(place, Json::Object{{"command", "status"}});
  if (!answer) return 1;
  std::cout << (json ? (*answer)["status"].pretty() : statusText((*answer)["status"]));
  return 0;
}

int reload(const ServerPlace& place) {
  const auto answer = ask(place, Json::Object{{"command", "reload"}});
  if (!answer) return 1;
  const auto changes = (*answer)["changes"].stringList();
  for (const auto& change : changes) std::cout << change << "\n";
  if (changes.empty()) std::cout << "nothing changed\n";
  for (const auto& key : (*answer)["restart_needed"].stringList()) {
    std::cout << key << " needs a restart; the running value stays\n";
  }
  return 0;
}

struct Renew {
  std::vector<std::string> names;
  std::string provider;
  bool all = false, force = false, wait = false;
};

int renew(const ServerPlace& place, const Renew& options) {
  const auto answer = ask(place, Json::Object{{"command", "renew"},
                                              {"names", Json::strings(options.names)},
                                              {"all", options.all},
                                              {"provider", options.provider},
                                              {"force", options.force},
                                              {"wait", options.wait}});
  if (!answer) return 1;
  for (const auto& one : (*answer)["certificates"].array()) {
    std::cout << joined(one["names"].stringList()) << ": " << one["words"].string()
              << (options.wait && one["ordered"].boolean() ? ", done" : "") << "\n";
  }
  return 0;
}

}  // namespace

int runCommand(int argc, char** argv) {
  CLI::App app{"Postern: a mail server front whose listeners get their certificates from a built-in ACME manager"};
  app.name("postern");
  app.require_subcommand(1);
  std::string config, resolver;
  bool json = false, strict = false;
  ServerPlace place;
  Renew renewal;
  std::function<int()> chosen;

  auto* runApp = app.add_subcommand("run", "Run in the foreground until SIGTERM");
  runApp->add_option("--config", config, "Configuration file")->required();
  runApp->callback([&] { chosen = [&] { return run(config); }; });

  auto* checkApp = app.add_subcommand("check", "Load and validate a configuration; bind nothing, contact nobody");
  checkApp->add_option("--config", config, "Configuration file")->required();
  checkApp->add_flag("--json", json, "Print JSON");
  checkApp->add_flag("--strict", strict, "Take warnings for errors");
  checkApp->callback([&] { chosen = [&] { return check(config, json, strict); }; });

  auto* reloadApp = app.add_subcommand("reload", "Make the running server load its configuration again, and wait");
  place.addTo(*reloadApp);
  reloadApp->callback([&] { chosen = [&] { return reload(place); }; });

  auto* statusApp = app.add_subcommand("status", "Show listeners, certificates, last errors and next attempts");
  place.addTo(*statusApp);
  statusApp->add_flag("--json", json, "Print JSON");
  statusApp->callback([&] { chosen = [&] { return status(place, json); }; });

  auto* renewApp = app.add_subcommand("renew", "Renew certificates that are due or failing");
  place.addTo(*renewApp);
  auto* names = renewApp->add_option("NAME", renewal.names, "Any name of a certificate");
  renewApp->add_flag("--all", renewal.all, "Every certificate")->excludes(names);
  renewApp->add_option("--provider", renewal.provider, "Only certificates of this [acme.<name>]");
  renewApp->add_flag("--force", renewal.force, "Order although nothing is due");
  renewApp->add_flag("--wait", renewal.wait, "Follow to the end; exit by the result");
  renewApp->callback([&] {
    if (renewal.names.empty() && !renewal.all) throw CLI::RequiredError("NAME or --all");
    chosen = [&] { return renew(place, renewal); };
  });

  addLifeCycleCommands(app, chosen);

  auto* doctorApp = app.add_subcommand("doctor", "Look for what would make issuance or renewal fail");
  doctorApp->add_option("--config", config, "Configuration file")->required();
  doctorApp->add_flag("--json", json, "Print JSON");
  doctorApp->add_option("--resolver", resolver, "ADDRESS[:PORT] to ask about DNS instead of the system's resolvers")
      ->check([](const std::string& text) {
        return isResolver(text) ? std::string() : "expected an IP address, or ADDRESS:PORT, not " + text;
      });
  doctorApp->callback([&] { chosen = [&] { return doctor(config, json, resolver); }; });

  auto* passwdApp = app.add_subcommand("passwd", "Read a password from the terminal or stdin, print its crypt(3) hash");
  passwdApp->callback([&] { chosen = [] { return passwd(); }; });

  auto* versionApp = app.add_subcommand("version", "Print the version");
  versionApp->callback([&] {
    chosen = [] {
      std::cout << "postern " << version << " (" << OpenSSL_version(OPENSSL_VERSION) << ")\n";
      return 0;
    };
  });

  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : 2;
  }
  try {
    return chosen();
  } catch (const std::exception& error) {
    std::cerr << "postern: " << error.what() << "\n";
    return 1;
  }
}

}  // namespace postern::server
