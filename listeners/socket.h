// ListeningSocket: a bound, listening socket. It belongs to an address, not to a listener: a reload may hand it from
// one listener to another, with nobody turned away meanwhile.
//
// One owner (shared with the listener that accepts on it). Not thread-safe; the descriptor is closed with the object.
#pragma once

#include <memory>

#include "listeners/settings.h"

namespace postern::listeners {

class ListeningSocket {
 public:
  // Binds and listens. `[::]` serves IPv4 too unless `v6Only`. Throws SystemError naming the address and, where it can
  // be told, the remedy ("address already in use: ...", "permission denied: ports below 1024 need ...").
  ListeningSocket(const Address& address, const SocketOptions& options, bool v6Only);
  ~ListeningSocket();
  ListeningSocket(const ListeningSocket&) = delete;
  ListeningSocket& operator=(const ListeningSocket&) = delete;

  int descriptor() const { return descriptor_; }
  const Address& wanted() const { return wanted_; }  // as configured
  const Address& bound() const { return bound_; }    // with the port taken
  bool v6Only() const { return v6Only_; }
  // Applies what can be changed on a listening socket (a reload).
  void tune(const SocketOptions& options);

 private:
  Address wanted_, bound_;
  bool v6Only_;
  int descriptor_;
};
using ListeningSocketRef = std::shared_ptr<ListeningSocket>;

}  // namespace postern::listeners
