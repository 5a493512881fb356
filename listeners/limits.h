// Limits: how many connections there are, in all and per client address, against how many there may be.
//
// Any thread. One Limits for all listeners together and one per listener; a connection holds a place in both.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <mutex>

namespace postern::listeners {

using IpBytes = std::array<std::uint8_t, 16>;  // IPv4 mapped

class Limits {
 public:
  void set(std::uint32_t maxConnections, std::uint32_t maxPerIp);  // 0: unlimited; open connections stay

  // A place in the total, taken at accept. False: refuse.
  bool enter();
  void leave();
  // A place for the client's true address (after PROXY). False: refuse.
  bool enter(const IpBytes& address);
  void leave(const IpBytes& address);

  std::uint32_t open() const;

 private:
  mutable std::mutex mutex_;
  std::uint32_t max_ = 0, maxPerIp_ = 0, open_ = 0;
  std::map<IpBytes, std::uint32_t> perIp_;  // addresses with open connections only
};

}  // namespace postern::listeners
