// Limits: how many connections and handshakes there are, in all and per client address, against how many there may be.
//
// Any thread. One Limits for all listeners together and one per listener; a connection holds a place in both, and so
// does a handshake while it is under way. `always` takes a place though there may be none left (OwnVisits).
#pragma once

#include <cstdint>
#include <map>
#include <mutex>
#include <string_view>

#include "listeners/rate_limit.h"

namespace postern::listeners {

class Limits {
 public:
  void set(std::uint32_t maxConnections, std::uint32_t maxPerIp);  // 0: unlimited; open connections stay
  void setHandshakes(std::uint32_t most, Rate perAddress);         // likewise

  // A place in the total, taken at accept. False: refuse.
  bool enter(bool always = false);
  void leave();
  // A place for the client's true address (after PROXY). False: refuse.
  bool enter(const IpBytes& address, bool always = false);
  void leave(const IpBytes& address);

  // A place for a handshake, from before anything of TLS is made until it is done. One address has at most half of all
  // places (rounded up), so that nobody alone can keep the others out with handshakes that he never ends. Returns the
  // limit to refuse for, "" when the place is taken.
  std::string_view enterHandshake(const IpBytes& address, bool always = false);
  void leaveHandshake(const IpBytes& address);
  // Counts one more handshake of an address. False: there were too many of late, and this one does not count.
  bool takeHandshake(const IpBytes& address) { return rate_.take(address); }

  std::uint32_t open() const;
  std::uint32_t handshakes() const;

 private:
  mutable std::mutex mutex_;
  std::uint32_t max_ = 0, maxPerIp_ = 0, open_ = 0;
  std::uint32_t maxHandshakes_ = 0, handshakes_ = 0;
  std::map<IpBytes, std::uint32_t> perIp_;         // addresses with open connections only
  std::map<IpBytes, std::uint32_t> handshakesOf_;  // likewise with handshakes under way, by networkOf()
  RateLimit rate_;
};

}  // namespace postern::listeners
