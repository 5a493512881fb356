#include "server/sockets.h"

#include <gtest/gtest.h>

#include "base/error.h"
#include "tests/support/held_port.h"

namespace postern::server {
namespace {

using listeners::Address;

config::ListenerConfig listener(const std::string& id, std::vector<Address> bind) {
  config::ListenerConfig config;
  config.listener.id = id;
  config.listener.bind = std::move(bind);
  return config;
}

std::vector<Held> heldOf(const std::map<std::string, std::vector<listeners::ListeningSocketRef>>& bound) {
  std::vector<Held> held;
  for (const auto& [id, sockets] : bound) {
    for (const auto& socket : sockets) held.push_back({id, socket});
  }
  return held;
}

TEST(Sockets, GoOnWhereTheirAddressIsStillWantedWhoeverWantsIt) {
  const support::HeldPort port;
  const Address address{"127.0.0.1", port.number()};
  const auto first = bindAll({listener("one", {address})}, {});
  const auto next = bindAll({listener("two", {address})}, heldOf(first));
  EXPECT_EQ(next.at("two"), first.at("one"));
}

TEST(Sockets, OnPortZeroBelongToTheirListenerAlone) {
  const auto first = bindAll({listener("one", {{"127.0.0.1", 0}, {"127.0.0.1", 0}})}, {});
  ASSERT_EQ(first.at("one").size(), 2U);
  EXPECT_NE(first.at("one")[0], first.at("one")[1]);
  const auto same = bindAll({listener("one", {{"127.0.0.1", 0}, {"127.0.0.1", 0}})}, heldOf(first));
  EXPECT_EQ(same.at("one"), first.at("one"));
  const auto other = bindAll({listener("two", {{"127.0.0.1", 0}})}, heldOf(first));
  EXPECT_NE(other.at("two").front(), first.at("one").front());
}

TEST(Sockets, ThatCannotBeBoundAreAnErrorThatNamesTheAddress) {
  const auto taken = bindAll({listener("one", {{"127.0.0.1", 0}})}, {});
  const Address address = taken.at("one").front()->bound();
  try {
    bindAll({listener("two", {{"127.0.0.1", address.port}})}, {});
    FAIL() << "bound twice";
  } catch (const SystemError& error) {
    EXPECT_NE(std::string(error.what()).find(address.text()), std::string::npos) << error.what();
  }
}

TEST(Sockets, OfAnyIpv6AddressServeIpv4TooUnlessThatIsBoundAsWell) {
  const support::HeldPort held;
  const auto port = held.number();
  const auto both = bindAll({listener("six", {{"::", port}}), listener("four", {{"0.0.0.0", port}})}, {});
  EXPECT_TRUE(both.at("six").front()->v6Only());
  // The IPv4 listener goes: its socket is adopted, so that IPv4 is still served.
  const auto alone = bindAll({listener("six", {{"::", port}})}, heldOf(both));
  ASSERT_EQ(alone.at("six").size(), 2U);
  EXPECT_EQ(alone.at("six")[1], both.at("four").front());
}

}  // namespace
}  // namespace postern::server
