#include "tls/ticket_keys.h"

#include <gtest/gtest.h>

#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "tests/support/fake_clock.h"

namespace postern::tls {
namespace {

using namespace std::chrono_literals;
using testing::FakeClock;

std::string_view nameOf(const TicketKey& key) {
  return {reinterpret_cast<const char*>(key.name.data()), key.name.size()};
}

class TicketKeysTest : public ::testing::Test {
 protected:
  FakeClock clock_;
  TicketKeys keys_{clock_, 12h};
};

TEST_F(TicketKeysTest, FindsTheKeyItEncryptedWith) {
  const TicketKey key = keys_.current("policy", "a.example.org");
  const auto found = keys_.find(nameOf(key), "policy", "a.example.org");
  ASSERT_TRUE(found);
  EXPECT_EQ(found->key.encryption, key.encryption);
  EXPECT_EQ(found->key.mac, key.mac);
  EXPECT_FALSE(found->old);
}

TEST_F(TicketKeysTest, DerivesOtherKeysForEveryPolicyAndName) {
  const TicketKey key = keys_.current("policy", "a.example.org");
  for (const auto& [policy, name] : std::vector<std::pair<std::string, std::string>>{
           {"policy", "b.example.org"}, {"other", "a.example.org"}, {"policya", ".example.org"}, {"policy", ""}}) {
    const TicketKey other = keys_.current(policy, name);
    EXPECT_NE(other.name, key.name);
    EXPECT_NE(other.encryption, key.encryption);
    EXPECT_NE(other.mac, key.mac);
    EXPECT_FALSE(keys_.find(nameOf(key), policy, name));
  }
}

TEST_F(TicketKeysTest, KeepsOnePredecessorAndCallsItOld) {
  const TicketKey first = keys_.current("policy", "name");
  clock_.advance(12h);
  const TicketKey second = keys_.current("policy", "name");
  EXPECT_NE(second.name, first.name);
  const auto found = keys_.find(nameOf(first), "policy", "name");
  ASSERT_TRUE(found);
  EXPECT_TRUE(found->old);
  EXPECT_EQ(found->key.encryption, first.encryption);
  clock_.advance(12h);
  EXPECT_FALSE(keys_.find(nameOf(first), "policy", "name"));
  EXPECT_TRUE(keys_.find(nameOf(second), "policy", "name"));
}

TEST_F(TicketKeysTest, StaysTheSameUntilTheLifetimeIsOver) {
  const TicketKey first = keys_.current("policy", "name");
  clock_.advance(12h - 1ms);
  EXPECT_EQ(keys_.current("policy", "name").name, first.name);
}

TEST_F(TicketKeysTest, ForgetsAKeyThatNobodyUsedForTwoLifetimes) {
  const TicketKey first = keys_.current("policy", "name");
  clock_.advance(24h);
  EXPECT_FALSE(keys_.find(nameOf(first), "policy", "name"));
}

TEST_F(TicketKeysTest, RotatesWhenTheClockIsSetBack) {
  const TicketKey first = keys_.current("policy", "name");
  clock_.set(clock_.now() - 24h * 365);
  EXPECT_NE(keys_.current("policy", "name").name, first.name);
  EXPECT_TRUE(keys_.find(nameOf(first), "policy", "name"));
}

TEST_F(TicketKeysTest, TwoProcessesShareNoKeys) {
  TicketKeys other(clock_, 12h);
  EXPECT_NE(other.current("policy", "name").name, keys_.current("policy", "name").name);
}

TEST_F(TicketKeysTest, RotatesOnceForManyThreads) {
  const TicketKey before = keys_.current("policy", "name");
  clock_.advance(12h);
  std::vector<std::string> names(8);
  std::vector<std::thread> threads;
  for (auto& name : names) threads.emplace_back([&] { name = std::string(nameOf(keys_.current("policy", "name"))); });
  for (auto& thread : threads) thread.join();
  for (const auto& name : names) EXPECT_EQ(name, names.front());
  EXPECT_TRUE(keys_.find(nameOf(before), "policy", "name"));
}

}  // namespace
}  // namespace postern::tls
