// Acceptor: takes connections from listening sockets until there are no more, and pauses when the system has no more
// descriptors or memory instead of spinning.
//
// Everything on the loop of its event_base. It shares the sockets and says once a pause that it began.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/log.h"
#include "listeners/endpoint.h"
#include "listeners/libevent.h"
#include "listeners/socket.h"

namespace postern::listeners {

class Acceptor {
 public:
  // `arrived` takes over the descriptor, which is non-blocking and close-on-exec.
  using Arrived = std::function<void(int descriptor, const Endpoint& remote)>;
  Acceptor(event_base* base, Log& log, std::string listener, Arrived arrived);
  ~Acceptor();
  Acceptor(const Acceptor&) = delete;
  Acceptor& operator=(const Acceptor&) = delete;

  // Exactly these from now on. Sockets that stay are not touched.
  void listenOn(const std::vector<ListeningSocketRef>& sockets);

 private:
  struct Source {
    Acceptor& owner;
    ListeningSocketRef socket;
    EventPtr event;
  };
  static void onReady(evutil_socket_t, short, void* source) noexcept;
  static void onResume(evutil_socket_t, short, void* self) noexcept;
  void accept(Source& source);
  void pause(int error);
  void resume();

  event_base* const base_;
  Log& log_;
  const std::string listener_;
  const Arrived arrived_;
  std::vector<std::unique_ptr<Source>> sources_;
  EventPtr resume_;
  bool paused_ = false;
  bool short_ = false;  // said so, and nothing was accepted since
};

}  // namespace postern::listeners
