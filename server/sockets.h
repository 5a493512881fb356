// Sockets: which listening sockets a configuration wants, and how it comes by them: those already bound go on, wherever
// they are wanted now; what is new is bound before anything changes.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "config/settings.h"
#include "listeners/socket.h"

namespace postern::server {

// A bound socket and the listener that accepts on it now.
struct Held {
  std::string listener;
  listeners::ListeningSocketRef socket;
};

// For each listener the sockets it is to accept on. Throws SystemError naming the address; nothing has changed then.
std::map<std::string, std::vector<listeners::ListeningSocketRef>> bindAll(
    const std::vector<config::ListenerConfig>& wanted, const std::vector<Held>& held);

}  // namespace postern::server
