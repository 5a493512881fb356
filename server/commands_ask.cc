#include "server/commands_ask.h"

#include <iostream>
#include <stdexcept>

#include "config/load.h"
#include "server/control_socket.h"

namespace postern::server {

void ServerPlace::addTo(CLI::App& command) {
  command.add_option("--socket", socket, "The server's control socket");
  command.add_option("--config", config, "The server's configuration, to find its control socket");
}

std::string ServerPlace::path() const {
  if (!socket.empty()) return socket;
  if (!config.empty()) {
    const auto loaded = config::load(config);
    if (!loaded.settings) throw std::runtime_error(loaded.diagnostics.text() + "give --socket PATH instead");
    return loaded.settings->controlSocket;
  }
  const std::string runtime = config::ofThisProcess().runtimeDirectory;
  return (runtime.empty() ? "/run/postern" : runtime) + "/control.sock";
}

std::optional<Json> ask(const ServerPlace& place, const Json& request) {
  Json answer = askServer(place.path(), request);
  if (answer["ok"].boolean()) return answer;
  std::cerr << answer["error"].string("the server refused without a reason") << "\n";
  return {};
}

}  // namespace postern::server
