// What the doctor finds on this machine: ports, programs, and who may do what.
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>

#include "server/doctor_rights.h"
#include "tests/server/doctor_fixture.h"
#include "tests/support/held_port.h"

namespace postern::server {
namespace {

// A socket that listens there; -1 when that cannot be.
int listenAt(std::uint32_t address, std::uint16_t port) {
  const int socket = ::socket(AF_INET, SOCK_STREAM, 0);
  const int on = 1;
  sockaddr_in at{};
  at.sin_family = AF_INET;
  at.sin_addr.s_addr = htonl(address);
  at.sin_port = htons(port);
  ::setsockopt(socket, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  if (::bind(socket, reinterpret_cast<sockaddr*>(&at), sizeof at) == 0 && ::listen(socket, 1) == 0) return socket;
  ::close(socket);
  return -1;
}

TEST_F(Doctor, FindsAPortThatSomebodyElseHolds) {
  const support::HeldPort port;
  const int held = listenAt(INADDR_LOOPBACK, port.number());
  ASSERT_GE(held, 0);
  provider.port = port.number();
  provider.challengeBind = "127.0.0.1";
  auto findings = examinePorts(of, provider);
  std::erase_if(findings, [](const Finding& each) { return each.weight == Weight::Note; });
  EXPECT_TRUE(one(findings, Weight::Error, "(pid " + std::to_string(::getpid()) + ")"));

  of.running["pid"] = ::getpid();  // it is the server itself
  findings = examinePorts(of, provider);
  EXPECT_TRUE(one(findings, Weight::Note, "connects to port 443")) << "the server's own port";
  ::close(held);
  findings = examinePorts(of, provider);
  std::erase_if(findings, [](const Finding& each) { return each.weight == Weight::Note; });
  EXPECT_TRUE(one(findings, Weight::Error, "does not listen there"));
  of.running = Json();
  findings = examinePorts(of, provider);
  EXPECT_TRUE(one(findings, Weight::Note, "connects to port 443")) << "free, and no server runs";
}

TEST_F(Doctor, LeavesAPortAloneThatIsHeldOnAnotherAddress) {
  const support::HeldPort port;
  const int held = listenAt(INADDR_LOOPBACK + 1, port.number());
  ASSERT_GE(held, 0);
  provider.port = port.number();
  provider.challengeBind = "127.0.0.1";
  EXPECT_TRUE(one(examinePorts(of, provider), Weight::Note, "connects to port 443"));
  // One that the listeners bind is looked at, and not the first alone.
  config::ListenerConfig listener;
  listener.listener.bind = {{"127.0.0.1", port.number()}, {"127.0.0.2", port.number()}};
  of.settings.listeners = {listener};
  auto findings = examinePorts(of, provider);
  std::erase_if(findings, [](const Finding& each) { return each.weight == Weight::Note; });
  EXPECT_TRUE(one(findings, Weight::Error, "held by "));
  ::close(held);
}

TEST_F(Doctor, FindsAChallengeAddressThatIsNotOfThisMachine) {
  provider.port = 443;
  provider.challengeBind = "192.0.2.7";
  EXPECT_TRUE(one(examinePorts(of, provider), Weight::Error, "Cannot assign requested address"));
}

TEST_F(Doctor, FindsAHookThatIsMissingOrCannotBeRun) {
  const std::string hook = folder / "hook";
  EXPECT_TRUE(one(examineHook(of, "events.hook", hook), Weight::Warning, "does not exist"));
  support::write(hook, "#!/bin/sh\n");
  ::chmod(hook.c_str(), 0600);
  EXPECT_TRUE(one(examineHook(of, "events.hook", hook), Weight::Warning, "cannot be run"));
  ::chmod(hook.c_str(), 0700);
  EXPECT_TRUE(examineHook(of, "events.hook", hook).empty());
  EXPECT_TRUE(one(examineHook(of, "acme.main.dns.hook", folder / "missing"), Weight::Error, "does not exist"));
}

TEST_F(Doctor, TellsWhomAProcessRunsAs) {
  const auto self = userOfProcess(::getpid());
  ASSERT_TRUE(self);
  EXPECT_EQ(self->uid, ::geteuid());
  EXPECT_EQ(self->gid, ::getegid());
  EXPECT_EQ(self->user, userOf({}).user);
  EXPECT_FALSE(userOfProcess(0));
}

TEST_F(Doctor, TellsWhatAnotherUserMay) {
  Identity other;
  other.user = "other";
  other.uid = 4242;
  other.gid = 4242;
  other.groups = {77};
  const auto path = folder / "file";
  support::write(path, "x");
  ::chmod(folder.path().c_str(), 0755);
  ::chmod(path.c_str(), 0604);
  EXPECT_TRUE(may(other, path, R_OK));
  EXPECT_FALSE(may(other, path, W_OK));
  ::chmod(folder.path().c_str(), 0700);
  EXPECT_FALSE(may(other, path, R_OK)) << "the folder above does not let it through";
}

TEST_F(Doctor, NamesTheSocketInARemedyWhereAClientWouldNotFindIt) {
  EXPECT_EQ(commandFor(of, "status"), "`postern status --socket " + of.settings.controlSocket + "`");
  of.settings.controlSocket = "/run/postern/control.sock";
  EXPECT_EQ(commandFor(of, "renew a.example.org"), "`postern renew a.example.org`");
}

TEST(Resolver, IsAnAddressWithAPortOrWithout) {
  for (const char* good : {"127.0.0.1", "127.0.0.1:53", "::1", "[::1]", "[::1]:5353"}) EXPECT_TRUE(isResolver(good));
  for (const char* bad : {"", "localhost", "127.0.0.1:", "127.0.0.1:dns", "127.0.0.1:0", "::1:", "[::1", "127.0.0.256"})
    EXPECT_FALSE(isResolver(bad)) << bad;
}

}  // namespace
}  // namespace postern::server
