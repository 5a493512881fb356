#include "server/sockets.h"

#include <algorithm>

namespace postern::server {

namespace {

using listeners::Address;
using listeners::ListeningSocket;
using listeners::ListeningSocketRef;

bool wantedSomewhere(const Address& address, const std::vector<config::ListenerConfig>& listeners) {
  return std::any_of(listeners.begin(), listeners.end(), [&](const config::ListenerConfig& listener) {
    const auto& bind = listener.listener.bind;
    return std::find(bind.begin(), bind.end(), address) != bind.end();
  });
}

// Takes out of `held` a socket for `address`; one on port 0 belongs to its listener alone.
ListeningSocketRef take(std::vector<Held>& held, const std::string& listener, const Address& address) {
  auto found = std::find_if(held.begin(), held.end(), [&](const Held& one) {
    return one.socket->wanted() == address && (address.port != 0 || one.listener == listener);
  });
  if (found == held.end()) return nullptr;
  auto socket = found->socket;
  held.erase(found);
  return socket;
}

}  // namespace

std::map<std::string, std::vector<ListeningSocketRef>> bindAll(const std::vector<config::ListenerConfig>& wanted,
                                                               const std::vector<Held>& held) {
  std::vector<Held> left = held;
  std::map<std::string, std::vector<ListeningSocketRef>> result;
  for (const auto& listener : wanted) {
    const auto& settings = listener.listener;
    auto& sockets = result[settings.id];
    for (const auto& address : settings.bind) {
      const Address ipv4{"0.0.0.0", address.port};
      const bool any = address.host == "::";
      const bool v6Only = any && address.port != 0 && wantedSomewhere(ipv4, wanted);
      auto socket = take(left, settings.id, address);
      if (!socket) socket = std::make_shared<ListeningSocket>(address, settings.socket, v6Only);
      sockets.push_back(socket);
      // A socket made for IPv6 alone, beside a 0.0.0.0 that is no longer wanted: IPv4 needs a socket of its own then.
      if (any && socket->v6Only() && !v6Only) {
        auto other = take(left, settings.id, ipv4);
        sockets.push_back(other ? other : std::make_shared<ListeningSocket>(ipv4, settings.socket, false));
      }
    }
  }
  return result;
}

}  // namespace postern::server
